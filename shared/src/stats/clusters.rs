//! Values of one metric, request by request in order of arrival: what a bootstrap draws from.

use crate::stats::Sorted;

/// Several values a request (the gaps between its tokens) or one. Never reordered: neighbours queue together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clusters {
    values: Vec<u64>,
    ends: Vec<usize>,
}

impl Clusters {
    /// Adds the next request's values, ns.
    pub fn push(&mut self, values: impl IntoIterator<Item = u64>) {
        self.values.extend(values);
        self.ends.push(self.values.len());
    }

    /// Requests.
    pub fn num_requests(&self) -> usize {
        self.ends.len()
    }

    /// All values, in the order they were added.
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// Each request's values.
    pub fn requests(&self) -> impl Iterator<Item = &[u64]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.values[start..*end])
    }

    /// All values in ascending order; `None` when there are none.
    pub fn sorted(&self) -> Option<Sorted> {
        Sorted::new(self.values.clone())
    }
}

impl FromIterator<u64> for Clusters {
    /// One value a request.
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let values: Vec<u64> = values.into_iter().collect();
        let ends = (1..=values.len()).collect();
        Clusters { values, ends }
    }
}
