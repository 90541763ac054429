//! A bundle from this machine: chosen or dropped. Reads the file, sends nothing.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DragEvent, Event, File, HtmlInputElement};

use crate::open::{MAX_BYTES, Problem};

/// The file a picker now holds; the picker is cleared, so that the same file can be chosen again.
pub fn chosen(event: &Event) -> Option<File> {
    let input: HtmlInputElement = event.target()?.dyn_into().ok()?;
    let file = input.files()?.get(0);
    input.set_value("");
    file
}

/// The first file of a drop.
pub fn dropped(event: &DragEvent) -> Option<File> {
    event.data_transfer()?.files()?.get(0)
}

/// Its content.
///
/// # Errors
/// Too large, or not readable (a folder, or changed meanwhile).
pub async fn bytes(file: &File) -> Result<Vec<u8>, Problem> {
    let size = file.size() as u64;
    if size > MAX_BYTES {
        return Err(Problem::too_large(&file.name(), size));
    }
    let buffer = JsFuture::from(file.array_buffer()).await.map_err(|_| Problem::unreadable(&file.name()))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
