//! The CPU model against numbers of Hugging Face's own Qwen3 (`fixtures/qwen3_tiny`), and against itself:
//! however a sequence is cut, packed, placed or recomputed, its logits stay the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candle_core::{Device, Tensor};
use fidelio::engine::qwen3::{
    AttentionWork, KvCache, LoadFormat, LogitsWanted, ModelError, OpName, OpTimes, Qwen3, Qwen3Config, SequenceShare,
};
use fidelio::engine::{CandleExecutor, CandleOptions, Engine, Executor};
use fidelio_shared::serving::{Batch, BatchItem};
use fidelio_shared::time::Nanos;

/// Largest difference of a logit that rounding explains.
const TOLERANCE: f32 = 1e-4;

/// Below this gap between the two best logits the choice may go either way.
const CLEAR_GAP: f32 = 1e-3;

struct Reference {
    tokens: Vec<u32>,
    /// `[tokens, vocabulary]`.
    logits: Vec<f32>,
    greedy: Vec<u32>,
    gaps: Vec<f32>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen3_tiny").join(name)
}

fn load(directory: &Path) -> Result<Qwen3, ModelError> {
    let config = Qwen3Config::from_file(&directory.join("config.json"))?;
    Qwen3::load(config, &LoadFormat::Safetensors { directory: directory.to_owned() })
}

fn references(name: &str) -> Vec<Reference> {
    let tensors = candle_core::safetensors::load(fixture(name).join("reference.safetensors"), &Device::Cpu).unwrap();
    let floats = |key: String| tensors[&key].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let ids = |key: String| -> Vec<u32> {
        tensors[&key].to_vec1::<i32>().unwrap().into_iter().map(|id| u32::try_from(id).unwrap()).collect()
    };
    (0..tensors.len() / 4)
        .map(|i| Reference {
            tokens: ids(format!("prompt_{i}")),
            logits: floats(format!("logits_{i}")),
            greedy: ids(format!("greedy_{i}")),
            gaps: floats(format!("gap_{i}")),
        })
        .collect()
}

fn forward(model: &Qwen3, shares: &[SequenceShare<'_>], cache: &mut KvCache) -> Vec<f32> {
    let mut logits = Vec::new();
    model.forward(shares, cache, &mut logits, &mut OpTimes::off()).unwrap();
    logits
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= TOLERANCE, "{what}: a logit is off by {worst}");
}

/// Block tables of several sequences that interleave, backwards: no two blocks of one lie in order.
fn scattered_tables(lengths: &[usize], block_size: usize) -> (Vec<Vec<u32>>, usize) {
    let longest = lengths.iter().max().unwrap().div_ceil(block_size);
    let num_blocks = longest * lengths.len();
    let table =
        |sequence: usize| (0..longest).map(|i| (num_blocks - 1 - i * lengths.len() - sequence) as u32).collect();
    ((0..lengths.len()).map(table).collect(), num_blocks)
}

#[test]
fn logits_are_those_of_hugging_face() {
    for name in ["tied", "untied"] {
        let model = load(&fixture(name)).unwrap();
        for reference in references(name) {
            let mut cache = KvCache::new(model.config(), 7, 16).unwrap();
            let share = SequenceShare {
                tokens: &reference.tokens,
                start: 0,
                block_table: &[3, 1, 6, 0, 2, 5, 4],
                logits: LogitsWanted::All,
            };
            let what = format!("{name}, {} tokens", reference.tokens.len());
            assert_close(&forward(&model, &[share], &mut cache), &reference.logits, &what);
        }
    }
}

#[test]
fn chunks_packing_and_scattered_blocks_change_no_logit() {
    for name in ["tied", "untied"] {
        let model = load(&fixture(name)).unwrap();
        let references = references(name);
        let lengths: Vec<usize> = references.iter().map(|reference| reference.tokens.len()).collect();
        for (chunk, block_size) in [(1, 3), (3, 16), (7, 4), (16, 16), (64, 1), (100, 32)] {
            let (tables, num_blocks) = scattered_tables(&lengths, block_size);
            let mut cache = KvCache::new(model.config(), num_blocks, block_size).unwrap();
            let mut logits = vec![Vec::new(); references.len()];
            for start in (0..*lengths.iter().max().unwrap()).step_by(chunk) {
                let going: Vec<usize> = (0..lengths.len()).filter(|i| start < lengths[*i]).collect();
                let shares: Vec<SequenceShare<'_>> = going
                    .iter()
                    .map(|&i| SequenceShare {
                        tokens: &references[i].tokens[start..(start + chunk).min(lengths[i])],
                        start,
                        block_table: &tables[i],
                        logits: LogitsWanted::All,
                    })
                    .collect();
                let rows = forward(&model, &shares, &mut cache);
                let mut rows = rows.chunks(model.config().vocab_size);
                for (share, &i) in shares.iter().zip(&going) {
                    rows.by_ref().take(share.tokens.len()).for_each(|row| logits[i].extend_from_slice(row));
                }
            }
            for (found, reference) in logits.iter().zip(&references) {
                let what = format!("{name}, chunks of {chunk}, blocks of {block_size}");
                assert_close(found, &reference.logits, &what);
            }
        }
    }
}

