//! Quantiles by linear interpolation between order statistics (Hyndman and Fan 1996, type 7), exact on integers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in hundredths of a nanosecond: exactly what a P50, P90 or P99 of whole nanoseconds can be,
/// so quantiles and their differences stay integers (float arithmetic prints 17140902.600000005).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CentiNanos(pub i64);

impl CentiNanos {
    /// `nanos` whole nanoseconds.
    pub fn from_nanos(nanos: u64) -> Self {
        CentiNanos(i64::try_from(nanos).ok().and_then(|nanos| nanos.checked_mul(100)).unwrap_or(i64::MAX))
    }

    /// In nanoseconds.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 100.0
    }
}

impl std::ops::Sub for CentiNanos {
    type Output = CentiNanos;
    fn sub(self, other: CentiNanos) -> CentiNanos {
        CentiNanos(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for CentiNanos {
    /// Nanoseconds with at most two decimals, no trailing zeros.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        match part {
            0 => write!(out, "{sign}{whole}"),
            part if part % 10 == 0 => write!(out, "{sign}{whole}.{}", part / 10),
            part => write!(out, "{sign}{whole}.{part:02}"),
        }
    }
}

impl Serialize for CentiNanos {
    /// A JSON number in nanoseconds: an integer where it is whole.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 { serializer.serialize_i64(self.0 / 100) } else { serializer.serialize_f64(self.as_f64()) }
    }
}

impl<'de> Deserialize<'de> for CentiNanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nanos = f64::deserialize(deserializer)?;
        let hundredths = libm::round(nanos * 100.0);
        if hundredths.is_finite() && hundredths.abs() < i64::MAX as f64 {
            Ok(CentiNanos(hundredths as i64))
        } else {
            Err(serde::de::Error::custom("a time must be a finite number of nanoseconds"))
        }
    }
}

/// A probability in hundredths of a percent, so that P99.9 is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percentile(pub u32);

impl Percentile {
    /// The median.
    pub const P50: Percentile = Percentile(5000);
    /// 90 %.
    pub const P90: Percentile = Percentile(9000);
    /// 95 %.
    pub const P95: Percentile = Percentile(9500);
    /// 99 %.
    pub const P99: Percentile = Percentile(9900);
    /// The ones every report shows.
    pub const USUAL: [Percentile; 4] = [Self::P50, Self::P90, Self::P95, Self::P99];

    /// As a fraction of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Percentile {
    /// `p50`, `p99.9`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(out, "p{whole}"),
            part if part % 10 == 0 => write!(out, "p{whole}.{}", part / 10),
            part => write!(out, "p{whole}.{part:02}"),
        }
    }
}

/// A sample in ascending order, in whole nanoseconds; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted(Vec<u64>);

impl Sorted {
    /// Sorts `values`; `None` when there are none.
    pub fn new(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        (!values.is_empty()).then_some(Sorted(values))
    }

    /// Takes values that are in ascending order already.
    pub(crate) fn of_ascending(values: Vec<u64>) -> Option<Self> {
        debug_assert!(values.is_sorted(), "the caller keeps them in order");
        (!values.is_empty()).then_some(Sorted(values))
    }

    /// Ascending values.
    pub fn values(&self) -> &[u64] {
        &self.0
    }

    /// Smallest value.
    pub fn min(&self) -> u64 {
        self.0[0]
    }

    /// Largest value.
    pub fn max(&self) -> u64 {
        self.0[self.0.len() - 1]
    }

    /// Mean, rounded to hundredths of a nanosecond (half up).
    pub fn mean(&self) -> CentiNanos {
        let (sum, count) = (self.0.iter().map(|value| u128::from(*value)).sum::<u128>(), self.0.len() as u128);
        CentiNanos(i64::try_from((sum * 200 + count) / (2 * count)).unwrap_or(i64::MAX))
    }

    /// The value below which the fraction `percentile` of the sample lies, type 7: position
    /// `(n - 1) p` between order statistics. Exact for whole percents, else rounded half up.
    pub fn quantile(&self, percentile: Percentile) -> CentiNanos {
        self.quantile_at(u64::from(percentile.0), 10_000)
    }

    /// Like [`Sorted::quantile`] for the fraction `numerator / denominator`, in `0..=1`.
    pub fn quantile_at(&self, numerator: u64, denominator: u64) -> CentiNanos {
        assert!(denominator > 0 && numerator <= denominator, "a quantile's fraction lies in 0..=1");
        let position = (self.0.len() as u128 - 1) * u128::from(numerator);
        let denominator = u128::from(denominator);
        let (index, part) = ((position / denominator) as usize, position % denominator);
        let low = u128::from(self.0[index]);
        let high = u128::from(self.0[(index + 1).min(self.0.len() - 1)]);
        let scaled = (low * denominator + (high - low) * part) * 100;
        let rounded = (scaled * 2 + denominator) / (denominator * 2);
        CentiNanos(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_published_first_token_times_are_exact_to_the_printed_digit() {
        // TTFT of the published A100 run of Qwen3-0.6B, in ns.
        let ttft = [23058042, 16598738, 16649246, 17306119, 18742861, 17261806, 18196214, 17201404];
        let sorted = Sorted::new(ttft.to_vec()).expect("eight values");
        assert_eq!(sorted.quantile(Percentile::P50).to_string(), "17283962.5");
        assert_eq!(sorted.quantile(Percentile(0)).to_string(), "16598738");
        assert_eq!(sorted.quantile(Percentile(10_000)).to_string(), "23058042");
    }

    #[test]
    fn a_time_keeps_its_hundredths_through_json() {
        for hundredths in [0, 1, 10, 250, 2_275_597_933, -1_750, 1_714_090_260] {
            let time = CentiNanos(hundredths);
            let json = serde_json::to_string(&time).expect("a number");
            assert_eq!(serde_json::from_str::<CentiNanos>(&json).expect("a time"), time, "{json}");
        }
        assert_eq!(CentiNanos(2_275_597_933).to_string(), "22755979.33");
        assert_eq!(CentiNanos(-150).to_string(), "-1.5");
    }
}
