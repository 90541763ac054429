//! One metric in order: every value with the request it is of, so that a part of the requests is one pass away.

use crate::compare::{Line, curve, relative, summary};
use crate::explore::answers::{Reduced, ReducedRow};
use crate::metrics::{Definition, Metric};
use crate::stats::{Percentile, Sorted, kolmogorov_smirnov, sample_floor, wasserstein};

/// Both sides of one metric.
pub struct Columns {
    real: Column,
    sim: Column,
    /// Pairs that have a value on both sides, by their place among the pairs.
    pairs: Vec<u32>,
}

/// Values in ascending order, and for each the place of its pair.
struct Column {
    values: Sorted,
    owners: Vec<u32>,
}

impl Columns {
    /// The metric's values of `lines`; `None` where there are none.
    pub fn of(lines: &[Line<'_>], metric: Metric, definition: Definition) -> Option<Self> {
        let (mut real, mut sim, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (_, a, b)) in (0u32..).zip(lines) {
            let (a, b) = (definition.values(a, metric), definition.values(b, metric));
            if !a.is_empty() && !b.is_empty() {
                pairs.push(place);
                real.extend(a.into_iter().map(|value| (value, place)));
                sim.extend(b.into_iter().map(|value| (value, place)));
            }
        }
        Some(Columns { real: Column::of(real)?, sim: Column::of(sim)?, pairs })
    }

    /// Reduces the pairs that `mask` takes, all without one; `None` where it takes none that has a value.
    pub fn reduce(
        &self,
        metric: Metric,
        mask: Option<&[bool]>,
        percentiles: &[Percentile],
        definition: Definition,
    ) -> Option<Reduced> {
        let Some(mask) = mask else {
            let sides = (&self.real.values, &self.sim.values);
            return Some(reduced(metric, self.pairs.len(), sides, percentiles, definition));
        };
        let num_requests = self.pairs.iter().filter(|place| mask[**place as usize]).count();
        let (real, sim) = (self.real.part(mask)?, self.sim.part(mask)?);
        Some(reduced(metric, num_requests, (&real, &sim), percentiles, definition))
    }
}

impl Column {
    fn of(mut values: Vec<(u64, u32)>) -> Option<Self> {
        values.sort_unstable();
        let owners = values.iter().map(|(_, owner)| *owner).collect();
        let values = Sorted::of_ascending(values.into_iter().map(|(value, _)| value).collect())?;
        Some(Column { values, owners })
    }

    /// The values of the pairs that `mask` takes. Every value is written and then kept or not: a branch would be
    /// guessed wrong for half of them.
    fn part(&self, mask: &[bool]) -> Option<Sorted> {
        let mut kept = vec![0; self.owners.len()];
        let mut count = 0;
        for (value, owner) in self.values.values().iter().zip(&self.owners) {
            kept[count] = *value;
            count += usize::from(mask[*owner as usize]);
        }
        kept.truncate(count);
        Sorted::of_ascending(kept)
    }
}

fn reduced(
    metric: Metric,
    num_requests: usize,
    (real, sim): (&Sorted, &Sorted),
    percentiles: &[Percentile],
    definition: Definition,
) -> Reduced {
    let row = |percentile: &Percentile| {
        let [real_ns, sim_ns] = [real, sim].map(|side| definition.quantile(side, *percentile));
        ReducedRow {
            percentile: *percentile,
            real_ns,
            sim_ns,
            rel_error: relative(real_ns, sim_ns),
            sample_floor: sample_floor(*percentile),
        }
    };
    Reduced {
        metric,
        num_requests,
        num_values: real.values().len(),
        real: summary(real),
        sim: summary(sim),
        percentiles: percentiles.iter().map(row).collect(),
        ks: kolmogorov_smirnov(real, sim),
        wasserstein_ns: wasserstein(real, sim).distance(),
        curve: curve(real, sim),
    }
}
