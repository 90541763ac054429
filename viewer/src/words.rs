//! Words and marks for what `shared` says: the same verdict reads the same in every panel.

use fidelio_shared::charts::format_duration;
use fidelio_shared::schema::comparison::RunIdentity;
use fidelio_shared::stats::Verdict;
use leptos::prelude::*;

/// Text with its minus signs as print has them; hyphens between letters stay.
pub fn typeset(text: &str) -> String {
    let mut set = String::with_capacity(text.len());
    for (place, letter) in text.char_indices() {
        let is_after_word = text[..place].ends_with(|before: char| before.is_ascii_alphanumeric());
        let is_before_digit = text[place + letter.len_utf8()..].starts_with(|after: char| after.is_ascii_digit());
        set.push(if letter == '-' && is_before_digit && !is_after_word { '−' } else { letter });
    }
    set
}

/// Text of a file's or a stranger's as it may be shown: at most `most` letters, and none that turn or hide what stands
/// around them (controls, marks of writing direction).
pub fn plain(text: &str, most: usize) -> String {
    let is_trick = |letter: char| {
        (letter.is_control() && !matches!(letter, '\n' | '\t'))
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut letters = text.chars().map(|letter| if is_trick(letter) { '\u{fffd}' } else { letter });
    let mut shown: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A fraction as a signed percentage, or a dash where there is none.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "–".to_owned(), |fraction| typeset(&fidelio_shared::report::percent(fraction)))
}

/// A time in ns, or a dash where there is none.
pub fn time(ns: Option<u64>) -> String {
    ns.map_or_else(|| "–".to_owned(), |ns| format_duration(ns as f64))
}

/// Class of everything coloured by a verdict; the words are always there too.
pub fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Within => "within",
        Verdict::CannotTell => "unsure",
        Verdict::Outside => "outside",
    }
}

/// Outline of a verdict's mark in a 16 × 16 box: a tick, a question mark, a cross.
pub fn verdict_path(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Within => "M4 8.5l2.8 2.8L12 5.4",
        Verdict::CannotTell => "M5.9 6.1a2.1 2.1 0 1 1 3.1 1.9c-.7.4-1 .8-1 1.6M8 12v.1",
        Verdict::Outside => "M5 5l6 6M11 5l-6 6",
    }
}

/// A run in one line: what ran it, on what.
pub fn run_line(run: &RunIdentity) -> String {
    let parts = [run.engine.as_deref(), run.hardware.as_deref()];
    let known: Vec<&str> = parts.into_iter().flatten().collect();
    if known.is_empty() { run.name.clone() } else { known.join(" on ") }
}

/// A size people read: `13.2 MB`.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// What `shared` says in passing, as a sentence of its own.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().collect();
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// Text with its `literals` set as code.
pub fn with_code(text: &str) -> impl IntoView + use<> {
    let part = |(index, part): (usize, &str)| match index % 2 {
        0 => part.to_owned().into_any(),
        _ => view! { <code>{part.to_owned()}</code> }.into_any(),
    };
    text.split('`').enumerate().map(part).collect_view()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_tricky_text_is_made_plain() {
        assert_eq!(plain("zip.\u{202e}txt\0", 20), "zip.\u{fffd}txt\u{fffd}");
        assert_eq!(plain(&"ä".repeat(3_000_000), 3), "äää…");
        assert_eq!(plain("<script>alert(1)</script>\n", 99), "<script>alert(1)</script>\n");
    }

    #[test]
    fn minus_signs_are_set_and_hyphens_kept() {
        assert_eq!(
            typeset("end-to-end of qwen3-0.6b at -91.4 %, -15.32 ms"),
            "end-to-end of qwen3-0.6b at −91.4 %, −15.32 ms"
        );
        assert_eq!(percent(Some(-0.886)), "−88.6 %");
        assert_eq!(percent(None), "–");
    }
}
