//! Bundles from this machine: chosen, dropped or pasted. Sends nothing.

use wasm_bindgen::JsCast;
use web_sys::{DataTransfer, Event, File, HtmlInputElement};

/// The files a picker now holds; it is cleared, so that the same file can be chosen again.
pub fn chosen(event: &Event) -> Vec<File> {
    let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else {
        return Vec::new();
    };
    let files = input.files().map(|list| (0..list.length()).filter_map(|index| list.get(index)).collect());
    input.set_value("");
    files.unwrap_or_default()
}

/// The files of a drop or of a clipboard.
pub fn carried(data: Option<DataTransfer>) -> Vec<File> {
    let list = data.and_then(|data| data.files());
    list.map(|list| (0..list.length()).filter_map(|index| list.get(index)).collect()).unwrap_or_default()
}
