//! Every parser under random bytes and random damage: never a panic, errors name the file; and round trips.

mod damage;
mod foreign;
mod rows;
mod samples;

use std::io::Cursor;

use fidelio_shared::bundle::{BundleReader, BundleWriter, verify};
use fidelio_shared::latency::{BatchShape, LatencyModel, StepModel, StepProfile, StepProfileRow};
use fidelio_shared::schema::comparison::CompareOptions;
use fidelio_shared::schema::{
    DataError, PrefixWriter, Prefixes, PromptRow, RequestRow, RequestStatus, RequestWriter, RunMeta, StepPhases,
    StepRow, StepWriter, TokenTimes, TokenWriter, Workload, WorkloadMeta, WorkloadRow, Writer, read_intervals,
    read_lengths, read_prefixes, read_prompts, read_requests, read_steps, read_tokens, write_json,
};
use fidelio_shared::stats::Percentile;
use fidelio_shared::time::Nanos;
use fidelio_shared::workload::{Inputs, SourceRequest, TraceReader, WorkloadSpec, generate, in_memory};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::bundles::zip_of;
use damage::{Damage, apply, cell, damage, damaged};
use foreign::*;
use rows::{phased_steps, profile_row, requests, running_sum, step, text};
use samples::*;

/// Requests of the small run that is damaged.
const NUM_REQUESTS: usize = 3;

/// A parser, what it is told the file is called, and a file it takes.
struct Parser {
    file: &'static str,
    read: fn(&str, &[u8]) -> Result<(), DataError>,
    good: fn() -> Vec<u8>,
}

/// All of them. Each `read` also checks what must hold of anything that is taken.
const PARSERS: [Parser; 16] = [
    Parser { file: "run/request_metrics.csv", read: requests_hold, good: || write_requests(&small_requests(0)) },
    Parser { file: "run/token_metrics.csv", read: tokens_hold, good: || write_tokens(&small_tokens(0), true) },
    Parser { file: "run/step_metrics.csv", read: steps_hold, good: || write_steps(&small_steps()) },
    Parser {
        file: "w/trace_lengths.csv",
        read: lengths_hold,
        good: || written(|out| small_workload().write_lengths(out)),
    },
    Parser {
        file: "w/trace_intervals.csv",
        read: intervals_hold,
        good: || written(|out| small_workload().write_intervals(out)),
    },
    Parser { file: "w/trace_prefixes.csv", read: prefixes_hold, good: || write_prefixes(&small_workload()) },
    Parser { file: "azure.csv", read: traces_hold, good: || SMALL_AZURE.as_bytes().to_vec() },
    Parser { file: "mooncake.jsonl", read: traces_hold, good: || SMALL_MOONCAKE.as_bytes().to_vec() },
    Parser { file: "replay.csv", read: traces_hold, good: || SMALL_REPLAY.as_bytes().to_vec() },
    Parser { file: "w/prompts.jsonl", read: prompts_hold, good: || write_prompts(&small_prompts()) },
    Parser { file: "p/steps.csv", read: profile_holds, good: || written(|out| small_profile().write(out)) },
    Parser { file: "run/request_metrics.csv", read: seconds_hold, good: || SMALL_SECONDS.as_bytes().to_vec() },
    Parser { file: "run/requests.jsonl", read: records_hold, good: || SMALL_RECORDS.as_bytes().to_vec() },
    Parser { file: "run/meta.json", read: settings_hold, good: || SMALL_SETTINGS.as_bytes().to_vec() },
    Parser { file: "run/run_meta.json", read: run_meta_holds, good: || write_json(&small_meta("real")) },
    Parser {
        file: "w/workload_meta.json",
        read: |file, bytes| WorkloadMeta::read(file, bytes).map(drop),
        good: || write_json(&WorkloadMeta { seed: Some(42), ..WorkloadMeta::default() }),
    },
];

impl Parser {
    /// The file is taken, or refused by an error that names it.
    fn takes_or_names(&self, bytes: &[u8]) -> Result<(), TestCaseError> {
        let Err(error) = (self.read)(self.file, bytes) else { return Ok(()) };
        prop_assert_eq!(&error.file, self.file);
        prop_assert!(error.to_string().starts_with(&format!("`{}`", self.file)), "{}", error);
        prop_assert!(!error.problem.is_empty(), "{}", error);
        Ok(())
    }
}

