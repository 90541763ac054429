//! One golden's files: configuration, requests, tables, recorded outputs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use fidelio_shared::latency::{VidurModel, VidurShape, VidurTables};
use fidelio_shared::serving::{ClusterConfig, Policy, Request, RouterPolicy, SchedulerConfig};
use flate2::read::GzDecoder;
use serde_json::Value;

/// A recorded simulation.
pub struct Golden {
    pub name: String,
    folder: PathBuf,
    pub scheduler: SchedulerConfig,
    pub cluster: ClusterConfig,
    pub model: VidurModel,
    pub time_limit: Option<f64>,
    /// Routing that Vidur drew from Python's own generator.
    pub assigned: Option<Vec<u32>>,
    pub requests: Vec<Request<f64>>,
}

impl Golden {
    pub fn load(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("config.json")).expect("config.json");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let vidur = &config["vidur_config"];
        let limit = vidur["time_limit"].as_f64().expect("a number");
        let is_random = vidur["cluster_config"]["global_scheduler_config"]["name"] == "random";
        Golden {
            assigned: is_random.then(|| assigned(folder)),
            scheduler: scheduler(&config),
            cluster: cluster(&vidur["cluster_config"]),
            model: model(folder, vidur),
            time_limit: (limit > 0.0).then_some(limit),
            requests: requests(folder),
            folder: folder.to_owned(),
            name,
        }
    }

    /// A recorded output.
    pub fn table(&self, name: &str) -> Option<Table> {
        let path = self.folder.join(format!("{name}.csv.gz"));
        path.exists().then(|| Table::parse(&read_gz(&path)))
    }
}

fn whole(value: &Value) -> u32 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number")) as u32
}

fn scheduler(config: &Value) -> SchedulerConfig {
    let (summary, vidur) = (&config["summary"], &config["vidur_config"]);
    let settings = &vidur["cluster_config"]["replica_scheduler_config"];
    let policy = match settings["name"].as_str().expect("a name") {
        "vllm" => Policy::VidurVllm,
        "sarathi" => Policy::Sarathi,
        "orca" => Policy::Orca,
        "faster_transformer" => Policy::FasterTransformer,
        "lightllm" => Policy::Lightllm,
        other => panic!("no scheduler of Vidur's is called {other}"),
    };
    // Vidur lets Orca and FasterTransformer hold what the memory planner allows.
    let max_num_seqs =
        if policy.reserves_longest() { whole(&summary["max_batch_size"]) } else { whole(&settings["batch_size_cap"]) };
    let budget = ["chunk_size", "max_tokens_in_batch"].into_iter().find_map(|name| settings[name].as_u64());
    SchedulerConfig {
        policy,
        max_num_seqs,
        max_num_batched_tokens: budget.unwrap_or(u64::from(u32::MAX)) as u32,
        block_size: whole(&settings["block_size"]),
        num_blocks: whole(&summary["num_blocks"]),
        watermark_permille: (settings["watermark_blocks_fraction"].as_f64().expect("a number") * 1000.0).round() as u32,
        max_model_len: whole(&vidur["request_generator_config"]["max_tokens"]),
        max_in_flight: whole(&vidur["cluster_config"]["replica_config"]["num_pipeline_stages"]),
        max_waiting_iters: settings["max_waiting_iters"].as_u64().unwrap_or(10) as u32,
        vidur_oddities: true,
        ..SchedulerConfig::default()
    }
}

fn cluster(config: &Value) -> ClusterConfig {
    let router = match config["global_scheduler_config"]["name"].as_str().expect("a name") {
        "round_robin" => RouterPolicy::RoundRobin,
        "lor" => RouterPolicy::LeastOutstanding,
        "random" => RouterPolicy::Random,
        other => panic!("no router of Vidur's is called {other}"),
    };
    ClusterConfig { num_replicas: whole(&config["num_replicas"]), router, ..ClusterConfig::default() }
}

fn model(folder: &Path, vidur: &Value) -> VidurModel {
    let replica = &vidur["cluster_config"]["replica_config"];
    let (llm, predictor) = (&replica["model_config"], &vidur["execution_time_predictor_config"]);
    let number = |name: &str| predictor[name].as_f64().expect("a number");
    let shape = VidurShape {
        num_layers: whole(&llm["num_layers"]),
        num_stages: whole(&replica["num_pipeline_stages"]),
        tensor_parallel: whole(&replica["tensor_parallel_size"]),
        is_grouped_query: whole(&llm["num_q_heads"]) > whole(&llm["num_kv_heads"]),
        has_post_attention_norm: llm["post_attn_norm"].as_bool().expect("a flag"),
        decode_batching_overhead: number("attention_decode_batching_overhead_fraction"),
        prefill_batching_overhead: number("attention_prefill_batching_overhead_fraction"),
        nccl_launch_ms: number("nccl_cpu_launch_overhead_ms"),
        nccl_skew_ms: number("nccl_cpu_skew_overhead_per_device_ms"),
        has_host_overhead: !predictor["skip_cpu_overhead_modeling"].as_bool().expect("a flag"),
    };
    let mut tables = VidurTables::default();
    for name in VidurTables::names() {
        let in_tables = folder.join("tables").join(format!("{name}.csv.gz"));
        let beside = folder.join(format!("{name}.csv.gz"));
        for path in [in_tables, beside].iter().filter(|path| path.exists()) {
            let input = GzDecoder::new(File::open(path).expect("a table"));
            tables.read(name, &path.display().to_string(), input).expect("a table of times");
        }
    }
    VidurModel::new(shape, tables).expect("all tables")
}

fn requests(folder: &Path) -> Vec<Request<f64>> {
    let text = std::fs::read_to_string(folder.join("requests.csv")).expect("requests.csv");
    let table = Table::parse(&text);
    let count = |row: usize, column: &str| table.number(row, column).expect("a count") as u32;
    let of = |row: usize| Request {
        id: count(row, "request_id"),
        arrival: table.number(row, "arrival_time").expect("a time"),
        num_prefill_tokens: count(row, "num_prefill_tokens"),
        num_decode_tokens: count(row, "num_decode_tokens"),
    };
    (0..table.rows.len()).map(of).collect()
}

fn assigned(folder: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(folder.join("requests.csv")).expect("requests.csv");
    let table = Table::parse(&text);
    (0..table.rows.len()).map(|row| table.number(row, "replica_id").expect("a replica") as u32).collect()
}

fn read_gz(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(File::open(path).expect("a file")).read_to_string(&mut text).expect("text");
    text
}

/// A table without quotes, all in memory.
pub struct Table {
    columns: BTreeMap<String, usize>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let header = lines.next().expect("a header");
        Table { columns: header.into_iter().zip(0..).collect(), rows: lines.collect() }
    }

    pub fn text(&self, row: usize, column: &str) -> &str {
        &self.rows[row][self.columns[column]]
    }

    /// `None` where nothing was written.
    pub fn number(&self, row: usize, column: &str) -> Option<f64> {
        let text = self.text(row, column);
        (!text.is_empty()).then(|| text.parse().unwrap_or_else(|_| panic!("{text} in {column} is no number")))
    }
}
