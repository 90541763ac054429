//! What leaves the page: links, Markdown, CSV and figures, each with a line that says where its numbers are from.
//! Pure text work; `panels::share` hands it to the clipboard and to files.

pub mod csv;
pub mod figure;
pub mod link;
pub mod markdown;
pub mod provenance;

#[cfg(test)]
pub mod sample;
