//! Addresses of bundles: which may be asked for, what they are called, and why one did not deliver. A browser keeps most
//! reasons to itself; what it can be is told with the way out.

use web_sys::Url;

use crate::open::Problem;

/// The absolute form of `address`, relative to `page`; nothing is sent yet.
///
/// # Errors
/// No address, of a kind that is not allowed, or one that the browser would block.
pub fn resolve(address: &str, page: &str) -> Result<String, Problem> {
    let url = Url::new_with_base(address, page).map_err(|_| bad(address))?;
    if !matches!(url.protocol().as_str(), "http:" | "https:" | "blob:") {
        return Err(bad(address));
    }
    url.set_hash("");
    if is_mixed(page, &url) {
        return Err(mixed(&url.href()));
    }
    Ok(url.href())
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

/// Not an address, or none that a page may ask for.
pub fn bad(address: &str) -> Problem {
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

/// The server answered, but not with the file.
pub fn refused(address: &str, status: u16) -> Problem {
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

/// The body ended early.
pub fn cut_off(address: &str) -> Problem {
    Problem::new(
        "The download was cut off",
        format!("{address} stopped before its end."),
        "Reload the page to try again.",
    )
}

/// A browser does not tell a page why; what it can be depends on whose server it is.
pub fn out_of_reach(address: &str, origin: &str) -> Problem {
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
