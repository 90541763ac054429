//! Prompt and output of one request drawn together, or taken from a trace and made to fit.

use crate::random::Stream;
use crate::workload::check::SpecError;
use crate::workload::lengths::LengthSampler;
use crate::workload::spec::{Clip, LengthDistribution, RequestSource};

/// A law of prompt and output together, ready to draw from; checked before.
pub(super) enum TotalSampler<'a> {
    Law { total: LengthSampler<'a>, ratio: f64 },
    VidurUniform { min: f64, max: f64, ratio: f64 },
    VidurZipf { law: QuickZipf, ratio: f64 },
}

impl<'a> TotalSampler<'a> {
    pub(super) fn new(total: &'a LengthDistribution, ratio: f64) -> Self {
        TotalSampler::Law { total: LengthSampler::new(total), ratio }
    }

    pub(super) fn vidur_uniform(min_tokens: u32, max_tokens: u32, ratio: f64) -> Self {
        TotalSampler::VidurUniform { min: f64::from(min_tokens), max: f64::from(max_tokens), ratio }
    }

    pub(super) fn vidur_zipf(theta: f64, min_tokens: u32, max_tokens: u32, ratio: f64) -> Self {
        TotalSampler::VidurZipf { law: QuickZipf::new(theta, min_tokens, max_tokens), ratio }
    }

    /// (prompt, output) in tokens.
    pub(super) fn draw(&self, stream: &mut Stream) -> (u32, u32) {
        match *self {
            TotalSampler::Law { ref total, ratio } => {
                let total = total.draw(stream);
                let decode = (libm::ceil(f64::from(total) / (1.0 + ratio)) as u32).clamp(1, total - 1);
                (total - decode, decode)
            }
            TotalSampler::VidurUniform { min, max, ratio } => {
                let total = min + (max - min) * stream.unit();
                let decode = libm::ceil(total / (1.0 + ratio));
                (libm::floor(total - decode) as u32, decode as u32)
            }
            TotalSampler::VidurZipf { ref law, ratio } => {
                let total = f64::from(law.draw(stream));
                let decode = total / (1.0 + ratio);
                ((total - decode) as u32, decode as u32)
            }
        }
    }
}

/// The quick Zipf of Gray et al. (1994) as Vidur has it: `zeta` lacks its last term.
pub(super) struct QuickZipf {
    min: u32,
    max: u32,
    zeta: f64,
    second: f64,
    eta: f64,
    alpha: f64,
}

impl QuickZipf {
    fn new(theta: f64, min: u32, max: u32) -> Self {
        let items = f64::from(max - min + 1);
        let zeta: f64 = (1..max - min + 1).map(|rank| libm::pow(f64::from(rank), -theta)).sum();
        // Its zeta of 2 is the first term alone.
        let eta = (1.0 - libm::pow(2.0 / items, 1.0 - theta)) / (1.0 - 1.0 / (zeta + 1e-8));
        QuickZipf { min, max, zeta, second: 1.0 + libm::pow(0.5, theta), eta, alpha: 1.0 / (1.0 - theta) }
    }

    fn draw(&self, stream: &mut Stream) -> u32 {
        let uniform = stream.unit();
        let target = uniform * self.zeta;
        if target < 1.0 {
            return self.min;
        }
        if target < self.second {
            return (self.min + 1).min(self.max);
        }
        let items = f64::from(self.max - self.min + 1);
        let rank = items * libm::pow(self.eta * uniform - self.eta + 1.0, self.alpha);
        self.min.saturating_add(rank as u32).min(self.max)
    }
}

/// What is done to the lengths of a trace.
pub(super) struct Fit {
    prefill_scale: f64,
    decode_scale: f64,
    max_tokens: Option<u32>,
    clip: Clip,
}

impl Fit {
    /// `None` for sources whose lengths are taken as they are.
    pub(super) fn new(source: &RequestSource) -> Option<Self> {
        match *source {
            RequestSource::Trace { prefill_scale, decode_scale, max_tokens, clip, .. } => {
                Some(Fit { prefill_scale, decode_scale, max_tokens, clip })
            }
            _ => None,
        }
    }

    pub(super) fn scale_prefill(&self, tokens: u32) -> u32 {
        scaled(tokens, self.prefill_scale)
    }

    pub(super) fn scale_decode(&self, tokens: u32) -> u32 {
        scaled(tokens, self.decode_scale)
    }

    /// Takes away what is above `max_tokens`.
    ///
    /// # Errors
    /// An output that leaves no token for the prompt, when only the prompt may be cut.
    pub(super) fn clip(&self, prefill: u32, decode: u32) -> Result<(u32, u32), SpecError> {
        let total = u64::from(prefill) + u64::from(decode);
        let Some(most) = self.max_tokens.filter(|most| total > u64::from(*most)) else { return Ok((prefill, decode)) };
        match self.clip {
            Clip::Proportional => {
                let excess = u128::from(total - u64::from(most));
                // No more than the length itself, which fits.
                let share = |tokens: u32| (excess * u128::from(tokens)).div_ceil(u128::from(total)) as u32;
                Ok(((prefill - share(prefill)).max(1), (decode - share(decode)).max(1)))
            }
            Clip::Prompt if decode < most => Ok((most - decode, decode)),
            Clip::Prompt => {
                let problem =
                    format!("a request asks for {decode} output tokens, which leaves none of {most} to its prompt");
                Err(SpecError::new("requests.max_tokens", problem)
                    .with_hint("a larger `max_tokens`, or `clip = \"proportional\"`"))
            }
        }
    }
}

