//! Named random streams and the few laws drawn from them; `libm` maths, so native and wasm give the same bits.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// An endless sequence of random numbers that depends on the seed and the stream's name only.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream called `name` of `seed`.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(name.as_bytes());
        Stream(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// Uniform over `0..bound`, without bias: the high half of a wide product, redrawn where the low
    /// half falls into the uneven rest.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a range must hold something to draw from");
        let uneven = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= uneven {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform over the open interval (0, 1): 52 random bits, in the middle of each cell.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Exponential with mean 1, by inversion.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(self.unit())
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller's cosine half).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Gamma with the given shape and scale 1 (Marsaglia and Tsang 2000; below shape 1 by their boost).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::pow(self.unit(), 1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            if root <= 0.0 {
                continue;
            }
            let v = root * root * root;
            if libm::log(self.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_laws_are_within_five_standard_errors() {
        let num = 200_000;
        for (name, law, mean, variance) in [
            ("unit", (&mut Stream::unit) as &mut dyn FnMut(&mut Stream) -> f64, 0.5, 1.0 / 12.0),
            ("exponential", &mut Stream::exponential, 1.0, 1.0),
            ("normal", &mut Stream::normal, 0.0, 1.0),
            ("gamma 4", &mut |stream| stream.gamma(4.0), 4.0, 4.0),
            ("gamma 0.25", &mut |stream| stream.gamma(0.25), 0.25, 0.25),
        ] {
            let mut stream = Stream::new(7, name);
            let values: Vec<f64> = (0..num).map(|_| law(&mut stream)).collect();
            let found_mean = values.iter().sum::<f64>() / f64::from(num);
            let centred =
                |power: i32| values.iter().map(|x| (x - found_mean).powi(power)).sum::<f64>() / f64::from(num);
            let found_variance = centred(2);
            let mean_error = (variance / f64::from(num)).sqrt();
            let variance_error = ((centred(4) - found_variance * found_variance) / f64::from(num)).sqrt();
            assert!((found_mean - mean).abs() < 5.0 * mean_error, "{name}: mean {found_mean}");
            assert!((found_variance - variance).abs() < 5.0 * variance_error, "{name}: variance {found_variance}");
        }
    }

    #[test]
    fn below_reaches_every_value_equally_often() {
        let mut stream = Stream::new(1, "dice");
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi_square < 20.5, "5 degrees of freedom, one in a thousand: {counts:?}");
    }

    #[test]
    fn a_stream_is_the_same_bits_for_ever() {
        let mut stream = Stream::new(42, "arrivals");
        let bits = [stream.unit(), stream.exponential(), stream.normal(), stream.gamma(0.5)].map(f64::to_bits);
        assert_eq!(
            bits.map(|bits| format!("{bits:016x}")).join(" "),
            "3fce715a8960ef6c 3ff2c9e3b9b96142 3ff9e86182ec8db4 3fc3934466d31183"
        );
    }
}
