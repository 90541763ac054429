//! Time as the whole project counts it: integer nanoseconds since a run began. Knows no clock.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// Nanoseconds since the start of a run, or a span of them. Never negative; arithmetic panics on
/// overflow rather than wrap, because a wrapped time would be a plausible lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The start of the run.
    pub const ZERO: Nanos = Nanos(0);

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Nanos(millis * 1_000_000)
    }

    /// `seconds` rounded to the nearest nanosecond; `None` when negative, not finite or out of range.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        let nanos = libm::round(seconds * 1e9);
        (nanos >= 0.0 && nanos < u64::MAX as f64).then_some(Nanos(nanos as u64))
    }

    /// This span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This span in milliseconds.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `self - earlier`, or zero when `earlier` is later.
    #[inline]
    pub fn saturating_sub(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self - earlier`, or `None` when `earlier` is later.
    pub fn checked_sub(self, earlier: Nanos) -> Option<Nanos> {
        self.0.checked_sub(earlier.0).map(Nanos)
    }
}

impl Add for Nanos {
    type Output = Nanos;
    #[inline]
    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0.checked_add(other.0).expect("time fits 584 years"))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Nanos) {
        *self = *self + other;
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    #[inline]
    fn sub(self, earlier: Nanos) -> Nanos {
        Nanos(self.0.checked_sub(earlier.0).expect("time does not run backwards"))
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Nanos>>(spans: I) -> Nanos {
        spans.fold(Nanos::ZERO, Add::add)
    }
}

impl fmt::Display for Nanos {
    /// The bare integer, as the CSV files have it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Picoseconds of simulated time. The simulator adds thousands of predicted step times; rounded to a
/// nanosecond each, they would drift by microseconds. 64 bits hold 213 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    const PER_NANO: u64 = 1_000;

    /// `nanos` rounded to the nearest tick; not a number and negative values are zero.
    #[inline]
    pub fn from_nanos_f64(nanos: f64) -> Self {
        // `as` saturates, and turns what is no number into zero.
        Ticks((nanos * Self::PER_NANO as f64 + 0.5) as u64)
    }

    /// This span in nanoseconds.
    #[inline]
    pub fn to_nanos_f64(self) -> f64 {
        self.0 as f64 / Self::PER_NANO as f64
    }

    /// The nearest nanosecond, halves upwards.
    #[inline]
    pub fn to_nanos(self) -> Nanos {
        Nanos((self.0 + Self::PER_NANO / 2) / Self::PER_NANO)
    }
}

impl From<Nanos> for Ticks {
    /// # Panics
    /// Beyond 213 days.
    #[inline]
    fn from(nanos: Nanos) -> Self {
        Ticks(nanos.0.checked_mul(Self::PER_NANO).expect("simulated time fits 213 days"))
    }
}

impl Add for Ticks {
    type Output = Ticks;
    #[inline]
    fn add(self, other: Ticks) -> Ticks {
        Ticks(self.0.checked_add(other.0).expect("simulated time fits 213 days"))
    }
}