/// Rounded down, at least 1, at most what a length may be.
fn scaled(tokens: u32, scale: f64) -> u32 {
    // A float beyond 32 bits becomes the largest integer.
    ((f64::from(tokens) * scale) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(sampler: &TotalSampler<'_>, num: usize) -> Vec<(u32, u32)> {
        let mut stream = Stream::new(9, "total_lengths");
        (0..num).map(|_| sampler.draw(&mut stream)).collect()
    }

    fn totals(pairs: &[(u32, u32)]) -> Vec<f64> {
        pairs.iter().map(|(prefill, decode)| f64::from(prefill + decode)).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_total_is_split_by_the_ratio_and_never_loses_a_token() {
        let law = LengthDistribution::Uniform { min: 2, max: 400 };
        let pairs = draw(&TotalSampler::new(&law, 20.0), 40_000);
        let totals = totals(&pairs);
        assert_eq!(totals.iter().copied().fold(f64::MAX, f64::min), 2.0);
        assert_eq!(totals.iter().copied().fold(0.0, f64::max), 400.0);
        for (prefill, decode) in pairs {
            assert!(prefill >= 1 && decode >= 1);
            let least = f64::from(prefill + decode) / 21.0;
            assert!(f64::from(decode) >= least && f64::from(decode) < least + 1.0, "{prefill} and {decode}");
        }
        // 399 equally likely values: five standard errors of the mean are 5 * 115.2 / 200.
        assert!((mean(&totals) - 201.0).abs() < 2.9, "{}", mean(&totals));
    }

    #[test]
    fn vidur_s_uniform_law_never_reaches_its_end() {
        let pairs = draw(&TotalSampler::vidur_uniform(128, 131, 4.0), 30_000);
        // Totals of 128, 129 and 130 at a ratio of 4: a real total a little above 130 rounds its output up to 27.
        let mut kinds = pairs.clone();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [(102, 26), (103, 26), (103, 27)]);
        let share = |pair| pairs.iter().filter(|found| **found == pair).count() as f64 / 30_000.0;
        assert!((share((102, 26)) - 1.0 / 3.0).abs() < 0.014);
        assert!((share((103, 27)) - 1.0 / 3.0).abs() < 0.014);
    }

    #[test]
    fn vidur_s_zipf_lacks_the_last_term_of_its_zeta() {
        // theta 0.5, four lengths: zeta is 1 + 0.7071 + 0.5774 = 2.2845, so the first two have
        // 1 / 2.2845 and 0.7071 / 2.2845 of all; the exact law, with a fourth term, has 1 / 2.7845.
        let pairs = draw(&TotalSampler::vidur_zipf(0.5, 10, 13, 4.0), 60_000);
        let share = |total: u32| pairs.iter().filter(|pair| pair.0 + pair.1 == total).count() as f64 / 60_000.0;
        // At 10 a ratio of 4 gives 8 and 2; at 11 it gives 8.8 and 2.2, both rounded down: a token is lost.
        assert!((share(10) - 0.4377 - 0.3095).abs() < 0.009, "{}", share(10));
        assert!(pairs.iter().all(|(prefill, decode)| (8..=10).contains(prefill) && *decode == 2));
        let exact = LengthDistribution::Zipf { theta: 0.5, min: 10, max: 13 };
        let exact = draw(&TotalSampler::new(&exact, 4.0), 60_000);
        let share = exact.iter().filter(|pair| pair.0 + pair.1 == 10).count() as f64 / 60_000.0;
        assert!((share - 0.3591).abs() < 0.0098, "{share}");
    }

    #[test]
    fn quick_zipf_stays_in_bounds_at_its_edges() {
        for (theta, min, max) in [(0.0, 5, 5), (0.6, 5, 6), (0.9999, 2, 5_000), (0.0, 2, 1 << 20)] {
            let law = QuickZipf::new(theta, min, max);
            let mut stream = Stream::new(1, "edges");
            assert!((0..5_000).all(|_| (min..=max).contains(&law.draw(&mut stream))), "{theta} {min} {max}");
        }
    }

    fn fit(scales: (f64, f64), max_tokens: Option<u32>, clip: Clip) -> Fit {
        Fit { prefill_scale: scales.0, decode_scale: scales.1, max_tokens, clip }
    }

    #[test]
    fn lengths_are_scaled_down_to_whole_tokens_and_never_below_one() {
        let fit = fit((0.5, 3.0), None, Clip::Proportional);
        assert_eq!((fit.scale_prefill(7), fit.scale_prefill(1), fit.scale_decode(7)), (3, 1, 21));
        assert_eq!((fit.scale_decode(u32::MAX), fit.scale_decode(0)), (u32::MAX, 1));
        assert_eq!(fit.clip(5, 6), Ok((5, 6)));
    }

    #[test]
    fn an_excess_is_shared_or_taken_from_the_prompt() {
        let shared = fit((1.0, 1.0), Some(100), Clip::Proportional);
        // 50 too many of 120 and 30: 40 and 10.
        assert_eq!(shared.clip(120, 30), Ok((80, 20)));
        // 51 of 121 and 30: 40.87 and 10.13, both rounded up.
        assert_eq!(shared.clip(121, 30), Ok((80, 19)));
        assert_eq!(shared.clip(10_000, 1), Ok((99, 1)));
        assert_eq!(shared.clip(1, u32::MAX), Ok((1, 99)));
        assert_eq!(shared.clip(70, 30), Ok((70, 30)));
        let prompt = fit((1.0, 1.0), Some(100), Clip::Prompt);
        assert_eq!(prompt.clip(120, 30), Ok((70, 30)));
        assert_eq!(prompt.clip(120, 99), Ok((1, 99)));
        let error = prompt.clip(1, 100).expect_err("no room for a prompt");
        assert_eq!(error.field, "requests.max_tokens");
    }
}
