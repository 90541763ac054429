//! A link says what the comparison says, is short, and whatever else is in one ends in an error.

use super::*;
use crate::charts::format_duration;
use crate::compare::compare;
use crate::explore::tests::{options, published, trial};
use crate::random::Stream;
use crate::report::{interval_words, percent};
use crate::schema::Run;
use crate::stats::CentiNanos;

/// About as long as a link may be to be sent anywhere.
const LONG: usize = 2_000;

fn comparisons() -> Vec<Comparison> {
    let named = |(real, sim): (Run, Run)| {
        let name = |run: Run, name: &str| {
            let meta = crate::schema::RunMeta {
                model: Some("Qwen/Qwen3-0.6B".to_owned()),
                backend: Some("sarathi".to_owned()),
                hardware: Some(serde_json::json!({ "device": "NVIDIA A100-SXM4-80GB" })),
                ..run.meta
            };
            Run { name: name.to_owned(), meta, ..run }
        };
        (name(real, "real_95ad2f79b4"), name(sim, "vidur_b03705e77e"))
    };
    let again = |(real, sim): (Run, Run)| {
        let repeat = Run { name: "real_2".to_owned(), ..crate::explore::tests::repeat() };
        compare(&[real, repeat], &sim, None, &options()).expect("pairs")
    };
    let alone = |(real, sim): (Run, Run)| compare(&[real], &sim, None, &options()).expect("pairs");
    vec![alone(named(published())), alone(named(trial(400))), again(named(trial(200)))]
}