#[test]
fn only_wanted_rows_of_logits_are_computed() {
    let model = load(&fixture("tied")).unwrap();
    let references = references("tied");
    let mut cache = KvCache::new(model.config(), 8, 16).unwrap();
    let wanted = [LogitsWanted::Last, LogitsWanted::None, LogitsWanted::Last];
    let tables = [[0].as_slice(), &[1], &[2, 3, 4]];
    let shares: Vec<SequenceShare<'_>> = references
        .iter()
        .zip(wanted)
        .zip(tables)
        .map(|((reference, logits), block_table)| SequenceShare {
            tokens: &reference.tokens,
            start: 0,
            block_table,
            logits,
        })
        .collect();
    let vocab_size = model.config().vocab_size;
    let last = |i: usize| references[i].logits.rchunks(vocab_size).next().unwrap();
    assert_close(&forward(&model, &shares, &mut cache), &[last(0), last(2)].concat(), "last rows");
}

/// A tiny serving loop: prefill in chunks, then decode, everything known to one side of the executor.
struct Driver {
    executor: CandleExecutor,
    next_batch: u64,
    sampled: HashMap<u32, Vec<u32>>,
}

impl Driver {
    fn new(name: &str, num_blocks: usize, block_size: usize, stop_token_ids: Vec<u32>) -> Self {
        let model = load(&fixture(name)).unwrap();
        let sampled_vocab_size = model.config().vocab_size;
        let options = CandleOptions { num_blocks, block_size, num_threads: 2, sampled_vocab_size, stop_token_ids };
        let executor = CandleExecutor::new(model, options, Arc::new(AtomicBool::new(false))).unwrap();
        Driver { executor, next_batch: 0, sampled: HashMap::new() }
    }

    /// Runs shares (request, start, tokens, emits) and keeps what they sampled.
    fn step(&mut self, items: &[(u32, usize, usize, bool)], preempted: &[u32]) {
        let item = |&(request_id, start, num_tokens, emits_token): &(u32, usize, usize, bool)| BatchItem {
            request_id,
            start: start as u32,
            num_tokens: num_tokens as u32,
            emits_token,
            is_decode: emits_token && num_tokens == 1,
        };
        let batch = Batch::listed(self.next_batch, items.iter().map(item).collect(), preempted.to_vec());
        self.next_batch += 1;
        let result = self.executor.execute(&batch).unwrap();
        assert_eq!(result.tokens.len(), items.iter().filter(|item| item.3).count());
        for token in result.tokens {
            self.sampled.entry(token.request_id).or_default().push(token.token_id);
        }
    }
}

#[track_caller]
fn assert_greedy(found: &[u32], reference: &Reference) {
    let clear = reference.gaps.iter().take_while(|gap| **gap > CLEAR_GAP).count();
    assert_eq!(found[..clear], reference.greedy[..clear]);
}

#[test]
fn greedy_tokens_survive_batching_and_preemption() {
    for (name, chunk, preempt_at) in [("tied", 13, 9), ("tied", 64, 1), ("untied", 4, 20)] {
        let references = references(name);
        let ids: Vec<u32> = (0..references.len() as u32).collect();
        let mut driver = Driver::new(name, 64, 8, Vec::new());
        for (id, reference) in ids.iter().zip(&references) {
            driver.executor.register(*id, &reference.tokens);
        }
        let free_at_first = driver.executor.num_free_blocks();
        let mut computed = vec![0; references.len()];
        let mut step = 0;
        loop {
            let preempted: Vec<u32> = ids.iter().copied().filter(|id| step == preempt_at && id % 2 == 1).collect();
            preempted.iter().for_each(|id| computed[*id as usize] = 0);
            let mut items = Vec::new();
            for (id, reference) in ids.iter().zip(&references) {
                let num_sampled = driver.sampled.get(id).map_or(0, Vec::len);
                let known = reference.tokens.len() + num_sampled;
                if num_sampled < reference.greedy.len() {
                    let start = computed[*id as usize];
                    let num_tokens = chunk.min(known - start);
                    computed[*id as usize] += num_tokens;
                    items.push((*id, start, num_tokens, start + num_tokens == known));
                }
            }
            if items.is_empty() {
                break;
            }
            driver.step(&items, &preempted);
            step += 1;
        }
        for (id, reference) in ids.iter().zip(&references) {
            assert_greedy(&driver.sampled[id], reference);
            driver.executor.release(*id);
        }
        assert_eq!(driver.executor.num_free_blocks(), free_at_first);
    }
}

