//! Copies of an engine, and which of them serves a request.

use serde::{Deserialize, Serialize};

use crate::random::Stream;
use crate::serving::{PromptPrefix, Replica, Request};

/// How a request finds its replica; once there it stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterPolicy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest unfinished requests, the first of equals. (Vidur counts waiting ones only.)
    LeastOutstanding,
    /// Any, equally likely, by seed.
    Random,
    /// The one whose KV cache holds most of the prompt, unless it is `imbalance` requests busier than the
    /// least busy; those that hold equally much by fewest unfinished requests.
    PrefixAware,
}

/// Copies of one engine behind a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Copies.
    pub num_replicas: u32,
    /// Who serves a request.
    #[serde(default)]
    pub router: RouterPolicy,
    /// How many more unfinished requests than the least busy a replica may have to be chosen for its cache.
    #[serde(default = "eight")]
    pub imbalance: u32,
}

fn eight() -> u32 {
    8
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig { num_replicas: 1, router: RouterPolicy::RoundRobin, imbalance: eight() }
    }
}

/// A router's state.
pub struct Router {
    policy: RouterPolicy,
    imbalance: u32,
    next: usize,
    stream: Stream,
}

impl Router {
    /// The router of a cluster; `seed` is for the random one.
    pub fn new(config: &ClusterConfig, seed: u64) -> Self {
        Router { policy: config.router, imbalance: config.imbalance, next: 0, stream: Stream::new(seed, "router") }
    }

    /// The index of the replica, of `count`, that serves `request`.
    pub fn choose<'r, T: Copy + PartialOrd + 'r>(
        &mut self,
        count: usize,
        replica: impl Fn(usize) -> &'r Replica<T>,
        request: &Request<T>,
        prefix: PromptPrefix<'_>,
    ) -> usize {
        let indices = 0..count;
        let busy = |index: &usize| replica(*index).num_outstanding();
        match self.policy {
            RouterPolicy::RoundRobin => {
                let index = self.next % count;
                self.next += 1;
                index
            }
            RouterPolicy::LeastOutstanding => indices.min_by_key(busy).unwrap_or(0),
            RouterPolicy::Random => self.stream.below(count as u64) as usize,
            RouterPolicy::PrefixAware => {
                let limit = indices.clone().map(|index| busy(&index)).min().unwrap_or(0).saturating_add(self.imbalance);
                indices
                    .filter(|index| busy(index) <= limit)
                    .min_by_key(|index| {
                        (std::cmp::Reverse(replica(*index).cached_tokens(request, prefix)), busy(index))
                    })
                    .unwrap_or(0)
            }
        }
    }
}
