//! What the predictor is held to: the errors of Vidur's own predictors on two fixed splits of real profiles.

mod table;

use std::fs;
use std::path::Path;

use fidelio_shared::latency::operations::{
    Operation, OperationProfile, OperationShape, ProfileFilter, num_multiprocessors,
};
use table::{Row, Split, rows};

#[test]
fn the_predictor_errs_less_than_vidurs_forest_on_samples_neither_has_seen() {
    let Some(folder) = table::folder() else { return };
    let rows = rows(&folder, "");
    assert_eq!(rows.len(), 104, "52 operations, two splits");
    for row in &rows {
        assert!(row.num_train > row.num_test && row.ours.mean.is_finite(), "{row:?}");
        let worse = row.ours.mean / row.forest.mean;
        assert!(worse < 1.45, "{} {}: {worse:.2} times the forest's error: {row:?}", row.split.name(), row.dataset);
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

#[test]
fn a_profiling_root_of_vidur_is_read_as_it_is_and_fitted_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/profiles/vidur/data/profiling");
    if !root.is_dir() {
        eprintln!("SKIPPED: no profiling root at {}", root.display());
        return;
    }
    let read = |file: &str| fs::read(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let shape = OperationShape {
        num_q_heads: 32,
        num_kv_heads: 32,
        embedding_dim: 4096,
        mlp_hidden_dim: 11008,
        use_gated_mlp: true,
        vocab_size: 32768,
    };
    let filter = ProfileFilter {
        shape,
        tensor_parallel: 1,
        pipeline_parallel: 2,
        devices_per_node: 4,
        block_size: 16,
        has_post_attention_norm: true,
    };
    let mut profile = OperationProfile::default();
    // Zero deviations, prompts' times of 0 in rows of decoding, reshapes that are never used: all legal.
    let file = "compute/a800/meta-llama/Llama-2-7b-hf/attention.csv";
    profile.read_attention(file, &read(file), &filter).expect("attention");
    let file = "compute/a100/meta-llama/Llama-2-7b-hf/mlp.csv";
    profile.read_mlp(file, &read(file), &filter).expect("operations by token");
    let file = "network/a100_pairwise_nvlink/send_recv.csv";
    profile.read_send_recv(file, &read(file), &filter).expect("transfers");
    let count = |operation| profile.samples[&operation].len();
    assert_eq!((count(Operation::AttnPrefill), count(Operation::AttnDecode)), (652, 10_317));
    assert_eq!((count(Operation::MlpUpProj), count(Operation::SendRecv)), (261, 994));
    assert_eq!(profile.set_aside, [], "nothing failed in these files");
    let fitted = profile.fit(&filter.context(num_multiprocessors("a100")));
    assert_eq!(fitted.len(), 13, "all but the all-reduce and what hosts do");
    for (operation, predictor) in &fitted {
        let x = if *operation == Operation::AttnPrefill { [512, 256] } else { [64, 1024] };
        assert!(predictor.predict(x) > 0.0 && predictor.covers(x), "{} at {x:?}", operation.name());
    }
    let bytes: usize = fitted.values().map(|predictor| predictor.table_bytes()).sum();
    assert!(bytes < 2 << 20, "{bytes} bytes");
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}
