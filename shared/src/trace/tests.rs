//! Traces are read back as the format's readers do: exact times, slices within slices, nothing unescaped.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn about() -> TraceAbout {
    TraceAbout { run: "a \"run\"\n\u{1}".to_owned(), origin: Some(Origin::Simulated) }
}

fn trace(steps: &[StepRow], requests: &[RequestRow]) -> String {
    let mut writer = TraceWriter::begin(Vec::new(), about()).expect("begun");
    steps.iter().for_each(|row| writer.step(row).expect("a step"));
    requests.iter().for_each(|row| writer.request(row).expect("a request"));
    String::from_utf8(writer.finish().expect("finished")).expect("UTF-8")
}

fn step(step_index: u64, start: u64, host: u64, device: u64) -> StepRow {
    StepRow {
        step_index,
        start: Nanos(start),
        end: Nanos(start + host + device),
        host: Nanos(host),
        device: Nanos(device),
        num_prefill_tokens: 16,
        num_decode_seqs: 2,
        context_tokens: 90,
        kv_blocks_used: 7,
        num_running: 3,
        num_waiting: 1,
        ..StepRow::default()
    }
}

fn request(request_id: u32, times: [Option<u64>; 4]) -> RequestRow {
    let [arrival, scheduled, first_token, completion] = times.map(|time| time.map(Nanos));
    RequestRow {
        request_id,
        arrival: arrival.unwrap_or_default(),
        scheduled,
        first_token,
        completion,
        num_prefill_tokens: 16,
        num_decode_tokens: 5,
        num_decode_tokens_actual: 5,
        num_preemptions: Some(0),
        ..RequestRow::default()
    }
}

/// The events of a document, each one's `ts` as whole nanoseconds read from its digits.
fn events(text: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(text).expect("JSON");
    let mut events = document["traceEvents"].as_array().expect("events").clone();
    let lines = text.lines().filter(|line| line.starts_with("{\"ph\""));
    for (event, line) in events.iter_mut().zip(lines) {
        let Some((_, rest)) = line.split_once("\"ts\":") else { continue };
        let (micros, rest) = rest.split_once('.').expect("a decimal point");
        let nanos = &rest[..3];
        assert!(nanos.bytes().all(|byte| byte.is_ascii_digit()) && rest[3..].starts_with(','), "{line}");
        event["ns"] = format!("{micros}{nanos}").parse::<u64>().expect("nanoseconds").into();
    }
    events
}

/// Replays slices, thread by thread and track by track: each ends after all that began within it, no two
/// overlap, and all are closed. Gives `(name, start, end, depth)` in the order of their ends.
fn slices(events: &[Value], time: impl Fn(&Value) -> u64) -> Vec<(String, u64, u64, usize)> {
    let mut stacks = BTreeMap::<String, Vec<(String, u64)>>::new();
    let mut latest = BTreeMap::<String, u64>::new();
    let mut slices = Vec::new();
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    for event in events {
        let phase = text(event, "ph");
        let track = match phase.as_str() {
            "B" | "E" => format!("thread {} {}", event["pid"], event["tid"]),
            "b" | "e" => format!("track {} {}", text(event, "cat"), text(event, "id")),
            _ => continue,
        };
        let now = time(event);
        let before = latest.insert(track.clone(), now);
        assert!(before.is_none_or(|before| before <= now), "{track} goes back to {now}: {event}");
        let stack = stacks.entry(track).or_default();
        if matches!(phase.as_str(), "B" | "b") {
            stack.push((text(event, "name"), now));
            continue;
        }
        let (name, start) = stack.pop().expect("something to end");
        assert_eq!(name, text(event, "name"), "the innermost slice ends");
        slices.push((name, start, now, stack.len()));
    }
    assert!(stacks.values().all(Vec::is_empty), "all are closed: {stacks:?}");
    slices
}

fn exact(event: &Value) -> u64 {
    event["ns"].as_u64().expect("a time")
}

