//! Keys of the whole page and what they do; pure, `panels::help` lists them and acts.

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Show the metric at this place.
    Metric(usize),
    /// Times linear or logarithmic.
    Axis,
    /// Fractions even or with the tail drawn out.
    Tail,
    /// Go to the filter of the request table.
    Filter,
    /// Let go of the brushed part, or of the cursor.
    Clear,
    /// Open the dialog that shares.
    Share,
    /// Open the list of keys.
    Help,
}

/// The list, for readers: keys, and what they do.
pub const LIST: [(&str, &str); 10] = [
    ("1 – 9", "show a metric"),
    ("l", "times linear or logarithmic"),
    ("t", "tail drawn out or not"),
    ("/", "filter the table of requests"),
    ("Esc", "let go of the selection, then of the cursor"),
    ("s", "share: links, Markdown, CSV, figures"),
    ("?", "this list"),
    ("← →", "on a tab: the next metric; on a figure: the next quantile, with Shift finer"),
    ("Page ↑ ↓", "on a figure: the next percentile of the table; on a brush: a longer step"),
    ("Home, End", "on a tab, a figure or a brush: the first, the last"),
];

/// What `key` (as `KeyboardEvent.key` names it) does; nothing with a modifier, nor while a text is typed.
pub fn action(key: &str, is_modified: bool, is_typing: bool) -> Option<Action> {
    if is_modified || is_typing {
        return None;
    }
    match key {
        "l" | "L" => Some(Action::Axis),
        "t" | "T" => Some(Action::Tail),
        "/" => Some(Action::Filter),
        "Escape" => Some(Action::Clear),
        "s" | "S" => Some(Action::Share),
        "?" => Some(Action::Help),
        digit => match digit.as_bytes() {
            [digit @ b'1'..=b'9'] => Some(Action::Metric(usize::from(digit - b'1'))),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_act_unless_a_text_is_typed_or_a_modifier_held() {
        let plain = |key| action(key, false, false);
        assert_eq!([plain("1"), plain("9")], [Some(Action::Metric(0)), Some(Action::Metric(8))]);
        assert_eq!(
            [plain("l"), plain("t"), plain("/")],
            [Some(Action::Axis), Some(Action::Tail), Some(Action::Filter)]
        );
        assert_eq!(
            [plain("Escape"), plain("s"), plain("?")],
            [Some(Action::Clear), Some(Action::Share), Some(Action::Help)]
        );
        assert_eq!([plain("0"), plain("12"), plain("Enter"), plain("q"), plain("F1"), plain("")], [None; 6]);
        for key in ["1", "l", "/", "Escape", "s", "?"] {
            assert_eq!((action(key, true, false), action(key, false, true)), (None, None));
        }
    }

    #[test]
    fn every_action_is_in_the_list() {
        let listed: Vec<&str> = LIST.iter().map(|(keys, _)| *keys).collect();
        for key in ["l", "t", "/", "s", "?"] {
            assert!(listed.contains(&key) && action(key, false, false).is_some(), "{key}");
        }
    }
}
