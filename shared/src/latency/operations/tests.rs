//! Reading of profiles, and laws of the predictor on made-up kernels.

use super::*;

fn shape() -> OperationShape {
    OperationShape {
        num_q_heads: 32,
        num_kv_heads: 32,
        embedding_dim: 4096,
        mlp_hidden_dim: 11008,
        use_gated_mlp: true,
        vocab_size: 32768,
    }
}

fn filter() -> ProfileFilter {
    ProfileFilter {
        shape: shape(),
        tensor_parallel: 1,
        pipeline_parallel: 1,
        devices_per_node: 4,
        block_size: 16,
        has_post_attention_norm: true,
    }
}

fn context() -> OperationContext {
    filter().context(num_multiprocessors("a100"))
}

fn sample(x: [f64; 2], time: f64) -> Sample {
    Sample { x, time, std: None, line: 2 }
}

const ATTENTION: &str = "n_embd,n_q_head,n_kv_head,block_size,num_tensor_parallel_workers,batch_size,\
    prefill_chunk_size,kv_cache_size,time_stats.attn_kv_cache_save.median,time_stats.attn_prefill.median,\
    time_stats.attn_prefill.std,time_stats.attn_decode.median\n";

fn attention(rows: &str) -> Result<OperationProfile, crate::schema::DataError> {
    let mut profile = OperationProfile::default();
    profile.read_attention("attention.csv", format!("{ATTENTION}{rows}").as_bytes(), &filter())?;
    Ok(profile)
}

#[test]
fn attention_rows_are_taken_by_phase_once_each_and_only_of_the_model() {
    let rows = "4096,32,32,16,1,1,64,128,0.01,0.02,0.0,0.0\n\
        4096,32,32,16,1,8,0,256,0.004,,,0.03\n\
        4096,32,32,16,1,8,0,256,0.004,,,0.03\n\
        4096,32,32,16,2,8,0,256,0.004,,,0.9\n\
        4096,32,32,32,1,8,0,256,0.004,,,0.9\n\
        8192,64,8,16,1,8,0,256,,,,\n";
    let samples = attention(rows).expect("a profile").samples;
    let taken =
        |operation| samples[&operation].iter().map(|sample: &Sample| (sample.x, sample.time)).collect::<Vec<_>>();
    assert_eq!(taken(Operation::AttnPrefill), [([128.0, 64.0], 0.02)]);
    assert_eq!(taken(Operation::AttnDecode), [([8.0, 256.0], 0.03)]);
    assert_eq!(taken(Operation::AttnKvCacheSave), [([64.0, 0.0], 0.01), ([8.0, 0.0], 0.004)]);
    assert_eq!(samples[&Operation::AttnPrefill][0].std, Some(0.0), "a zero deviation is legal");
    assert_eq!(samples[&Operation::AttnDecode][0].line, 3);
}