#[test]
fn a_small_trace_is_this_text() {
    let text = trace(&[step(0, 1_005, 40, 2_000)], &[request(3, [Some(5), Some(1_005), Some(3_045), Some(9_000)])]);
    assert_eq!(text, include_str!("small.json").replace("VERSION", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_slice_lies_within_its_parent_and_none_overlap() {
    let steps = [step(0, 0, 10, 90), step(1, 100, 0, 50), step(2, 150, 50, 0), step(3, 400, 1, 1), step(4, 402, 0, 0)];
    let requests =
        [request(0, [Some(0), Some(0), Some(100), Some(402)]), request(1, [Some(7), None, Some(150), Some(200)])];
    let found = slices(&events(&trace(&steps, &requests)), exact);
    let expected = [
        ("host", 0, 10, 1),
        ("device", 10, 100, 1),
        ("prefill and decode", 0, 100, 0),
        ("prefill and decode", 100, 150, 0),
        ("prefill and decode", 150, 200, 0),
        ("host", 400, 401, 1),
        ("device", 401, 402, 1),
        ("prefill and decode", 400, 402, 0),
        ("prefill and decode", 402, 402, 0),
        ("prefill", 0, 100, 1),
        ("decode", 100, 402, 1),
        ("request", 0, 402, 0),
        ("queued and prefill", 7, 150, 1),
        ("decode", 150, 200, 1),
        ("request", 7, 200, 0),
    ];
    assert_eq!(found, expected.map(|(name, start, end, depth)| (name.to_owned(), start, end, depth)));
}

#[test]
fn a_reader_that_truncates_times_still_finds_every_slice() {
    // Odd lengths, so that boundaries are what a truncating reader gets wrong: 1.005 µs is 1004 ns to it.
    let mut steps = Vec::new();
    for index in 0..5_000 {
        let start = steps.last().map_or(0, |row: &StepRow| row.end.0);
        steps.push(step(index, start, 1 + index % 7, 201 + 2 * (index % 311)));
    }
    let mut events = events(&trace(&steps, &[]));
    events.retain(|event| event["ph"] == "B" || event["ph"] == "E");
    let as_perfetto = |event: &Value| (event["ts"].as_f64().expect("a time") * 1000.0) as u64;
    let num_off = events.iter().filter(|event| as_perfetto(event) != exact(event)).count();
    assert!(num_off > 100, "the test is about times that are read wrong: {num_off}");
    events.sort_by_key(as_perfetto);
    let found = slices(&events, as_perfetto);
    assert_eq!(found.len(), 3 * steps.len());
    assert!(found.iter().all(|(name, .., depth)| *depth == usize::from(name == "host" || name == "device")));
}

#[test]
fn steps_that_overlap_are_put_on_further_threads() {
    let steps = [step(0, 0, 0, 200), step(1, 100, 0, 200), step(2, 200, 0, 200), step(3, 300, 0, 200)];
    let events = events(&trace(&steps, &[]));
    assert_eq!(slices(&events, exact).len(), 4);
    let threads: Vec<u64> =
        events.iter().filter(|event| event["ph"] == "B").filter_map(|event| event["tid"].as_u64()).collect();
    assert_eq!(threads, [2, 1_000_002, 2, 1_000_002]);
    let named = |event: &&Value| event["name"] == "thread_name";
    let names: Vec<_> = events.iter().filter(named).map(|event| event["args"]["name"].clone()).collect();
    assert_eq!(names, ["steps", "steps 2"]);
}

#[test]
fn processes_and_threads_have_numbers_of_their_own_and_none_is_zero() {
    let mut steps = [step(0, 0, 0, 200), step(0, 0, 0, 200), step(1, 100, 0, 200)];
    (steps[1].replica_id, steps[2].replica_id) = (1, 1);
    let events = events(&trace(&steps, &[request(0, [Some(0), Some(0), Some(1), Some(2)])]));
    let named = |what: &str, number: &str| {
        let found = events.iter().filter(|event| event["name"] == what);
        found
            .map(|event| (event[number].as_u64().expect("a number"), event["args"]["name"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        named("process_name", "pid"),
        [(2, "replica 0".into()), (3, "replica 1".into()), (1, "requests".into())]
    );
    assert_eq!(
        named("thread_name", "tid"),
        [(2, "steps".into()), (3, "steps".into()), (1_000_003, "steps 2".into()), (1, "not served".into())]
    );
}

#[test]
fn counters_are_written_when_they_change_and_are_zero_while_nothing_runs() {
    let mut steps = [step(0, 0, 0, 100), step(1, 100, 0, 100), step(2, 500, 0, 100)];
    steps[1].kv_blocks_used = 8;
    let events = events(&trace(&steps, &[]));
    let found: Vec<_> = events
        .iter()
        .filter(|event| event["ph"] == "C")
        .map(|event| (exact(event), event["name"].as_str().expect("a name"), event["args"].to_string()))
        .collect();
    let mut expected = Vec::new();
    for (time, running, waiting, blocks) in [
        (0, Some(3), Some(1), 7),
        (100, None, None, 8),
        (200, Some(0), Some(0), 0),
        (500, Some(3), Some(1), 7),
        (600, Some(0), Some(0), 0),
    ] {
        expected.extend(running.map(|count| (time, "running", format!("{{\"sequences\":{count}}}"))));
        expected.extend(waiting.map(|count| (time, "waiting", format!("{{\"sequences\":{count}}}"))));
        expected.push((time, "KV blocks", format!("{{\"used\":{blocks}}}")));
    }
    assert_eq!(found, expected);
}

#[test]
fn what_was_refused_is_an_instant_and_what_failed_ends_in_one() {
    let hostile = "out of \"blocks\"\\\u{0}\u{2028}</script>";
    let refused = RequestRow {
        status: RequestStatus::Rejected,
        error_msg: Some(hostile.to_owned()),
        ..request(0, [Some(1_500), None, None, None])
    };
    let failed = RequestRow { status: RequestStatus::Error, ..request(1, [Some(0), Some(10), None, None]) };
    let events = events(&trace(&[], &[refused, failed]));
    let instants: Vec<_> = events.iter().filter(|event| event["ph"] == "i").collect();
    assert_eq!(instants.len(), 2);
    assert_eq!((exact(instants[0]), &instants[0]["name"], &instants[0]["s"]), (1_500, &"rejected".into(), &"t".into()));
    assert_eq!(instants[0]["args"]["error"], hostile);
    assert_eq!((exact(instants[1]), &instants[1]["name"]), (10, &"error".into()));
    let names: Vec<String> = slices(&events, exact).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["queued", "request"], "only the one that failed was there for a while");
}

#[test]
fn any_row_gives_a_whole_document() {
    let max = u64::MAX;
    let wild = StepRow {
        start: Nanos(max - 1),
        end: Nanos(5),
        host: Nanos(max),
        device: Nanos(max),
        replica_id: u32::MAX,
        ..StepRow::default()
    };
    let long = StepRow { start: Nanos(0), end: Nanos(10), ..wild };
    let backwards = request(u32::MAX, [Some(100), Some(50), Some(30), Some(max)]);
    let events = events(&trace(&[wild, long], &[backwards]));
    let found = slices(&events, exact);
    assert!(found.iter().all(|(_, start, end, _)| start <= end), "{found:?}");
    assert!(found.contains(&("host".to_owned(), 0, 10, 1)) && found.contains(&("device".to_owned(), 10, 10, 1)));
}

#[test]
fn a_run_is_written_by_start_and_says_what_it_is() {
    let rows = vec![step(1, 100, 0, 100), step(0, 0, 0, 100)];
    let mut run = Run { name: about().run, steps: Some(rows), ..Run::default() };
    run.meta.run_type = Some("vidur".to_owned());
    let text = String::from_utf8(write_trace(&run, Vec::new()).expect("written")).expect("UTF-8");
    assert_eq!(text, trace(&[step(0, 0, 0, 100), step(1, 100, 0, 100)], &[]));
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&document["otherData"]["run"], &document["otherData"]["times"]),
        (&run.name.into(), &"predicted".into())
    );
    let empty = trace(&[], &[]);
    assert_eq!(serde_json::from_str::<Value>(&empty).expect("JSON")["traceEvents"], serde_json::json!([]));
}

#[test]
fn an_output_that_fails_is_said() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let failed = write_trace(&Run::default(), Full).err().map(|error| error.kind());
    assert_eq!(failed, Some(io::ErrorKind::BrokenPipe));
}
