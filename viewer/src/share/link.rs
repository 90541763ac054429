//! Links to hand on: to the bundles where they lie, or with the comparisons inside; where a link leads, and how long a
//! link other programs take.

use fidelio_shared::report::thousands;

use crate::link::{Link, Source};
use crate::state::ViewState;

/// Characters that every program takes.
const SAFE_LENGTH: usize = 2_000;
/// Characters that browsers take, and many other programs do not.
const LONG_LENGTH: usize = 8_000;

/// A link to this view, when every bundle lies at an address that others can ask for; else the names of those that do
/// not.
///
/// # Errors
/// The bundles that no link leads to.
pub fn by_address(bundles: &[(String, Option<Source>)], state: &ViewState) -> Result<Link, Vec<String>> {
    let is_local = |source: &Option<Source>| match source {
        None => true,
        Some(Source::Address(address)) => address.starts_with("blob:"),
        Some(Source::Data(_)) => false,
    };
    let local: Vec<String> =
        bundles.iter().filter(|(_, source)| is_local(source)).map(|(name, _)| name.clone()).collect();
    match local.is_empty() {
        true => Ok(Link {
            bundles: bundles.iter().filter_map(|(_, source)| source.clone()).collect(),
            state: state.clone(),
        }),
        false => Err(local),
    }
}

/// A link with comparisons inside, by place; a bundle that is not open has none and is left out.
pub fn with_data(comparisons: Vec<Option<String>>, state: &ViewState) -> Link {
    let place = |place: usize| comparisons.iter().take(place).flatten().count();
    let state = ViewState { focus: place(state.focus), reference: place(state.reference), ..state.clone() };
    Link { bundles: comparisons.into_iter().flatten().map(Source::Data).collect(), state }
}

/// The whole address of a link on `page`, an address of this site with or without query and fragment.
pub fn address(page: &str, link: &Link) -> String {
    let site = page.split(['?', '#']).next().unwrap_or_default();
    format!("{site}#{}", link.fragment())
}

/// Who cannot follow a link to `page`, if anyone.
pub fn reach(page: &str) -> Option<&'static str> {
    let host = page.split("://").nth(1).unwrap_or_default();
    let is_here = ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?', '#']))
    });
    if page.starts_with("file:") {
        Some("This page is a file of this machine: the link works here only. Send the file instead.")
    } else if is_here {
        Some(
            "This page is served by this machine, as long as `fidelio view` runs: for others, `fidelio share` makes a folder for any web server.",
        )
    } else {
        None
    }
}

/// Words of a link's length.
pub fn length(address: &str) -> String {
    format!("{} characters", thousands(address.chars().count() as u64))
}

/// What may happen to a link of that length.
pub fn warning(address: &str) -> Option<&'static str> {
    let length = address.chars().count();
    if length > LONG_LENGTH {
        Some("Over 8,000 characters: many programs cut such a link. Better send the bundle itself.")
    } else if length > SAFE_LENGTH {
        Some("Over 2,000 characters: some programs that send messages cut such a link.")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_has_no_link_and_is_named() {
        let state = ViewState { axis: fidelio_shared::charts::Axis::Log, ..ViewState::default() };
        let at = |address: &str| Some(Source::Address(address.to_owned()));
        let linked =
            [("a.zip".to_owned(), at("https://host/a.zip")), ("b".to_owned(), Some(Source::Data("x".to_owned())))];
        let link = by_address(&linked, &state).expect("a link");
        assert_eq!(
            address("https://site/x/?bundle=a.zip#metric=itl", &link),
            "https://site/x/#bundle=https://host/a.zip&data=x&axis=log"
        );
        let local = [("a.zip".to_owned(), None), ("b.zip".to_owned(), at("b.zip")), ("c.zip".to_owned(), at("blob:x"))];
        assert_eq!(by_address(&local, &state), Err(vec!["a.zip".to_owned(), "c.zip".to_owned()]));
    }

    #[test]
    fn places_move_up_when_a_bundle_is_left_out() {
        let state = ViewState { focus: 2, reference: 0, ..ViewState::default() };
        let link = with_data(vec![Some("x".to_owned()), None, Some("z".to_owned())], &state);
        assert_eq!((link.state.focus, link.state.reference, link.bundles.len()), (1, 0, 2));
    }

    #[test]
    fn a_link_says_who_can_follow_it_and_when_it_is_long() {
        for local in ["http://127.0.0.1:8080/#x", "http://localhost/", "file:///tmp/a.html"] {
            assert!(reach(local).is_some(), "{local}");
        }
        for open in ["https://host/", "https://localhost.example/", "https://127.0.0.1.example/"] {
            assert_eq!(reach(open), None, "{open}");
        }
        let long = |count: usize| warning(&"x".repeat(count)).map(|words| words.contains("8,000"));
        assert_eq!([long(2_000), long(2_001), long(8_001)], [None, Some(false), Some(true)]);
        assert_eq!(length(&"x".repeat(1400)), "1,400 characters");
    }
}
