//! The same requests on both sides, cut to the shorter output; the worst of them, and the order they were served in.

use crate::metrics::{Metric, Timeline};
use crate::schema::comparison::{BlandAltman, Counts, DisplacedRequest, OrderReport, PairErrors, WorstRequest};
use crate::schema::{RequestRow, Run};
use crate::stats::{interpolate, kendall_tau};

/// Points of the stored curve of relative errors, at most.
const MAX_ERROR_POINTS: usize = 201;
/// Requests named, at most.
const MOST_NAMED: usize = 10;

/// A request on both sides, cut to the same length: its row, its real timeline, its simulated one.
pub type Line<'a> = (&'a RequestRow, Timeline<'a>, Timeline<'a>);

/// Pairs, in order of arrival.
pub struct Pairs<'a> {
    /// The requests.
    pub lines: Vec<Line<'a>>,
    /// How many there are, and how many there are not.
    pub counts: Counts,
}

impl<'a> Pairs<'a> {
    /// The requests with output on both sides.
    pub fn of(real: &'a Run, sim: &'a Run) -> Self {
        let mut pairs = Pairs { lines: Vec::new(), counts: Counts::default() };
        pairs.counts.num_requests = real.requests.len();
        for (index, row) in real.requests.iter().enumerate() {
            let (a, b) = (Timeline::of(real, index), Timeline::of(sim, index));
            pairs.counts.num_real_missing += usize::from(a.is_none());
            pairs.counts.num_sim_missing += usize::from(b.is_none());
            let (Some(a), Some(b)) = (a, b) else { continue };
            let Some((a, b)) = cut_alike(a, b) else {
                pairs.counts.num_uncut += 1;
                continue;
            };
            let is_cut = [real, sim].iter().any(|run| run.requests[index].num_decode_tokens_actual != a.num_tokens());
            pairs.counts.num_cut += usize::from(is_cut);
            pairs.counts.num_compared += 1;
            pairs.counts.num_tokens += u64::from(a.num_tokens());
            pairs.lines.push((row, a, b));
        }
        // Neighbours in time depend on each other, whatever their ids.
        crate::order::sort_by_key(&mut pairs.lines, |(row, ..)| (row.arrival, row.request_id));
        pairs
    }

    /// The requests with the largest absolute E2E error, worst first.
    pub fn worst(&self) -> Vec<WorstRequest> {
        let of = |(row, a, b): &Line<'_>| {
            let (real, sim) = (a.value(Metric::E2e)?, b.value(Metric::E2e)?);
            Some(WorstRequest {
                request_id: row.request_id,
                num_prefill_tokens: row.num_prefill_tokens,
                num_decode_tokens: a.num_tokens(),
                real_e2e_ns: real,
                sim_e2e_ns: sim,
                rel_error: (real > 0).then(|| (sim as f64 - real as f64) / real as f64),
            })
        };
        let mut worst: Vec<WorstRequest> = self.lines.iter().filter_map(of).collect();
        crate::order::sort_by_key(&mut worst, |request| {
            (std::cmp::Reverse(request.real_e2e_ns.abs_diff(request.sim_e2e_ns)), request.request_id)
        });
        worst.truncate(MOST_NAMED);
        worst
    }

    /// The order of first tokens; `None` where all come at one instant.
    pub fn order(&self) -> Option<OrderReport> {
        let first = |line: &Timeline<'_>| line.first_token();
        let times: Vec<_> = self.lines.iter().filter_map(|(_, a, b)| first(a).zip(first(b))).collect();
        let (real, sim): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        let kendall_tau = kendall_tau(&real, &sim)?;
        let places = |times: &[crate::time::Nanos]| {
            let mut order: Vec<usize> = (0..times.len()).collect();
            crate::order::sort_by_key(&mut order, |index| (times[*index], *index));
            let mut places = vec![0; times.len()];
            order.iter().enumerate().for_each(|(place, index)| places[*index] = place + 1);
            places
        };
        let (real, sim) = (places(&real), places(&sim));
        let ids =
            self.lines.iter().filter(|(_, a, b)| first(a).zip(first(b)).is_some()).map(|(row, ..)| row.request_id);
        let mut displaced: Vec<DisplacedRequest> = ids
            .zip(real.iter().zip(&sim))
            .filter(|(_, (real, sim))| real != sim)
            .map(|(request_id, (real, sim))| DisplacedRequest { request_id, real_place: *real, sim_place: *sim })
            .collect();
        let num_displaced = displaced.len();
        crate::order::sort_by_key(&mut displaced, |one| {
            (std::cmp::Reverse(one.real_place.abs_diff(one.sim_place)), one.request_id)
        });
        displaced.truncate(MOST_NAMED);
        Some(OrderReport { kendall_tau, num_displaced, displaced })
    }
}

