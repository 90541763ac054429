//! Decimal numbers in tables, filters and forms: one reader for all.

/// `text` as the nearest number: `12`, `-0.5`, `.5`, `5.`, `1e-05`, `nan`, `inf`; `None` when it is none of these, or too
/// large to be finite without saying so.
pub fn decimal(text: &str) -> Option<f64> {
    // JSON's reader is exact and in every build anyway. The standard library's has a table of its own, 10 KiB that do not
    // compress and that every visitor of the site would load.
    let json = |text: &str| serde_json::from_str::<f64>(text).ok();
    let is_bare = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if let Some(number) = Some(text).filter(|text| is_bare && !text.ends_with(char::is_whitespace)).and_then(json) {
        return Some(number);
    }
    let (is_negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = match size {
        word if word.eq_ignore_ascii_case("nan") => f64::NAN,
        word if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity") => f64::INFINITY,
        digits => json(&as_json(digits)?)?,
    };
    Some(if is_negative { -size } else { size })
}

/// Digits as JSON writes them: none to spare before the point, one at least on both sides.
fn as_json(size: &str) -> Option<String> {
    let place = size.find(['e', 'E']).unwrap_or(size.len());
    let (mantissa, exponent) = size.split_at(place);
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = mantissa.len() > usize::from(mantissa.contains('.'))
        && whole.bytes().chain(part.bytes()).all(|digit| digit.is_ascii_digit())
        && !exponent.ends_with(char::is_whitespace);
    let whole = whole.trim_start_matches('0');
    is_number.then(|| {
        format!("{}.{}{exponent}", if whole.is_empty() { "0" } else { whole }, if part.is_empty() { "0" } else { part })
    })
}

#[cfg(test)]
mod tests {
    use super::decimal;
    use crate::random::Stream;

    #[test]
    fn what_the_standard_library_reads_is_read_alike() {
        let forms = [
            "0",
            "-0",
            "7",
            "007",
            "+7",
            "12.50",
            ".5",
            "-.5",
            "5.",
            "1e-05",
            "1E5",
            "1.e3",
            "0.1",
            "1e-320",
            "9007199254740993",
            "17976931348623157e292",
            "4.9e-324",
            "2.2250738585072011e-308",
            "nan",
            "NaN",
            "-nan",
            "inf",
            "-Infinity",
            "+inf",
        ];
        let none = [
            "", ".", "-", "+", "e5", "1e", "1e+", "--1", "+-1", "1 ", " 1", "1_000", "1,5", "0x10", "1.2.3", "infinit",
            "1e5 ", "١", "\"1\"", "null", "[1]", "1\n", "-\n1", "5.\t",
        ];
        for text in forms.iter().chain(&none) {
            let (ours, std) = (decimal(text), text.parse::<f64>().ok());
            assert_eq!(ours.map(|one| one.is_nan()), std.map(|one| one.is_nan()), "{text:?}");
            assert!(ours == std || ours.is_some_and(f64::is_nan), "{text:?}: {ours:?}, not {std:?}");
            assert_eq!(ours.map(f64::is_sign_negative), std.map(f64::is_sign_negative), "{text:?}");
        }
    }

    #[test]
    fn every_number_comes_back_from_its_digits() {
        let mut stream = Stream::new(5, "decimal");
        for _ in 0..20_000 {
            let number = f64::from_bits(stream.below(0x7ff0_0000_0000_0000));
            for text in [format!("{number}"), format!("{number:e}"), format!("{number:.3}"), format!("0{number:?}")] {
                assert_eq!(decimal(&text), text.parse().ok(), "{text}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_none_unless_it_says_so() {
        assert_eq!((decimal("1e400"), decimal("-1e400")), (None, None));
    }
}
