//! What was opened here before, kept only if the reader asks: names, sizes, times, and the addresses of linked bundles,
//! in this browser's storage. Never anything of what is in them.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use web_sys::Storage;

use crate::app::View;
use crate::link::Source;
use crate::open::address;
use crate::session::Stage;
use crate::words::plain;

/// Where it lies; it is there only while the reader wants it.
const KEY: &str = "fidelio-recent";
/// Entries, at most.
const MOST: usize = 12;
/// Letters of a name, and of an address.
const LONGEST: (usize, usize) = (200, 2_000);

/// A bundle that was open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its file's name.
    pub name: String,
    /// Where it lies; a file of this machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_bytes: Option<u64>,
    /// When it was opened last, ms since 1970.
    pub opened_at: f64,
}

/// The latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    entries: Vec<Entry>,
}

impl Recent {
    /// What is stored; anything that is not ours is nothing.
    pub fn parse(text: &str) -> Self {
        let mut recent: Recent = serde_json::from_slice(text.as_bytes()).unwrap_or_default();
        recent.entries.truncate(MOST);
        for entry in &mut recent.entries {
            entry.name = plain(&entry.name, LONGEST.0);
        }
        recent
    }

    /// The latest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// With one more, which takes the place of an older one of the same name and address.
    pub fn with(mut self, entry: Entry) -> Self {
        if entry.address.as_ref().is_some_and(|address| address.len() > LONGEST.1) {
            return self;
        }
        self.entries.retain(|old| (&old.name, &old.address) != (&entry.name, &entry.address));
        self.entries.insert(0, entry);
        self.entries.truncate(MOST);
        self
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The browser's storage; none where it is forbidden.
fn storage() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

/// The browser keeps things for this page, if it is asked to.
pub fn is_possible() -> bool {
    storage().is_some()
}

/// What is remembered; `None` while nobody asked.
pub fn remembered() -> Option<Recent> {
    storage()?.get_item(KEY).ok().flatten().map(|text| Recent::parse(&text))
}

/// Begins to remember, or forgets everything and stops.
pub fn set_asked(is_asked: bool) {
    let Some(storage) = storage() else { return };
    let _ = if is_asked { storage.set_item(KEY, &Recent::default().text()) } else { storage.remove_item(KEY) };
}

/// Forgets what was opened, and goes on remembering.
pub fn forget() {
    if remembered().is_some() {
        set_asked(true);
    }
}

/// From now on remembers what opens, if asked.
pub fn follow(view: View) {
    let seen = StoredValue::new(Vec::<u32>::new());
    Effect::new(move |_| {
        for session in view.sessions.get() {
            let Stage::Open(opened) = session.stage.get() else { continue };
            if seen.with_value(|seen| seen.contains(&session.id)) {
                continue;
            }
            seen.update_value(|seen| seen.push(session.id));
            let address = match session.source.get_value() {
                // A comparison inside a link is in the browser's own history.
                Some(Source::Data(_)) => continue,
                Some(Source::Address(text)) => {
                    address::resolve(&text, &window().location().href().unwrap_or_default()).ok()
                }
                None => None,
            };
            let entry = Entry {
                name: opened.name.clone(),
                address: address.filter(|address| !address.starts_with("blob:")),
                num_bytes: opened.num_bytes,
                opened_at: js_sys::Date::now(),
            };
            if let (Some(storage), Some(recent)) = (storage(), remembered()) {
                let _ = storage.set_item(KEY, &recent.with(entry).text());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, address: Option<&str>, opened_at: f64) -> Entry {
        Entry { name: name.to_owned(), address: address.map(str::to_owned), num_bytes: Some(7), opened_at }
    }

    #[test]
    fn the_latest_comes_first_and_once_and_the_list_has_an_end() {
        let mut recent = Recent::default();
        for place in 0..20 {
            recent = recent.with(entry(&format!("{place}.zip"), None, f64::from(place)));
        }
        recent = recent.with(entry("12.zip", None, 99.0)).with(entry("12.zip", Some("https://host/12.zip"), 100.0));
        let names: Vec<&str> = recent.entries().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names.len(), MOST);
        assert_eq!(names[..4], ["12.zip", "12.zip", "19.zip", "18.zip"]);
        assert_eq!(Recent::parse(&recent.text()), recent);
    }

    #[test]
    fn what_is_not_ours_is_nothing_and_long_addresses_are_not_kept() {
        for text in ["", "null", "[]", "{\"entries\": 7}", "{\"entries\": [{\"name\": 1}]}"] {
            assert_eq!(Recent::parse(text), Recent::default(), "{text}");
        }
        assert_eq!(Recent::default().with(entry("a", Some(&"x".repeat(3_000)), 0.0)), Recent::default());
        let long = Recent { entries: vec![entry(&"a".repeat(1 << 20), None, 0.0); 100] };
        let read = Recent::parse(&long.text());
        assert_eq!((read.entries().len(), read.entries()[0].name.chars().count()), (MOST, 201));
    }
}