// --- what must hold of anything that was taken: the rules in the types' own words, and that it survives our writers

fn requests_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let rows = read_requests(file, bytes)?;
    for (id, row) in rows.iter().enumerate() {
        assert_eq!(row.request_id as usize, id, "ids are 0..N-1");
        assert!(row.num_decode_tokens_actual <= row.num_decode_tokens, "{row:?}");
        let times = [Some(row.arrival), row.scheduled, row.first_token, row.completion];
        let times: Vec<Nanos> = times.into_iter().flatten().collect();
        assert!(times.is_sorted(), "{row:?}");
        assert!(!row.has_output() || row.first_token.is_some(), "{row:?}");
    }
    assert_eq!(read_requests(file, write_requests(&rows).as_slice()).expect("ours"), rows);
    Ok(())
}

fn tokens_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let tokens = read_tokens(file, bytes, NUM_REQUESTS)?;
    let lists: Vec<Vec<Nanos>> = (0..NUM_REQUESTS as u32).map(|id| tokens.of(id).to_vec()).collect();
    assert!(lists.iter().all(|times| times.is_sorted()), "{lists:?}");
    let lines = csv::ReaderBuilder::new().from_reader(bytes).into_byte_records().count();
    assert_eq!(tokens.num_tokens(), lines, "every row is a token");
    let again = write_tokens(&lists, false);
    assert_eq!(read_tokens(file, again.as_slice(), NUM_REQUESTS).expect("ours"), tokens);
    Ok(())
}

fn steps_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let rows = read_steps(file, bytes)?;
    assert!(rows.iter().all(|row| row.start <= row.end), "{rows:?}");
    assert_eq!(read_steps(file, write_steps(&rows).as_slice()).expect("ours"), rows);
    Ok(())
}

fn lengths_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let rows = read_lengths(file, bytes)?;
    let again = written(|out| Workload { rows: rows.clone(), prefixes: None }.write_lengths(out));
    assert_eq!(read_lengths(file, again.as_slice()).expect("ours"), rows);
    Ok(())
}

fn intervals_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let mut sum = Nanos::ZERO;
    read_intervals(file, bytes, |_, gap, arrival| {
        sum += gap;
        assert_eq!(arrival, sum, "arrivals are the running sum");
    })?;
    Ok(())
}

fn prefixes_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let workload = small_workload();
    let prefixes = read_prefixes(file, bytes, &workload.rows)?;
    let most = 5u32.div_ceil(prefixes.block_tokens) as usize;
    assert!((0..NUM_REQUESTS as u32).all(|id| prefixes.of(id).len() <= most), "{prefixes:?}");
    let again = write_prefixes(&Workload { prefixes: Some(prefixes.clone()), ..workload.clone() });
    assert_eq!(read_prefixes(file, again.as_slice(), &workload.rows).expect("ours"), prefixes);
    Ok(())
}