#[test]
fn sampling_stops_and_masks_as_told() {
    let reference = references("tied").remove(2);
    let stop = reference.greedy[0];
    let mut driver = Driver::new("tied", 16, 16, vec![stop]);
    driver.executor.register(0, &reference.tokens);
    let item = BatchItem { request_id: 0, start: 0, num_tokens: 33, emits_token: true, is_decode: false };
    let batch = Batch::listed(0, vec![item], Vec::new());
    let token = driver.executor.execute(&batch).unwrap().tokens[0];
    assert_eq!((token.token_id, token.is_stop), (stop, true));

    let options = CandleOptions {
        num_blocks: 16,
        block_size: 16,
        num_threads: 1,
        sampled_vocab_size: stop as usize,
        stop_token_ids: Vec::new(),
    };
    let model = load(&fixture("tied")).unwrap();
    let mut masked = CandleExecutor::new(model, options, Arc::new(AtomicBool::new(false))).unwrap();
    masked.register(0, &reference.tokens);
    let token = masked.execute(&batch).unwrap().tokens[0];
    assert!(token.token_id < stop && !token.is_stop);
}

#[test]
fn contexts_nobody_computed_are_legal_and_a_full_pool_is_an_error() {
    let mut driver = Driver::new("tied", 8, 16, Vec::new());
    driver.executor.register(7, &[1, 2, 3]);
    driver.step(&[(7, 100, 2, true)], &[]);
    driver.step(&[(7, 102, 1, true)], &[]);
    let item = |request_id| BatchItem { request_id, start: 15, num_tokens: 2, emits_token: true, is_decode: false };
    let batch = |request_id| Batch::listed(9, vec![item(request_id)], Vec::new());
    let error = driver.executor.execute(&batch(8)).unwrap_err();
    assert!(format!("{error:#}").contains("needs 2 more KV blocks, 1 are free"), "{error:#}");
    driver.executor.release(7);
    let error = driver.executor.execute(&batch(9)).unwrap_err();
    assert!(format!("{error:#}").contains("request 9 was never registered"), "{error:#}");
}

#[test]
fn waits_end_at_the_deadline_or_when_interrupted() {
    let model = load(&fixture("untied")).unwrap();
    let options = CandleOptions {
        num_blocks: 1,
        block_size: 16,
        num_threads: 1,
        sampled_vocab_size: 96,
        stop_token_ids: Vec::new(),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut executor = CandleExecutor::new(model, options, interrupted.clone()).unwrap();
    executor.start_clock();
    let deadline = executor.now() + Nanos::from_millis(30);
    executor.wait_until(deadline);
    assert!(executor.now() >= deadline);
    let hand = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        interrupted.store(true, Ordering::Relaxed);
    });
    let deadline = executor.now() + Nanos::from_millis(600_000);
    executor.wait_until(deadline);
    assert!(executor.now() < deadline);
    hand.join().unwrap();
}

#[test]
fn dummy_weights_depend_on_the_seed_only() {
    let config = Qwen3Config::from_file(&fixture("tied").join("config.json")).unwrap();
    let logits = |seed, num_threads| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        threads.install(|| {
            let model = Qwen3::load(config.clone(), &LoadFormat::Dummy { seed }).unwrap();
            let mut cache = KvCache::new(&config, 1, 16).unwrap();
            let share = SequenceShare { tokens: &[5, 6, 7], start: 0, block_table: &[0], logits: LogitsWanted::All };
            forward(&model, &[share], &mut cache)
        })
    };
    let first = logits(1, 1);
    assert!(first.iter().all(|logit| logit.is_finite()));
    assert_eq!(first, logits(1, 3));
    assert_ne!(first, logits(2, 1));
}