/// The request `index` on both sides, cut to the shorter output; `None` where it has none, or cannot be cut.
pub fn line<'a>(real: &'a Run, sim: &'a Run, index: usize) -> Option<Line<'a>> {
    let (a, b) = cut_alike(Timeline::of(real, index)?, Timeline::of(sim, index)?)?;
    Some((&real.requests[index], a, b))
}

fn cut_alike<'a>(a: Timeline<'a>, b: Timeline<'a>) -> Option<(Timeline<'a>, Timeline<'a>)> {
    let shorter = a.num_tokens().min(b.num_tokens());
    a.cut(shorter).zip(b.cut(shorter))
}

/// Requests against themselves: (real, simulated) values of one metric, ns. `None` without any above zero.
pub fn pair_errors(values: &[(u64, u64)], tolerance: f64) -> Option<PairErrors> {
    let signed = |(real, sim): &(u64, u64)| (*real > 0).then(|| (*sim as f64 - *real as f64) / *real as f64);
    let mut errors: Vec<f64> = values.iter().filter_map(signed).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let points = errors.len().clamp(2, MAX_ERROR_POINTS);
    let fractions: Vec<f64> = (0..points).map(|index| index as f64 / (points - 1) as f64).collect();
    let rel_errors = fractions.iter().map(|fraction| interpolate(&errors, *fraction)).collect::<Option<Vec<f64>>>()?;
    let num_within = errors.iter().filter(|error| libm::fabs(**error) <= tolerance).count();
    Some(PairErrors {
        num_pairs: errors.len(),
        share_within: num_within as f64 / errors.len() as f64,
        rel_errors,
        fractions,
        bland_altman: bland_altman(values),
    })
}

fn bland_altman(values: &[(u64, u64)]) -> BlandAltman {
    let n = values.len() as f64;
    let points = || values.iter().map(|(real, sim)| (*sim as f64 - *real as f64, (*sim as f64 + *real as f64) / 2.0));
    let bias_ns = points().map(|(difference, _)| difference).sum::<f64>() / n;
    let centre = points().map(|(_, mean)| mean).sum::<f64>() / n;
    let (mut differences, mut means, mut both) = (0.0, 0.0, 0.0);
    for (difference, mean) in points() {
        let (x, y) = (mean - centre, difference - bias_ns);
        differences += y * y;
        means += x * x;
        both += x * y;
    }
    let deviation_ns = libm::sqrt(differences / (n - 1.0).max(1.0));
    BlandAltman {
        bias_ns,
        deviation_ns,
        low_ns: bias_ns - 1.96 * deviation_ns,
        high_ns: bias_ns + 1.96 * deviation_ns,
        slope: (means > 0.0).then(|| both / means),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_that_grow_with_the_value_have_a_slope() {
        let values: Vec<(u64, u64)> = (1..=100u64).map(|ms| (ms * 1_000_000, ms * 1_100_000)).collect();
        let errors = pair_errors(&values, 0.1).expect("pairs");
        assert!((errors.rel_errors[50] - 0.1).abs() < 1e-12 && errors.share_within == 1.0, "{errors:?}");
        let agreement = errors.bland_altman;
        // Differences are 0.1 ms a ms, means 1.05 ms a ms.
        assert!((agreement.bias_ns - 5_050_000.0).abs() < 1e-3, "{agreement:?}");
        assert!((agreement.slope.expect("they vary") - 0.1 / 1.05).abs() < 1e-12, "{agreement:?}");
        assert!((agreement.deviation_ns - 2_901_149.2).abs() < 1.0, "{agreement:?}");
    }
}
