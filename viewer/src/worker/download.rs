//! A bundle by its address, in a worker: no credentials, no referrer; the bytes go to a blob of the browser's, not to
//! the wasm's memory.

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, ReadableStreamDefaultReader, ReferrerPolicy, Request, RequestCredentials, RequestInit, RequestMode, Response,
};

use crate::open::{MAX_BYTES, Problem, address};
use crate::worker::protocol::{Progress, Tell, Work};
use crate::worker::{post, scope};

/// Everything at `url`, which is absolute and of an allowed kind.
///
/// # Errors
/// Refused, missing, too large or cut off, each with the way out.
pub async fn blob(url: &str) -> Result<Blob, Problem> {
    let init = RequestInit::new();
    init.set_mode(RequestMode::Cors);
    init.set_credentials(RequestCredentials::Omit);
    init.set_referrer_policy(ReferrerPolicy::NoReferrer);
    let request = Request::new_with_str_and_init(url, &init).map_err(|_| address::bad(url))?;
    let failed = |_: JsValue| address::out_of_reach(url, &scope().location().origin());
    let response: Response =
        JsFuture::from(scope().fetch_with_request(&request)).await.map_err(failed)?.unchecked_into();
    if !response.ok() {
        return Err(address::refused(url, response.status()));
    }
    let header = |name: &str| response.headers().get(name).ok().flatten();
    // The length of a packed body says nothing of what comes out of it.
    let total = header("content-length")
        .filter(|_| header("content-encoding").is_none())
        .and_then(|size| size.parse::<u64>().ok());
    if let Some(size) = total.filter(|size| *size > MAX_BYTES) {
        return Err(Problem::too_large(url, size));
    }
    let Some(body) = response.body() else { return Err(address::cut_off(url)) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let (parts, mut done) = (Array::new(), 0u64);
    loop {
        let piece = JsFuture::from(reader.read()).await.map_err(|_| address::cut_off(url))?;
        let get = |name: &str| Reflect::get(&piece, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
        if get("done").is_truthy() {
            break;
        }
        let bytes: Uint8Array = get("value").unchecked_into();
        done += u64::from(bytes.length());
        if done > MAX_BYTES {
            let _ = reader.cancel();
            return Err(Problem::too_large(url, done));
        }
        parts.push(&bytes);
        post(0, &Tell::Progress(Progress { work: Work::Download, done, total }));
    }
    Blob::new_with_u8_array_sequence(&parts).map_err(|_| address::cut_off(url))
}
