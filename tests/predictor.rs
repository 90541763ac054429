//! What the predictor is held to: the errors of Vidur's own predictors on two fixed splits of real profiles.

mod table;

use fidelio_shared::latency::operations::Operation;
use table::{Row, Split, rows};

#[test]
fn the_predictor_errs_less_than_vidurs_forest_on_samples_neither_has_seen() {
    let Some(folder) = table::folder() else { return };
    let rows = rows(&folder, "");
    assert_eq!(rows.len(), 104, "52 operations, two splits");
    for row in &rows {
        assert!(row.num_train > row.num_test && row.ours.mean.is_finite(), "{row:?}");
        let worse = row.ours.mean / row.forest.mean;
        assert!(worse < 1.45, "{worse:.2} times the forest's error: {row:?}");
        assert!(row.ours.mean <= row.ours.max && row.ours.p95 <= row.ours.max, "{row:?}");
        assert!((0.0..=1.0).contains(&row.tree_share) && row.fit_seconds > 0.0 && row.nanos_per_query > 0.0);
    }
    let of = |split: Split| rows.iter().filter(move |row| row.split == split);
    let ratio = |row: &Row| row.forest.mean / row.ours.mean;
    assert!(geometric_mean(of(Split::Mod5).map(ratio)) > 1.3);
    assert!(geometric_mean(of(Split::Block).map(ratio)) > 1.65);
    assert!(of(Split::Mod5).filter(|row| ratio(row) > 1.0).count() >= 45);
    assert!(of(Split::Block).filter(|row| ratio(row) > 1.0).count() >= 45);
    let linear = |row: &Row| row.linear.mean / row.ours.mean;
    assert!(geometric_mean(rows.iter().map(linear)) > 3.0);
    let interpolation = |row: &Row| row.interpolation.mean / row.ours.mean;
    assert!(geometric_mean(of(Split::Mod5).map(interpolation)) > 1.3);
    assert!(geometric_mean(of(Split::Block).map(interpolation)) > 1.1);
    let prompts = |row: &&Row| row.operation == Operation::AttnPrefill;
    assert!(geometric_mean(of(Split::Mod5).filter(prompts).map(ratio)) > 1.7);
    assert!(geometric_mean(of(Split::Block).filter(prompts).map(ratio)) > 2.5);
    assert!(rows.iter().all(|row| row.repeat_noise < 5.0), "noise is small beside what is compared");
}

#[test]
fn the_failed_kernels_of_the_h100_profile_are_set_aside_and_no_others() {
    let Some(folder) = table::folder() else { return };
    for row in rows(&folder, "h100_Llama-3.1-70B_tp4__attn_decode") {
        assert_eq!(row.num_set_aside, 195, "{row:?}");
    }
    for row in rows(&folder, "a100_Llama-2-7b_tp1__mlp_up_proj") {
        assert_eq!(row.num_set_aside, 0, "{row:?}");
    }
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}