#[test]
fn operations_are_timed_by_name() {
    let model = load(&fixture("tied")).unwrap();
    let mut cache = KvCache::new(model.config(), 16, 16).unwrap();
    let spans = model.time_operations(20, 4, &mut cache).unwrap();
    let names: Vec<&str> = spans.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "emb",
        "input_layernorm",
        "attn_pre_proj",
        "attn_rope",
        "attn_post_proj",
        "add",
        "post_attention_layernorm",
        "mlp_up_proj",
        "mlp_act",
        "mlp_down_proj",
        "add",
    ];
    assert_eq!(names, expected);
    let decode = [AttentionWork { start: 90, num_tokens: 1 }; 2];
    let names: Vec<OpName> = model.time_attention(&decode, 0, &mut cache).unwrap().iter().map(|span| span.0).collect();
    assert_eq!(names, [OpName::AttnKvCacheSave, OpName::AttnDecode]);
    let too_long = [AttentionWork { start: 200, num_tokens: 57 }];
    assert!(model.time_attention(&too_long, 0, &mut cache).is_err());
}

/// A copy of the tied fixture whose tensors `change` has edited.
fn edited_fixture(name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(fixture("tied").join("config.json"), directory.join("config.json")).unwrap();
    let mut tensors = candle_core::safetensors::load(fixture("tied").join("model.safetensors"), &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, directory.join("model.safetensors")).unwrap();
    directory
}

#[track_caller]
fn assert_load_error(directory: &Path, file: &str, expected: &str) {
    let error = anyhow::Error::from(load(directory).map(|_| ()).unwrap_err());
    let message = format!("{error:#}");
    assert!(message.contains(expected), "`{expected}` is not in: {message}");
    assert!(message.contains(&directory.join(file).display().to_string()), "no path in: {message}");
}

#[test]
fn bad_files_are_named_with_what_is_wrong() {
    let norm = "model.layers.1.self_attn.k_norm.weight";
    let missing = edited_fixture("qwen3_missing", |tensors| drop(tensors.remove(norm)));
    assert_load_error(&missing, "model.safetensors", &format!("tensor `{norm}` is missing, expected with shape [32]"));

    let misshapen = edited_fixture("qwen3_misshapen", |tensors| {
        tensors.insert(norm.to_owned(), Tensor::ones(16, candle_core::DType::F32, &Device::Cpu).unwrap());
    });
    assert_load_error(&misshapen, "model.safetensors", &format!("tensor `{norm}` has shape [16], expected [32]"));

    let cut = edited_fixture("qwen3_cut", |_| {});
    let bytes = std::fs::read(cut.join("model.safetensors")).unwrap();
    std::fs::write(cut.join("model.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    assert_load_error(&cut, "model.safetensors", "not a complete safetensors file");

    let other = edited_fixture("qwen3_other", |_| {});
    let config = std::fs::read_to_string(other.join("config.json")).unwrap();
    std::fs::write(other.join("config.json"), config.replace("\"qwen3\"", "\"llama\"")).unwrap();
    assert_load_error(&other, "config.json", "field `model_type`: `llama` is not supported");
    std::fs::write(other.join("config.json"), config.replace("\"head_dim\"", "\"head_size\"")).unwrap();
    assert_load_error(&other, "config.json", "field `head_dim`: missing");
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_too_large_for_memory_is_refused_before_it_is_loaded() {
    let mut config = Qwen3Config::from_file(&fixture("tied").join("config.json")).unwrap();
    (config.vocab_size, config.hidden_size) = (1 << 24, 1 << 24);
    let error = Qwen3::load(config.clone(), &LoadFormat::Dummy { seed: 0 }).map(|_| ()).unwrap_err();
    assert!(matches!(error, ModelError::Memory { what: "the weights", .. }), "{error}");
    config.hidden_size = 48;
    let error = KvCache::new(&config, 1 << 40, 16).map(|_| ()).unwrap_err();
    assert!(matches!(error, ModelError::Memory { what: "the KV blocks", .. }), "{error}");
}

#[test]
fn impossible_batches_are_errors() {
    let model = load(&fixture("tied")).unwrap();
    let mut cache = KvCache::new(model.config(), 4, 16).unwrap();
    let share = SequenceShare { tokens: &[1, 2], start: 0, block_table: &[0], logits: LogitsWanted::Last };
    let impossible = [
        (SequenceShare { tokens: &[], ..share }, "without tokens"),
        (SequenceShare { tokens: &[512], ..share }, "token 512"),
        (SequenceShare { start: 15, ..share }, "17 tokens in 1 blocks of 16"),
        (SequenceShare { start: 255, ..share }, "the model's longest is 256"),
        (SequenceShare { block_table: &[4], ..share }, "block 4"),
    ];
    for (share, expected) in impossible {
        let error = model.forward(&[share], &mut cache, &mut Vec::new(), &mut OpTimes::off()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
