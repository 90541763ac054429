//! The bootstrap against sums by hand, its two ways against each other, and its own determinism.

use super::*;
use crate::stats::percentile_interval;

fn lognormal(n: usize, seed: u64) -> Clusters {
    let mut stream = Stream::new(seed, "sample");
    (0..n).map(|_| (1e6 * libm::exp(stream.normal())) as u64).collect()
}

#[test]
fn a_walk_gives_the_quantiles_of_the_sample_that_the_weights_make() {
    let mut side = Clusters::default();
    side.push([30, 10]);
    side.push([20]);
    side.push([50, 40, 10]);
    let walk = Walk::new(&side);
    let mut quantiles = vec![Vec::new(); 3];
    // Drawn: 30 10 30 10 50 40 10, so 10 10 10 30 30 40 50.
    let mean = walk.resample(&[2, 0, 1], &[0.0, 0.5, 0.9], &mut quantiles);
    assert_eq!(quantiles, [[10.0], [30.0], [44.0]]);
    assert!((mean - 180.0 / 7.0).abs() < 1e-12);
}

#[test]
fn draws_take_neighbours_together_and_as_many_as_there_are() {
    let mut draw = Draw::new(Stream::new(1, "test"), 100, 8, true);
    for _ in 0..50 {
        let weights = draw.next_weights().to_vec();
        assert_eq!(weights.iter().sum::<u32>(), 100);
        let edges = (0..100).filter(|index| weights[*index] != weights[(index + 1) % 100]).count();
        assert!(edges <= 2 * 13, "thirteen blocks have at most two ends each: {edges}");
    }
}

#[test]
fn a_histogram_gives_nearly_the_spread_that_a_walk_gives() {
    let (real, sim) = (lognormal(30_000, 1), lognormal(30_000, 2));
    let fractions = [0.01, 0.5, 0.9, 0.99];
    let length = 30;
    let mut weights = Draw::new(Stream::new(7, "test"), 30_000, length, false);
    for side in [&real, &sim] {
        let sorted = side.sorted().expect("values");
        let (walk, mut bins) = (Walk::new(side), Bins::new(side, &sorted, length));
        let (mut exact, mut binned) = (vec![Vec::new(); 4], vec![Vec::new(); 4]);
        for _ in 0..400 {
            let by_block = weights.next_weights().to_vec();
            let by_request: Vec<u32> = (0..30_000).map(|request| by_block[request / length]).collect();
            let means =
                [walk.resample(&by_request, &fractions, &mut exact), bins.resample(&by_block, &fractions, &mut binned)];
            assert!((means[0] / means[1] - 1.0).abs() < 1e-9, "{means:?}");
        }
        for (fraction, (exact, binned)) in fractions.iter().zip(exact.iter().zip(&binned)) {
            let spread = |values: &[f64]| {
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
            };
            let squares = exact.iter().zip(binned).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
            let apart = (squares / exact.len() as f64).sqrt() / spread(exact);
            println!("P{:.0}: spreads {:.4}, {apart:.3} of it apart", fraction * 100.0, spread(binned) / spread(exact));
            assert!((spread(binned) / spread(exact) - 1.0).abs() < 0.03, "P{fraction}");
            assert!(apart < 0.25, "P{fraction}: {apart}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_gives_others() {
    let (real, sim) = (lognormal(200, 3), lognormal(200, 4));
    let (a, b) = (real.sorted().expect("values"), sim.sorted().expect("values"));
    let drawn = |seed, stream: &str| {
        let options = BootstrapOptions { seed, num_resamples: 50, ..BootstrapOptions::default() };
        resample((&real, &a), (&sim, &b), &[0.5, 0.9], &[0.5], &options, stream).expect("enough pairs")
    };
    assert_eq!(drawn(1, "ttft"), drawn(1, "ttft"));
    assert_ne!(drawn(1, "ttft"), drawn(2, "ttft"));
    assert_ne!(drawn(1, "ttft"), drawn(1, "e2e"));
}

#[test]
fn an_interval_of_a_difference_holds_it_and_shrinks_with_the_sample() {
    let width = |n: usize| {
        let (real, sim) = (lognormal(n, 5), lognormal(n, 6));
        let (a, b) = (real.sorted().expect("values"), sim.sorted().expect("values"));
        let drawn = resample((&real, &a), (&sim, &b), &[0.5], &[0.5], &BootstrapOptions::default(), "width");
        let drawn = drawn.expect("enough pairs");
        let differences: Vec<f64> = drawn.sim[0].iter().zip(&drawn.real[0]).map(|(sim, real)| sim - real).collect();
        let interval = percentile_interval(&differences, &drawn.blocks).expect("resamples");
        assert!(interval.low < 0.0 && interval.high > 0.0, "{interval:?}");
        interval.high - interval.low
    };
    let ratio = width(500) / width(8_000);
    assert!((3.0..5.5).contains(&ratio), "sixteen times the sample, a quarter of the width: {ratio}");
}
