//! One request on both sides, for whoever looks at requests one by one.

use crate::compare::line;
use crate::explore::Explorer;
use crate::metrics::{Definition, Metric, Timeline};
use crate::schema::RequestRow;

/// Both sides of a request: cut to the same length where they can be, whole where only one has output.
pub(super) struct Sides<'a> {
    pub real_row: &'a RequestRow,
    /// `None` where the simulated run has fewer requests.
    pub sim_row: Option<&'a RequestRow>,
    pub real: Option<Timeline<'a>>,
    pub sim: Option<Timeline<'a>>,
    /// It is compared.
    pub is_pair: bool,
    definition: Definition,
}

impl Explorer {
    /// The request at a place in the compared run.
    ///
    /// # Panics
    /// When that run has fewer.
    pub(super) fn sides(&self, index: usize) -> Sides<'_> {
        let (real, sim) = (self.real(), &self.sim);
        let pair = line(real, sim, index);
        let is_pair = pair.is_some();
        let (a, b) = match pair {
            Some((_, a, b)) => (Some(a), Some(b)),
            None => (Timeline::of(real, index), Timeline::of(sim, index)),
        };
        let (real_row, sim_row) = (&real.requests[index], sim.requests.get(index));
        Sides { real_row, sim_row, real: a, sim: b, is_pair, definition: self.options.definition }
    }
}

/// (simulated - real) / real; `None` where the real one is zero.
pub(super) fn rel_error(real: u64, sim: u64) -> Option<f64> {
    (real > 0).then(|| (i128::from(sim) - i128::from(real)) as f64 / real as f64)
}

impl Sides<'_> {
    /// A metric of (the real, the simulated) side, ns; none of one that has no single value a request.
    pub fn value(&self, metric: Metric) -> (Option<u64>, Option<u64>) {
        let of = |line: &Option<Timeline<'_>>| match metric {
            Metric::Itl => None,
            metric => self.definition.values(line.as_ref()?, metric).first().copied(),
        };
        (of(&self.real), of(&self.sim))
    }

    /// Size of the relative error of a metric; `None` without both values, or where the real one is zero.
    pub fn error(&self, metric: Metric) -> Option<f64> {
        let (real, sim) = self.value(metric);
        rel_error(real?, sim?).map(f64::abs)
    }

    /// Output tokens: those compared, else those of the side that has some.
    pub fn num_tokens(&self) -> u32 {
        self.real.or(self.sim).map_or(0, |line| line.num_tokens())
    }

    /// Preemptions: real, simulated.
    pub fn num_preemptions(&self) -> (Option<u32>, Option<u32>) {
        (self.real_row.num_preemptions, self.sim_row.and_then(|row| row.num_preemptions))
    }

    /// The more preemptions of the two sides.
    pub fn most_preemptions(&self) -> Option<u32> {
        let (real, sim) = self.num_preemptions();
        real.max(sim)
    }
}
