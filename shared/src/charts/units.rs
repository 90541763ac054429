//! How people read times and rates: in the right unit, with four digits that count. The only such formatter.

use crate::report::thousands;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    const ALL: [Unit; 4] = [Unit::Nanoseconds, Unit::Microseconds, Unit::Milliseconds, Unit::Seconds];

    /// The unit in which a time of about `nanos` has one to three digits before the point.
    pub fn of(nanos: f64) -> Unit {
        let size = nanos.abs();
        // 999.95 and more would be printed as 1000: that is the next unit.
        let fits = |unit: &&Unit| size < 999.95 * unit.nanos();
        Unit::ALL.iter().find(fits).copied().unwrap_or(Unit::Seconds)
    }

    /// How many nanoseconds one of it is.
    pub fn nanos(self) -> f64 {
        match self {
            Unit::Nanoseconds => 1.0,
            Unit::Microseconds => 1e3,
            Unit::Milliseconds => 1e6,
            Unit::Seconds => 1e9,
        }
    }

    /// `ns`, `µs`, `ms`, `s`.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "µs",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
        }
    }
}

/// `nanos` nanoseconds with four significant digits and its unit: `17.28 ms`, `1.968 ms`, `640 ns`, `-15.32 ms`.
pub fn format_duration(nanos: f64) -> String {
    if !nanos.is_finite() {
        return "–".to_owned();
    }
    let unit = Unit::of(nanos);
    let value = nanos.abs() / unit.nanos();
    let is_whole = unit == Unit::Nanoseconds && value.fract() == 0.0;
    let decimals = match value {
        _ if is_whole => 0,
        value if value < 9.9995 => 3,
        value if value < 99.995 => 2,
        value if value < 999.95 => 1,
        _ => 0,
    };
    let digits = format!("{value:.decimals$}");
    format!("{}{digits} {}", minus(nanos, &digits), unit.symbol())
}

/// Like [`format_duration`], with a plus sign where it is positive: differences.
pub fn format_signed_duration(nanos: f64) -> String {
    plus(nanos, format_duration(nanos))
}

/// A rate, which is never negative, with three digits or all of its whole ones: `0.512`, `38.4`, `2,098`.
pub fn format_rate(rate: f64) -> String {
    match rate {
        rate if !rate.is_finite() => "–".to_owned(),
        rate if rate < 9.995 => format!("{rate:.2}"),
        rate if rate < 999.95 => format!("{rate:.1}"),
        _ => thousands(libm::round(rate) as u64),
    }
}

fn minus(value: f64, digits: &str) -> &'static str {
    let is_zero = digits.chars().all(|digit| matches!(digit, '0' | '.'));
    if value < 0.0 && !is_zero { "-" } else { "" }
}

fn plus(value: f64, text: String) -> String {
    let is_zero = !text.chars().any(|letter| matches!(letter, '1'..='9'));
    if value > 0.0 && !is_zero { format!("+{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_keeps_four_digits() {
        let cases = [
            (0.0, "0 ns"),
            (640.0, "640 ns"),
            (999.5, "999.5 ns"),
            (999.96, "1.000 µs"),
            (1_901_006.6, "1.901 ms"),
            (17_283_962.5, "17.28 ms"),
            (121_967_428.0, "122.0 ms"),
            (999_949_999.0, "999.9 ms"),
            (999_960_000.0, "1.000 s"),
            (4.2e13, "42000 s"),
            (-15_316_352.5, "-15.32 ms"),
            (f64::NAN, "–"),
        ];
        for (nanos, text) in cases {
            assert_eq!(format_duration(nanos), text);
        }
        assert_eq!(format_signed_duration(1_500.0), "+1.500 µs");
        assert_eq!(format_signed_duration(0.0), "0 ns");
    }

    #[test]
    fn rates_keep_three_digits() {
        assert_eq!([0.512, 38.42, 999.96, 2098.9].map(format_rate), ["0.51", "38.4", "1,000", "2,099"]);
    }
}
