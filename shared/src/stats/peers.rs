//! What NumPy and SciPy say of the same samples (`tests/peers/statistics.py` recorded it).

use serde::Deserialize;

use crate::stats::bootstrap::Walk;
use crate::stats::{Clusters, Sorted, kendall_tau, kolmogorov_smirnov, normal_quantile, student_quantile, wasserstein};

#[derive(Deserialize)]
struct Peers {
    fractions: Vec<f64>,
    cases: Vec<Case>,
    resamples: Vec<Resampled>,
    kendall: Kendall,
    normal: Vec<(f64, f64)>,
    student: Vec<(f64, f64, f64)>,
}

#[derive(Deserialize)]
struct Case {
    law: String,
    a: Vec<u64>,
    b: Vec<u64>,
    quantiles_a: Vec<f64>,
    ks: f64,
    wasserstein: f64,
}

#[derive(Deserialize)]
struct Resampled {
    requests: Vec<Vec<u64>>,
    indices: Vec<Vec<usize>>,
    quantiles: Vec<Vec<f64>>,
    means: Vec<f64>,
}

#[derive(Deserialize)]
struct Kendall {
    a: Vec<u64>,
    b: Vec<u64>,
    tau: f64,
}

fn peers() -> Peers {
    serde_json::from_str(include_str!("../../../tests/fixtures/statistics/peers.json")).expect("the recorded document")
}

/// Equal to one part in 10^9.
#[track_caller]
fn assert_equal(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-300), "{what}: {ours}, they say {theirs}");
}

#[test]
fn quantiles_and_distances_are_scipys() {
    let peers = peers();
    assert_eq!(peers.cases.len(), 5);
    for case in peers.cases {
        let sorted = |values: &[u64]| Sorted::new(values.to_vec()).expect("values");
        let (a, b) = (sorted(&case.a), sorted(&case.b));
        for (fraction, theirs) in peers.fractions.iter().zip(&case.quantiles_a) {
            let ours = a.quantile_at((fraction * 1000.0).round() as u64, 1000).as_f64();
            // Ours are rounded to hundredths of a nanosecond.
            assert!((ours - theirs).abs() <= 0.005 + 1e-9 * theirs, "{} P{fraction}: {ours} {theirs}", case.law);
        }
        assert_equal(kolmogorov_smirnov(&a, &b), case.ks, "Kolmogorov-Smirnov");
        assert_equal(wasserstein(&a, &b).distance(), case.wasserstein, "Wasserstein");
    }
}

#[test]
fn a_resample_of_given_requests_has_numpys_quantiles_and_mean() {
    let peers = peers();
    assert_eq!(peers.resamples.len(), 2);
    for case in peers.resamples {
        let mut side = Clusters::default();
        case.requests.iter().for_each(|values| side.push(values.iter().copied()));
        let walk = Walk::new(&side);
        for ((indices, theirs), mean) in case.indices.iter().zip(&case.quantiles).zip(&case.means) {
            let mut weights = vec![0; case.requests.len()];
            indices.iter().for_each(|index| weights[*index] += 1);
            let mut ours = vec![Vec::new(); peers.fractions.len()];
            assert_equal(walk.resample(&weights, &peers.fractions, &mut ours), *mean, "mean");
            ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_equal(ours[0], *theirs, "quantile"));
        }
    }
}

#[test]
fn orders_and_the_laws_behind_intervals_are_scipys() {
    let peers = peers();
    assert_equal(
        kendall_tau(&peers.kendall.a, &peers.kendall.b).expect("they vary"),
        peers.kendall.tau,
        "Kendall's tau",
    );
    for (p, theirs) in peers.normal {
        assert!((normal_quantile(p) - theirs).abs() < 1e-9, "normal {p}: {} {theirs}", normal_quantile(p));
    }
    for (p, freedom, theirs) in peers.student {
        let ours = student_quantile(p, freedom);
        assert!((ours / theirs - 1.0).abs() < 3e-4, "Student {p} {freedom}: {ours} {theirs}");
    }
}
