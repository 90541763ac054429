//! A bundle by its address. Sends no credentials and no referrer; explains what a browser keeps to itself.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReferrerPolicy, Request, RequestCredentials, RequestInit, RequestMode, Response, Url};

use crate::open::{MAX_BYTES, Problem};

/// Reads the file at `address`, relative to this page.
///
/// # Errors
/// No such address, refused, missing or too large, each with the way out.
pub async fn bytes(address: &str) -> Result<Vec<u8>, Problem> {
    let window = web_sys::window().ok_or_else(|| unreachable_problem(address, ""))?;
    let page = window.location().href().unwrap_or_default();
    let url = Url::new_with_base(address, &page).map_err(|_| bad_address(address))?;
    if !matches!(url.protocol().as_str(), "http:" | "https:" | "blob:") {
        return Err(bad_address(address));
    }
    url.set_hash("");
    if is_mixed(&page, &url) {
        return Err(mixed(&url.href()));
    }
    let init = RequestInit::new();
    init.set_mode(RequestMode::Cors);
    init.set_credentials(RequestCredentials::Omit);
    init.set_referrer_policy(ReferrerPolicy::NoReferrer);
    let request = Request::new_with_str_and_init(&url.href(), &init).map_err(|_| bad_address(address))?;
    let origin = window.location().origin().unwrap_or_default();
    let failed = |_| unreachable_problem(&url.href(), &origin);
    let response: Response =
        JsFuture::from(window.fetch_with_request(&request)).await.map_err(failed)?.unchecked_into();
    if !response.ok() {
        return Err(refused(&url.href(), response.status()));
    }
    let announced = response.headers().get("content-length").ok().flatten().and_then(|size| size.parse().ok());
    if let Some(size) = announced.filter(|size| *size > MAX_BYTES) {
        return Err(Problem::too_large(&url.href(), size));
    }
    let body = response.array_buffer().map_err(failed)?;
    let body = JsFuture::from(body).await.map_err(|_| cut_off(&url.href()))?;
    Ok(Uint8Array::new(&body).to_vec())
}

/// What to call the bundle of an address: the last part of its path.
pub fn name(address: &str) -> String {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.is_empty() { address.to_owned() } else { name.to_owned() }
}

/// Browsers block `http:` from an `https:` page, this machine excepted.
fn is_mixed(page: &str, url: &Url) -> bool {
    let is_local = matches!(url.hostname().as_str(), "localhost" | "127.0.0.1" | "[::1]");
    page.starts_with("https:") && url.protocol() == "http:" && !is_local
}

fn bad_address(address: &str) -> Problem {
    Problem::new(
        "This link does not lead to a bundle",
        format!("“{address}” is not an address that a page may open."),
        "After `#bundle=` there must be an http or https address, or a path beside this page.",
    )
}

fn mixed(address: &str) -> Problem {
    Problem::new(
        "The browser blocks this address",
        format!("This page came over https, {address} would come over plain http."),
        "Use the https address of the bundle, or download it and drop it here.",
    )
}

fn refused(address: &str, status: u16) -> Problem {
    let (title, hint) = match status {
        404 | 410 => ("There is no bundle at this address", "Check the link; the file may have been moved or deleted."),
        401 | 403 => (
            "The server does not give this bundle out",
            "This page sends no sign-in. Use a public or signed link, or download the file and drop it here.",
        ),
        _ => ("The server did not deliver the bundle", "Try again later, or download the file and drop it here."),
    };
    Problem::new(title, format!("{address} answered with status {status}."), hint)
}

fn cut_off(address: &str) -> Problem {
    Problem::new(
        "The download was cut off",
        format!("{address} stopped before its end."),
        "Reload the page to try again.",
    )
}

/// A browser does not tell a page why; what it can be depends on whose server it is.
fn unreachable_problem(address: &str, origin: &str) -> Problem {
    if !origin.is_empty() && address.starts_with(origin) {
        return Problem::new(
            "The server did not answer",
            format!("{address} could not be reached."),
            "If `fidelio view` was serving it, start it again.",
        );
    }
    Problem::new(
        "The bundle could not be fetched",
        format!("{address} could not be reached, or its server does not allow other pages to read it (CORS)."),
        "Whoever runs that server can send `Access-Control-Allow-Origin: *`. Or download the file and drop it here.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_called_by_the_end_of_its_path() {
        assert_eq!(name("https://host/a/b.zip?token=1#x"), "b.zip");
        assert_eq!(name("bundles/0/run.zip"), "run.zip");
        assert_eq!(name("https://host/"), "host");
    }

    #[test]
    fn every_status_has_a_way_out() {
        for status in [401, 403, 404, 410, 500, 503] {
            let problem = refused("https://host/b.zip", status);
            assert!(problem.detail.contains(&status.to_string()) && !problem.hint.is_empty());
        }
    }
}
