//! `fidelio configs [GROUP]`: what there is to choose from, each with the first line of its file.

use crate::config::{ConfigError, Library, Listing};

/// The options of one group, or of all.
///
/// # Errors
/// A group that does not exist.
pub fn list_configs(library: &Library, group: Option<&str>) -> Result<Vec<Listing>, ConfigError> {
    library.list(group)
}

/// The list for a person: groups as headings, options below.
pub fn configs_text(listings: &[Listing]) -> String {
    let width = listings.iter().map(|listing| listing.option.len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut group = "";
    for listing in listings {
        if listing.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}{}\n", listing.group));
            group = &listing.group;
        }
        let from = listing.file.as_ref().map(|file| format!(" ({})", file.display())).unwrap_or_default();
        text.push_str(&format!("  {:width$}  {}{from}\n", listing.option, listing.description));
    }
    text
}