fn traces_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let reader = TraceReader::requests(file, bytes)?;
    let block_tokens = reader.block_tokens();
    let has_times = reader.has_times();
    let rows: Vec<SourceRequest> = reader.collect::<Result<_, _>>()?;
    assert!(rows.is_sorted_by_key(|row| row.arrival) && rows.iter().all(|row| row.arrival.is_some() == has_times));
    if rows.is_empty() {
        return Ok(());
    }
    let arrivals = if has_times { r#"{"kind": "trace"}"# } else { r#"{"kind": "static"}"# };
    let spec = format!(r#"{{"requests": {{"kind": "trace", "file": "{file}"}}, "arrivals": {arrivals}}}"#);
    let spec: WorkloadSpec = serde_json::from_str(&spec).expect("a specification");
    let inputs = Inputs { source: Some(in_memory(rows)), block_tokens, ..Inputs::default() };
    let workload = generate(&spec, &inputs).expect("rows that were taken make a workload");
    assert_eq!(read_back(&workload), workload);
    Ok(())
}

/// The workload, through its files.
fn read_back(workload: &Workload) -> Workload {
    let mut rows = read_lengths("l.csv", written(|out| workload.write_lengths(out)).as_slice()).expect("ours");
    let intervals = written(|out| workload.write_intervals(out));
    let num_rows = read_intervals("i.csv", intervals.as_slice(), |id, gap, arrival| {
        (rows[id as usize].inter_arrival, rows[id as usize].arrival) = (gap, arrival);
    });
    assert_eq!(num_rows.expect("ours"), rows.len() as u64);
    let written = workload.prefixes.is_some().then(|| write_prefixes(workload));
    let prefixes = written.map(|bytes| read_prefixes("p.csv", bytes.as_slice(), &rows).expect("ours"));
    Workload { rows, prefixes }
}

fn prompts_hold(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let prompts = read_prompts(file, bytes)?;
    assert_eq!(read_prompts(file, write_prompts(&prompts).as_slice()).expect("ours"), prompts);
    Ok(())
}

fn profile_holds(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let profile = StepProfile::read(file, bytes)?;
    for row in &profile.rows {
        assert!(row.shape.num_tokens() > 0 && row.device > Nanos::ZERO, "{row:?}");
        assert!(row.device_min <= row.device && row.device <= row.device_max, "{row:?}");
    }
    let again = written(|out| profile.write(out));
    assert_eq!(StepProfile::read(file, again.as_slice()).expect("ours"), profile);
    let model = StepModel::fit(&profile, true);
    model.report(&profile);
    for row in &profile.rows {
        model.stage_time(&row.shape, 0);
    }
    Ok(())
}

fn run_meta_holds(file: &str, bytes: &[u8]) -> Result<(), DataError> {
    let meta = RunMeta::read(file, bytes)?;
    assert!(!meta.is_ours() || meta.ended_at.is_some(), "a run of ours ended");
    assert_eq!(RunMeta::read(file, &write_json(&meta)).expect("ours"), meta);
    Ok(())
}

/// Opens a zip and reads all that a viewer would; the first error.
fn read_bundle(zip: Vec<u8>) -> Result<(), DataError> {
    let mut bundle = BundleReader::open(Cursor::new(zip))?;
    // Each may fail by itself and none may panic, whatever became of the others.
    let results = [
        bundle.comparison().map(drop),
        bundle.real_run().map(drop),
        bundle.sim_run().map(drop),
        bundle.workload().map(drop),
        verify(&mut bundle).map(drop),
    ];
    results.into_iter().collect()
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn the_files_that_are_damaged_below_are_good() {
    for parser in PARSERS {
        (parser.read)(parser.file, &(parser.good)()).unwrap_or_else(|error| panic!("{error}"));
    }
    let mut bundle = BundleReader::open(Cursor::new(zip_of(&small_runs()))).expect("a zip of runs");
    let comparison = bundle.comparison().expect("compared");
    assert_eq!(comparison.counts.num_compared, NUM_REQUESTS);
    let mut entries = small_runs();
    entries.push(("comparison/comparison.json".to_owned(), write_json(&comparison)));
    let mut bundle = BundleReader::open(Cursor::new(bundle_of(&entries))).expect("a bundle");
    assert_eq!(bundle.comparison().expect("stored"), comparison);
}

/// What random damage found, kept as it was found.
#[test]
fn what_was_once_taken_or_panicked_is_refused_by_place() {
    let requests = |times: &str| {
        let header = "request_id,arrival_time_ns,first_token_time_ns,completion_time_ns,num_prefill_tokens,\
                      num_decode_tokens,num_decode_tokens_actual";
        read_requests("f", format!("{header}\n0,{times},1,1,1\n").as_bytes()).map(drop)
    };
    let tokens = |rows: &str| {
        read_tokens("f", format!("request_id,token_index,token_time_ns,token_latency_ns\n{rows}").as_bytes(), 1)
            .map(drop)
    };
    let profile = |tokens: u64, decodes: u64, times: &str| {
        let header = "num_prefill_tokens,num_prefill_seqs,prefill_pairs,num_decode_seqs,context_tokens,num_sampled,\
                      num_repeats,host_ns,device_ns,device_min_ns,device_max_ns,is_held_out";
        StepProfile::read("f", format!("{header}\n{tokens},1,1,{decodes},1,1,1,{times},0\n").as_bytes()).map(drop)
    };
    let found = [
        // Taken as 0, because only the first 40 characters were looked at.
        (
            requests("00000000000000000000000000000000000000000000000009,5,5"),
            "first_token_time_ns",
            "5 is before arrival_time_ns 9",
        ),
        (
            requests("18446744073709551615,18446744073709551615,18446744073709551615"),
            "arrival_time_ns",
            "later than any",
        ),
        // Panicked when the latency was rounded, or was printed as another number.
        (requests("0,1,9223372036854775807"), "completion_time_ns", "years after"),
        // Taken twice: the largest time was also the mark of a time that is not there.
        (tokens("0,0,18446744073709551615,\n0,0,18446744073709551615,\n"), "token_time_ns", "later than any"),
        (tokens("0,0,5,18446744073709551615\n"), "token_latency_ns", "later than any"),
        // Panicked when the tokens or the sequences of the step were added.
        (profile(u64::MAX, 1, "1,1,1,1"), "num_prefill_tokens", "is no count"),
        (profile(1, 0, "1,5,6,7"), "device_ns", "is not between"),
        (
            read_prompts("f", &br#"{"prompt_id":" a","text":"x"}"#[..]).map(drop),
            "prompt_id",
            "begins or ends with white space",
        ),
    ];
    for (result, column, words) in found {
        let error = result.expect_err(words);
        assert!(error.line.is_some() && error.problem.contains(words), "{error}");
        assert_eq!(error.column.as_deref(), Some(column), "{error}");
    }
    // Panicked when the quantile was taken.
    let mut runs = BundleReader::open(Cursor::new(zip_of(&small_runs()))).expect("a zip of runs");
    let mut comparison = runs.comparison().expect("compared");
    comparison.options.percentiles.push(Percentile(10_001));
    let mut entries = small_runs();
    entries.push(("comparison/comparison.json".to_owned(), write_json(&comparison)));
    let error = read_bundle(bundle_of(&entries)).expect_err("a percentile above 100");
    assert_eq!(
        (error.file.as_str(), error.column.as_deref()),
        ("comparison/comparison.json", Some("options.percentiles"))
    );
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn random_bytes_never_panic_and_errors_name_the_file(
        bytes in vec(any::<u8>(), 0..400),
        text in "[0-9,\"\n\r.eE+\\- okNa{}:\\[\\]]{0,200}",
    ) {
        for parser in PARSERS {
            parser.takes_or_names(&bytes)?;
            let good = (parser.good)();
            let header = good.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            for rest in [&bytes, text.as_bytes()] {
                parser.takes_or_names(&[&good[..header], rest].concat())?;
            }
        }
        prop_assert!(read_bundle(bytes).is_err());
    }

    #[test]
    fn damaged_files_are_taken_or_refused_by_name(damages in vec(damage(), 1..4)) {
        for parser in PARSERS {
            parser.takes_or_names(&damaged((parser.good)(), &damages))?;
        }
    }

    #[test]
    fn one_wrong_cell_is_taken_or_refused_by_name(line: Index, at: Index, cell in cell()) {
        for parser in PARSERS {
            parser.takes_or_names(&apply(&Damage::SetCell(line, at, cell.clone()), (parser.good)()))?;
        }
    }

    #[test]
    fn requests_come_back_as_they_were_written(rows in requests()) {
        let (sorted, shuffled) = rows;
        prop_assert_eq!(read_requests("r.csv", write_requests(&shuffled).as_slice()).expect("ours"), sorted);
    }

    #[test]
    fn tokens_come_back_as_they_were_written(lists in vec(vec(0..1u64 << 40, 0..20), 0..8), with_ids: bool) {
        let lists: Vec<Vec<Nanos>> = lists.into_iter().map(running_sum).collect();
        let read = read_tokens("t.csv", write_tokens(&lists, with_ids).as_slice(), lists.len()).expect("ours");
        prop_assert_eq!(read, TokenTimes::from_lists(&lists));
    }

    #[test]
    fn host_phases_come_back_as_they_were_written(rows in phased_steps()) {
        prop_assert_eq!(read_steps("s.csv", write_steps(&rows).as_slice()).expect("ours"), rows);
    }

    #[test]
    fn steps_come_back_as_they_were_written(rows in vec(step(), 0..20)) {
        prop_assert_eq!(read_steps("s.csv", write_steps(&rows).as_slice()).expect("ours"), rows);
    }

    #[test]
    fn workloads_come_back_as_they_were_written(rows in vec((text(), any::<u32>(), any::<u32>(), 0..1u64 << 50), 1..20)) {
        let arrivals = running_sum(rows.iter().map(|row| row.3).collect());
        let rows = rows.into_iter().zip(arrivals).map(|((prompt_id, prefill, decode, gap), arrival)| WorkloadRow {
            prompt_id,
            num_prefill_tokens: prefill,
            num_decode_tokens: decode,
            inter_arrival: Nanos(gap),
            arrival,
        });
        let workload = Workload { rows: rows.collect(), prefixes: None };
        let again = read_back(&workload);
        prop_assert_eq!(again.sha256(), workload.sha256());
        prop_assert_eq!(again, workload);
    }

    #[test]
    fn prompts_come_back_as_they_were_written(rows in vec((text(), any::<String>(), option::of(any::<u32>())), 1..20)) {
        let mut prompts: Vec<PromptRow> = Vec::new();
        for (prompt_id, text, num_decode_tokens) in rows {
            if prompts.iter().all(|prompt| prompt.prompt_id != prompt_id) {
                prompts.push(PromptRow { prompt_id, text, num_decode_tokens });
            }
        }
        prop_assert_eq!(read_prompts("p.jsonl", write_prompts(&prompts).as_slice()).expect("ours"), prompts);
    }

    #[test]
    fn profiles_come_back_as_they_were_written(rows in vec(profile_row(), 1..20)) {
        let profile = StepProfile { rows };
        let read = StepProfile::read("steps.csv", written(|out| profile.write(out)).as_slice());
        match read {
            Ok(read) => prop_assert_eq!(read, profile),
            Err(error) => {
                prop_assert_eq!(error.problem.as_str(), "holds no measured shape to fit");
                prop_assert!(profile.rows.iter().all(|row| row.is_held_out));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn damaged_runs_in_a_zip_are_compared_or_refused_by_name(victim: Index, damages in vec(damage(), 1..3)) {
        let mut entries = small_runs();
        let victim = victim.index(entries.len());
        entries[victim].1 = damaged(std::mem::take(&mut entries[victim].1), &damages);
        let mut bundle = BundleReader::open(Cursor::new(zip_of(&entries)));
        let errors = match &mut bundle {
            Err(error) => vec![error.clone()],
            Ok(bundle) => {
                let results = [bundle.comparison().err(), bundle.real_run().err(), bundle.sim_run().err()];
                results.into_iter().flatten().collect()
            }
        };
        for error in errors {
            // What lies in one file may contradict another: the error names one of the zip's files.
            let named = error.file == "bundle" || entries.iter().any(|(name, _)| *name == error.file);
            prop_assert!(named, "{}", error);
        }
    }

    #[test]
    fn damaged_comparisons_and_manifests_never_panic(damages in vec(damage(), 1..3), in_manifest: bool) {
        let mut runs = BundleReader::open(Cursor::new(zip_of(&small_runs()))).expect("a zip of runs");
        let comparison = runs.recompute(&CompareOptions { allow_mismatch: true, ..CompareOptions::default() });
        let mut document = write_json(&comparison.expect("compared"));
        if !in_manifest {
            document = damaged(document, &damages);
        }
        let mut entries = small_runs();
        entries.push(("comparison/comparison.json".to_owned(), document));
        let mut zip = bundle_of(&entries);
        if in_manifest {
            let mut archive = zip::ZipArchive::new(Cursor::new(&zip)).expect("a zip");
            let mut manifest = Vec::new();
            std::io::Read::read_to_end(&mut archive.by_index(0).expect("a manifest"), &mut manifest).expect("bytes");
            entries.insert(0, ("manifest.json".to_owned(), damaged(manifest, &damages)));
            zip = zip_of(&entries);
        }
        if let Err(error) = read_bundle(zip) {
            prop_assert!(!error.file.is_empty() && !error.problem.is_empty(), "{}", error);
        }
    }

    #[test]
    fn damaged_zips_never_panic(damages in vec(damage(), 1..4), is_bundle: bool) {
        let entries = small_runs();
        let zip = if is_bundle { bundle_of(&entries) } else { zip_of(&entries) };
        if let Err(error) = read_bundle(damaged(zip, &damages)) {
            prop_assert!(!error.file.is_empty() && !error.problem.is_empty(), "{}", error);
        }
    }
}
