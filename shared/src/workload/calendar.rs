//! Dates and times of day as nanoseconds since 1970, exactly. Knows no clock and no time zone's rules.

/// Nanoseconds from 1970-01-01 00:00:00 UTC to `text`, which is `YYYY-MM-DD hh:mm:ss` with up to nine
/// digits after a point and perhaps an offset (`Z`, `+02:00`); without one UTC is meant. `None` when it
/// is something else, before 1970, or beyond what 64 bits hold.
pub(super) fn nanos_since_1970(text: &str) -> Option<crate::time::Nanos> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let days = days_since_1970(number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?)?;
    let are_marked = date[4] == b'-' && date[7] == b'-' && matches!(time[0], b' ' | b'T');
    if !are_marked || time[3] != b':' || time[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let num_digits = rest.strip_prefix(b".").map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count());
    let (fraction, offset) = match (rest.first(), num_digits) {
        (Some(b'.'), 1..=9) => {
            (number(&rest[1..=num_digits])? * 10i64.pow(9 - num_digits as u32), &rest[num_digits + 1..])
        }
        (Some(b'.'), _) => return None,
        _ => (0, rest),
    };
    let seconds = i128::from(days * 86_400 + hour * 3_600 + minute * 60 + second - offset_seconds(offset)?);
    u64::try_from(seconds * 1_000_000_000 + i128::from(fraction)).ok().map(crate::time::Nanos)
}

fn offset_seconds(offset: &[u8]) -> Option<i64> {
    let sign = match offset {
        [] | b"Z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (hour, minute) = match &offset[1..] {
        [h1, h2] => (number(&[*h1, *h2])?, 0),
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?),
        _ => return None,
    };
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 3_600 + minute * 60))
}

/// All of `digits` as a number.
fn number(digits: &[u8]) -> Option<i64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    if all { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

/// Days of the Gregorian calendar, counted by eras of 400 years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::nanos_since_1970;

    #[test]
    fn known_times_are_exact_to_the_nanosecond() {
        for (text, nanos) in [
            ("1970-01-01 00:00:00", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("2000-02-29 12:00:00", 951_825_600_000_000_000),
            ("2023-11-16 18:15:46.6805900", 1_700_158_546_680_590_000),
            ("2024-03-01 00:00:00.5+02:00", 1_709_244_000_500_000_000),
            ("2024-03-01 00:00:00-0130", 1_709_256_600_000_000_000),
        ] {
            assert_eq!(nanos_since_1970(text).map(|time| time.0), Some(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2023-11-16",
            "2023-11-16 18:15",
            "2023-02-29 00:00:00",
            "2100-02-29 00:00:00",
            "2023-13-01 00:00:00",
            "2023-00-01 00:00:00",
            "2023-01-00 00:00:00",
            "2023-01-01 24:00:00",
            "2023-01-01 00:60:00",
            "2023-01-01 00:00:60",
            "2023-01-01 00:00:00.",
            "2023-01-01 00:00:00.1234567890",
            "2023-01-01 00:00:00x",
            "2023-01-01 00:00:00+1",
            "2023/01/01 00:00:00",
            "1969-12-31 23:59:59",
            "9999-01-01 00:00:00",
            "+023-01-01 00:00:00",
            "２０２３-01-01 00:00:00",
        ] {
            assert_eq!(nanos_since_1970(text), None, "{text}");
        }
    }
}
