//! KV block counts of Vidur's planner, for every recorded configuration that let it plan.

use std::fs;

use fidelio_shared::latency::ModelShape;
use fidelio_shared::serving::memory::{VidurMemory, vidur_blocks};

use crate::harness::data;

#[test]
fn block_counts_of_the_vidur_planner_come_out_for_every_configuration_it_planned() {
    let Some(folder) = data("vidur_goldens") else { return };
    let mut planned = 0;
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let Ok(text) = fs::read(entry.join("config.json")) else { continue };
        let config: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let (summary, vidur) = (&config["summary"], &config["vidur_config"]);
        let replica = &vidur["cluster_config"]["replica_config"];
        let scheduler = &vidur["cluster_config"]["replica_scheduler_config"];
        if scheduler["num_blocks"].as_u64().is_some_and(|given| given > 0) {
            continue;
        }
        let number = |value: &serde_json::Value| value.as_u64().expect("a number") as u32;
        let model = &replica["model_config"];
        let shape = ModelShape {
            num_layers: number(&model["num_layers"]),
            hidden_size: number(&model["embedding_dim"]),
            num_q_heads: number(&model["num_q_heads"]),
            num_kv_heads: number(&model["num_kv_heads"]),
            head_dim: number(&model["embedding_dim"]) / number(&model["num_q_heads"]),
            mlp_hidden_size: number(&model["mlp_hidden_dim"]),
            is_gated: model["use_gated_mlp"].as_bool().expect("a flag"),
            vocab_size: number(&model["vocab_size"]),
            has_tied_embeddings: false,
            has_qk_norm: false,
            dtype_bytes: 2,
            tensor_parallel: number(&replica["tensor_parallel_size"]),
            pipeline_parallel: number(&replica["num_pipeline_stages"]),
        };
        let requests = &vidur["request_generator_config"];
        let max_tokens = requests["length_generator_config"].get("max_tokens").unwrap_or(&requests["max_tokens"]);
        let memory = VidurMemory {
            total_gib: replica["device_config"]["total_memory_gb"].as_f64().expect("a size"),
            margin: replica["memory_margin_fraction"].as_f64().expect("a share"),
            max_tokens: number(max_tokens),
        };
        let plan = vidur_blocks(&shape, &memory, number(&scheduler["block_size"])).expect("it fits");
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(Some(f64::from(plan.num_blocks)), summary["num_blocks"].as_f64(), "KV blocks of {name}");
        // FasterTransformer's and Orca's largest batch is their cap alone.
        let cap = scheduler["batch_size_cap"].as_f64().expect("a cap");
        let batch = f64::from(plan.plan_batch).min(cap);
        assert_eq!(Some(batch), summary["max_batch_size"].as_f64(), "largest batch of {name}");
        planned += 1;
    }
    assert_eq!(planned, 12, "configurations without a block count of their own");
}