#[test]
fn times_that_cannot_be_are_refused_and_counted() {
    let rows = "4096,32,32,16,1,1,64,128,0.01,NaN,0.0,0.0\n\
        4096,32,32,16,1,8,0,256,0.004,,,0\n\
        4096,32,32,16,1,9,0,256,,,,0.03\n";
    let error = attention(rows).expect_err("failed measurements");
    let text = error.to_string();
    for part in ["`attention.csv`, line 2", "attn_prefill.median", "`NaN`", "2 others", "line 3", "line 4"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let error = attention("1,32,32,16,1,1,64,128,0.01,0.1,0.0,0.0\n").expect_err("another model");
    assert!(error.to_string().contains("holds no row with n_embd 4096, n_q_head 32"), "{error}");
}

#[test]
fn an_operation_the_model_does_not_use_may_be_blank() {
    let columns = ["attn_pre_proj", "attn_post_proj", "attn_rope", "mlp_up_proj", "mlp_down_proj", "mlp_act"];
    let times: Vec<String> = columns.iter().map(|name| format!("time_stats.{name}.median")).collect();
    let text = format!(
        "n_head,n_kv_head,n_embd,n_expanded_embd,vocab_size,use_gated_mlp,num_tokens,num_tensor_parallel_workers,{},\
         time_stats.post_attention_layernorm.median\n32,32,4096,11008,32768,True,8,1,1,1,1,1,1,1,\n",
        times.join(",")
    );
    let read = |filter: &ProfileFilter| {
        let mut profile = OperationProfile::default();
        profile.read_mlp("mlp.csv", text.as_bytes(), filter).map(|()| profile.samples.len())
    };
    assert!(read(&filter()).expect_err("used and blank").to_string().contains("is blank"));
    assert_eq!(read(&ProfileFilter { has_post_attention_norm: false, ..filter() }), Ok(6));
}

#[test]
fn bytes_of_collectives_become_tokens_and_rows_are_chosen_by_topology() {
    let text = "time_stats.send_recv.median,size,collective,devices_per_node,num_workers\n\
        0.5,8192,send_recv,2,2\n0.7,8192,send_recv,1,2\n0.9,8192,all_reduce,2,2\n";
    let time = |filter: &ProfileFilter| {
        let mut profile = OperationProfile::default();
        profile.read_send_recv("send_recv.csv", text.as_bytes(), filter).expect("samples");
        profile.samples[&Operation::SendRecv].iter().map(|sample| (sample.x[0], sample.time)).collect::<Vec<_>>()
    };
    assert_eq!(time(&filter()), [(1.0, 0.5)]);
    assert_eq!(time(&ProfileFilter { pipeline_parallel: 8, ..filter() }), [(1.0, 0.7)]);
}

#[test]
fn host_overheads_are_read_by_model_name() {
    let text = "model_name,tensor_parallel_degree,batch_size,schedule_median,sampler_e2e_median,\
        prepare_inputs_e2e_median,process_model_outputs_median,ray_comm_time_mean\n\
        a/b,1,4,0.1,0.2,0.3,0.4,0.5\na/c,1,4,9,9,9,9,9\n";
    let mut profile = OperationProfile::default();
    let filter = CpuOverheadFilter { model_name: "a/b", tensor_parallel: 1 };
    profile.read_cpu_overheads("cpu_overheads.csv", text.as_bytes(), &filter).expect("samples");
    let fitted = profile.fit(&context());
    assert_eq!(fitted.len(), 5);
    let ray = &fitted[&Operation::RayCommTime];
    assert!((ray.predict([4, 0]) - 0.5).abs() < 1e-6 && ray.covers([4, 0]) && !ray.covers([5, 0]));
}

#[test]
fn kernels_faster_than_every_smaller_one_are_set_aside_by_name() {
    let mut samples: Vec<Sample> = Vec::new();
    for batch in 1..=20 {
        for cache in [32.0, 64.0, 96.0] {
            let failed = batch == 19 && cache == 64.0;
            // One sequence is slow: its cache is not split.
            let time = if batch == 1 { cache } else { 8.0 + f64::from(batch) };
            samples.push(sample([f64::from(batch), cache], if failed { 2.0 } else { time }));
        }
    }
    let aside = set_failed_aside(Operation::AttnDecode, &mut samples);
    assert_eq!(aside.iter().map(|one| one.sample.x).collect::<Vec<_>>(), [[19.0, 64.0]]);
    assert_eq!(samples.len(), 59);
    let text = aside[0].to_string();
    assert!(text.contains("attn_decode at batch_size 19, kv_cache_size 64 (line 2): 2 ms"), "{text}");
}

/// A multiplication in tiles of 128 rows over 108 multiprocessors, 4096 columns wide.
fn stepped(tokens: f64) -> f64 {
    0.01 + 0.03 * (((tokens / 128.0).ceil() * 32.0) / 108.0).ceil()
}

#[test]
fn waves_of_tiles_are_found_in_gaps_and_samples_are_kept() {
    let sizes = (1..=512u32).map(|eighth| 8 * eighth);
    let all: Vec<Sample> = sizes.map(|tokens| sample([f64::from(tokens), 0.0], stepped(f64::from(tokens)))).collect();
    let seen: Vec<Sample> = all.iter().copied().filter(|sample| !(1500.0..1900.0).contains(&sample.x[0])).collect();
    let fitted = Predictor::fit(Operation::AttnPostProj, &seen, &context());
    let error = |sample: &Sample| (fitted.predict_at(sample.x) / sample.time - 1.0).abs();
    let unseen: Vec<f64> = all.iter().filter(|one| !seen.contains(one)).map(error).collect();
    assert!(unseen.iter().sum::<f64>() / (unseen.len() as f64) < 0.01, "{unseen:?}");
    assert!(seen.iter().map(error).fold(0.0, f64::max) < 0.02);
}

#[test]
fn beyond_the_samples_the_floor_goes_on_and_covers_says_no() {
    let linear = |tokens: f64| 0.01 + 0.001 * tokens;
    let samples: Vec<Sample> = (1..=64).map(|n| sample([f64::from(16 * n), 0.0], linear(f64::from(16 * n)))).collect();
    let fitted = Predictor::fit(Operation::Add, &samples, &context());
    assert!(fitted.covers([16, 0]) && fitted.covers([1024, 0]) && !fitted.covers([15, 0]) && !fitted.covers([1025, 0]));
    assert!((fitted.predict([4096, 0]) / linear(4096.0) - 1.0).abs() < 0.05, "{}", fitted.predict([4096, 0]));
    assert_eq!(fitted.predict([1, 0]).to_bits(), fitted.predict([16, 0]).to_bits(), "launch is not less for fewer");
}

#[test]
fn prompts_are_covered_only_below_a_measured_corner() {
    let mut samples = Vec::new();
    for cache in (0..=1024).step_by(128) {
        for chunk in (64..=1024 - cache.min(960)).step_by(64) {
            let (k, c) = (f64::from(cache), f64::from(chunk));
            samples.push(sample([k, c], 0.02 + 1e-6 * c * (k + c / 2.0)));
        }
    }
    let fitted = Predictor::fit(Operation::AttnPrefill, &samples, &context());
    assert!(fitted.covers([0, 1024]) && fitted.covers([512, 512]) && fitted.covers([100, 300]));
    assert!(!fitted.covers([512, 513]) && !fitted.covers([0, 63]) && !fitted.covers([1025, 64]));
    let time = fitted.predict([300, 500]);
    assert!((time / (0.02 + 1e-6 * 500.0 * 550.0) - 1.0).abs() < 0.05, "{time}");
}

#[test]
fn the_order_of_samples_does_not_matter_to_the_last_bit() {
    let mut samples = Vec::new();
    for batch in 1..=16 {
        for cache in (32..=512).step_by(32) {
            let time = 0.01 + 1e-6 * f64::from(batch * cache) + 0.003 * f64::from((batch * 7 + cache) % 5);
            samples.push(sample([f64::from(batch), f64::from(cache)], time));
        }
    }
    let one = Predictor::fit(Operation::AttnDecode, &samples, &context());
    samples.reverse();
    let other = Predictor::fit(Operation::AttnDecode, &samples, &context());
    for x in [[1, 32], [5, 77], [16, 512], [9, 300], [40, 9000]] {
        assert_eq!(one.predict(x).to_bits(), other.predict(x).to_bits(), "{x:?}");
    }
}

#[test]
fn every_name_leads_back_to_its_operation() {
    for operation in Operation::ALL {
        assert_eq!(Operation::from_name(operation.name()), Some(operation));
        assert!(operation.time_column().contains(operation.name()));
    }
}