#[test]
fn percentiles_errors_and_verdicts_are_shown_as_they_were() {
    for comparison in comparisons() {
        let link = encode(&comparison);
        println!("{} metrics in {} characters", comparison.metrics.len(), link.len());
        assert!(link.len() <= LONG, "{} characters", link.len());
        assert!(link.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let again = decode(&link).expect("our own link");
        assert_eq!(again.verdict, comparison.verdict);
        assert_eq!(
            (again.counts, again.options.percentiles.clone()),
            (comparison.counts, comparison.options.percentiles)
        );
        assert_eq!(again.real.len(), comparison.real.len());
        let identity =
            |run: &RunIdentity| (run.name.clone(), run.model.clone(), run.engine.clone(), run.hardware.clone());
        assert_eq!(identity(&again.real[0]), identity(&comparison.real[0]));
        assert_eq!(identity(&again.sim), identity(&comparison.sim));
        assert_eq!(again.workload.sha256, comparison.workload.sha256[..11].to_owned() + "…");
        assert_eq!((again.notices[0].kind, again.notices.len()), (NoticeKind::Summary, comparison.notices.len() + 1));
        assert_eq!(again.metrics.len(), comparison.metrics.len());
        let shown = |time: CentiNanos| format_duration(time.as_f64());
        for (here, there) in again.metrics.iter().zip(&comparison.metrics) {
            assert_eq!(
                (here.metric, here.num_requests, here.num_values),
                (there.metric, there.num_requests, there.num_values)
            );
            for (here, there) in [(here.real, there.real), (here.sim, there.sim)] {
                let of = |summary: crate::schema::comparison::Summary| {
                    [summary.mean, summary.median, summary.min, summary.max].map(shown)
                };
                assert_eq!(of(here), of(there));
            }
            for (here, there) in here.percentiles.iter().zip(&there.percentiles) {
                assert_eq!(
                    [here.real_ns, here.sim_ns, here.diff_ns].map(shown),
                    [there.real_ns, there.sim_ns, there.diff_ns].map(shown)
                );
                assert_eq!(here.rel_error.map(percent), there.rel_error.map(percent));
                assert_eq!(interval_words(here.interval.as_ref()), interval_words(there.interval.as_ref()));
                assert_eq!(
                    (here.verdict, here.doubt, here.num_more_needed),
                    (there.verdict, there.doubt, there.num_more_needed)
                );
                assert_eq!(
                    (&here.label, here.sample_floor, here.is_below_floor),
                    (&there.label, there.sample_floor, there.is_below_floor)
                );
                assert_eq!(here.noise_rel.map(percent), there.noise_rel.map(percent));
                let tenths = |multiple: Option<f64>| multiple.map(|multiple| format!("{multiple:.1}"));
                assert_eq!(tenths(here.noise_multiple), tenths(there.noise_multiple));
            }
            assert!((here.ks - there.ks).abs() < 1e-4);
        }
    }
}

#[test]
fn curves_stay_within_the_width_of_a_line() {
    for comparison in comparisons() {
        let again = decode(&encode(&comparison)).expect("our own link");
        for (here, there) in again.metrics.iter().zip(&comparison.metrics) {
            for (here_ns, there_ns) in
                [(&here.curve.real_ns, &there.curve.real_ns), (&here.curve.sim_ns, &there.curve.sim_ns)]
            {
                assert!(here_ns.is_sorted() && here_ns.len() == here.curve.fractions.len());
                for (fraction, time) in here.curve.fractions.iter().zip(here_ns) {
                    let place = there.curve.fractions.partition_point(|one| one < fraction);
                    let (low, high) = (there_ns[place.saturating_sub(1)].as_f64(), there_ns[place].as_f64());
                    let time = time.as_f64();
                    assert!(
                        time >= low * 0.997 - 2.0 && time <= high * 1.003 + 2.0,
                        "{low} {time} {high} at {fraction}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_link_is_written_the_same_again() {
    for comparison in comparisons() {
        let link = encode(&comparison);
        assert_eq!(link, encode(&comparison));
        let again = decode(&link).expect("our own link");
        assert!(encode(&again).len().abs_diff(link.len()) < 40, "of what was read a link can be made again");
    }
}

#[test]
fn hostile_links_are_errors_and_quick_ones() {
    let link = encode(&comparisons()[0]);
    for length in 0..link.len() {
        let _ = decode(&link[..length]).expect_err("cut off");
    }
    let mut stream = Stream::new(9, "hostile");
    let mut packed = from_base64(&link).expect("bytes");
    // Any bytes at all, and ours with some changed: before packing and after.
    let mut plain = Vec::new();
    DeflateDecoder::new(&packed[1..]).read_to_end(&mut plain).expect("ours");
    let deflated = |bytes: &[u8]| {
        let mut out = vec![VERSION];
        let mut deflate = DeflateEncoder::new(&mut out, Compression::best());
        deflate.write_all(bytes).and_then(|()| deflate.finish().map(drop)).expect("memory");
        to_base64(&out)
    };
    let mut num_read = 0;
    for round in 0..3_000 {
        let mut changed = plain.clone();
        for _ in 0..=stream.below(4) {
            let place = stream.below(changed.len() as u64) as usize;
            changed[place] = stream.below(256) as u8;
        }
        if let Ok(comparison) = decode(&deflated(&changed)) {
            num_read += 1;
            // What can be read can be shown, and packed again.
            let _ = encode(&comparison);
        }
        let noise: Vec<u8> = (0..stream.below(300)).map(|_| stream.below(256) as u8).collect();
        let _ = decode(&deflated(&noise));
        let _ = decode(&to_base64(&noise));
        if round < 1_000 {
            let place = 1 + stream.below(packed.len() as u64 - 1) as usize;
            let before = std::mem::replace(&mut packed[place], stream.below(256) as u8);
            let _ = decode(&to_base64(&packed));
            packed[place] = before;
        }
    }
    assert!(num_read > 300, "{num_read}: most changes are of a number");
    let problem = |link: &str| decode(link).expect_err("no link of ours").to_string();
    assert!(problem(&deflated(&vec![0; 20 << 20])).contains("unpacks to more"), "a bomb");
    assert!(problem(&"A".repeat(LONGEST + 1)).contains("too long"));
    assert!(problem("what is this?").contains("characters"));
    assert!(problem("").contains("empty"));
    assert!(problem("_w").contains("version 255"));
    plain.push(0);
    assert!(problem(&deflated(&plain)).contains("holds more"));
}
