//! The cursor: one quantile, read off every curve of the page at once. It stops only where quantiles are exact: at the
//! points of the stored curves, and at the percentiles of the table.

use fidelio_shared::charts::{format_duration, format_signed_duration};
use fidelio_shared::report;
use fidelio_shared::stats::CentiNanos;

use crate::words::typeset;

/// A quantile on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// The fraction, 0 to 1.
    pub fraction: f64,
    /// Real, ns.
    pub real_ns: CentiNanos,
    /// Simulated, ns.
    pub sim_ns: CentiNanos,
    /// A row of the percentile table.
    pub is_row: bool,
}

impl Stop {
    /// (simulated - real) / real.
    pub fn rel_error(&self) -> Option<f64> {
        (self.real_ns.0 > 0).then(|| (self.sim_ns - self.real_ns).0 as f64 / self.real_ns.0 as f64)
    }

    /// `P97.5`.
    pub fn label(&self) -> String {
        let percent = format!("{:.4}", self.fraction * 100.0);
        format!("P{}", percent.trim_end_matches('0').trim_end_matches('.'))
    }

    /// All of it in one line.
    pub fn words(&self) -> String {
        let error = self.rel_error().map_or(String::new(), |error| format!(" ({})", report::percent(error)));
        typeset(&format!(
            "{}: real {}, simulated {}, difference {}{error}",
            self.label(),
            format_duration(self.real_ns.as_f64()),
            format_duration(self.sim_ns.as_f64()),
            format_signed_duration((self.sim_ns - self.real_ns).as_f64()),
        ))
    }
}

/// Where the cursor can stop, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stops(Vec<Stop>);

impl Stops {
    /// Of a curve's points and a table's rows.
    pub fn new(
        points: impl Iterator<Item = (f64, CentiNanos, CentiNanos)>,
        rows: impl Iterator<Item = (f64, CentiNanos, CentiNanos)>,
    ) -> Self {
        let stop = |is_row: bool| {
            move |(fraction, real_ns, sim_ns): (f64, CentiNanos, CentiNanos)| Stop { fraction, real_ns, sim_ns, is_row }
        };
        let mut stops: Vec<Stop> = rows.map(stop(true)).chain(points.map(stop(false))).collect();
        // A row comes before a point of the same fraction, and stays.
        fidelio_shared::order::sort_by(&mut stops, |a, b| {
            a.fraction.total_cmp(&b.fraction).then(b.is_row.cmp(&a.is_row))
        });
        stops.dedup_by(|later, first| later.fraction == first.fraction);
        Stops(stops)
    }

    /// The stop nearest to a fraction.
    pub fn nearest(&self, fraction: f64) -> Option<Stop> {
        let next = self.0.partition_point(|stop| stop.fraction < fraction);
        let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter_map(|place| self.0.get(place));
        near.min_by(|a, b| (a.fraction - fraction).abs().total_cmp(&(b.fraction - fraction).abs())).copied()
    }

    /// Where a key leads from `here`; `None` for keys that lead nowhere.
    pub fn after_key(&self, key: &str, is_fine: bool, here: Option<f64>) -> Option<Stop> {
        let from = here.unwrap_or(0.5);
        let step = if is_fine { 0.001 } else { 0.01 };
        match key {
            "Home" => self.0.first().copied(),
            "End" => self.0.last().copied(),
            "PageUp" => self.0.iter().find(|stop| stop.is_row && stop.fraction > from + 1e-9).copied(),
            "PageDown" => self.0.iter().rev().find(|stop| stop.is_row && stop.fraction < from - 1e-9).copied(),
            "ArrowRight" | "ArrowUp" | "ArrowLeft" | "ArrowDown" if here.is_none() => self.nearest(from),
            "ArrowRight" | "ArrowUp" => self.moved(from, step),
            "ArrowLeft" | "ArrowDown" => self.moved(from, -step),
            _ => None,
        }
    }

    /// The stop a step away, and another one in any case, as long as there is one.
    fn moved(&self, from: f64, step: f64) -> Option<Stop> {
        let wanted = self.nearest((from + step).clamp(0.0, 1.0))?;
        if (wanted.fraction - from) * step > 1e-9 {
            return Some(wanted);
        }
        match step > 0.0 {
            true => self.0.iter().find(|stop| stop.fraction > from + 1e-9).copied(),
            false => self.0.iter().rev().find(|stop| stop.fraction < from - 1e-9).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops() -> Stops {
        let at = |fraction: f64| (fraction, CentiNanos((fraction * 1e9) as i64), CentiNanos((fraction * 2e9) as i64));
        Stops::new((0..=8).map(|eighth| at(f64::from(eighth) / 8.0)), [0.5, 0.9, 0.99].into_iter().map(at))
    }

    #[test]
    fn the_cursor_stops_at_points_and_rows_only() {
        let fraction = |wanted| stops().nearest(wanted).map(|stop| stop.fraction);
        assert_eq!(
            [fraction(0.0), fraction(0.52), fraction(0.91), fraction(1.0)],
            [Some(0.0), Some(0.5), Some(0.9), Some(1.0)]
        );
        assert!(stops().nearest(0.5).is_some_and(|stop| stop.is_row));
        assert_eq!(Stops::default().nearest(0.5), None);
    }

    #[test]
    fn keys_always_lead_on_and_stop_at_the_ends() {
        let key = |key, here| stops().after_key(key, false, here).map(|stop| stop.fraction);
        assert_eq!(key("ArrowRight", None), Some(0.5));
        assert_eq!(key("ArrowRight", Some(0.5)), Some(0.625));
        assert_eq!(key("ArrowLeft", Some(0.5)), Some(0.375));
        assert_eq!(key("PageUp", Some(0.5)), Some(0.9));
        assert_eq!(key("PageDown", Some(0.95)), Some(0.9));
        assert_eq!((key("ArrowRight", Some(1.0)), key("End", None), key("q", None)), (None, Some(1.0), None));
    }

    #[test]
    fn a_stop_reads_as_one_line() {
        let stop = stops().nearest(0.9).expect("a row");
        assert_eq!(stop.words(), "P90: real 9.000 ms, simulated 18.00 ms, difference +9.000 ms (+100.0 %)");
    }
}
