//! A comparison inside a link (`#data=…`): what the first screen shows, in about two thousand characters.
//!
//! The first character's byte is the version; the rest is deflate in base64url. Times and errors are kept to the
//! digits that are shown, curves to what a figure can show. Whatever stands in a link, reading it ends in a comparison
//! or in an error: lengths are checked before anything is kept.

mod metric;
mod pack;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::metrics::{Definition, Metric};
use crate::schema::comparison::{
    CompareOptions, Comparison, Counts, Notice, NoticeKind, OverallVerdict, RunIdentity, WorkloadIdentity,
};
use crate::schema::{DataError, SCHEMA_VERSION, Writer};
use crate::stats::{BootstrapOptions, Percentile, Verdict};
use metric::{put_metric, take_metric};
use pack::{Pack, Unpack, from_base64, to_base64};

/// The first byte of a link written now.
const VERSION: u8 = 1;
/// Longest link read, in characters.
const LONGEST: usize = 1 << 16;
/// Most that a link unpacks to, in bytes: no comparison comes near.
const MOST_BYTES: u64 = 1 << 16;
/// Percentiles and real runs of a comparison, at most.
const MOST_LISTED: usize = 64;
/// Characters of the sentence, of a name, and of all notices together.
const SENTENCE: usize = 300;
const NAME: usize = 60;
const NOTICES: usize = 320;

const VERDICTS: [Verdict; 3] = [Verdict::Within, Verdict::CannotTell, Verdict::Outside];
/// In the order of their numbers: only ever added to.
const NOTICE_KINDS: [NoticeKind; 9] = [
    NoticeKind::Parity,
    NoticeKind::MissingOutput,
    NoticeKind::EarlyStop,
    NoticeKind::OutOfProfile,
    NoticeKind::Load,
    NoticeKind::Fitted,
    NoticeKind::Run,
    NoticeKind::Definition,
    NoticeKind::Summary,
];

/// The comparison as the text after `#data=`.
pub fn encode(comparison: &Comparison) -> String {
    let mut deflated = Vec::new();
    let mut deflate = DeflateEncoder::new(&mut deflated, Compression::best());
    deflate.write_all(&packed(comparison)).and_then(|()| deflate.finish().map(drop)).expect("memory takes it");
    in_text(&deflated)
}

/// What of a comparison goes into a link. Raw deflate and then [`in_text`] make the link of it: a browser has a deflate
/// of its own, so that the site need not bring one.
pub fn packed(comparison: &Comparison) -> Vec<u8> {
    let mut pack = Pack::default();
    put_words(&mut pack, comparison);
    put_options(&mut pack, &comparison.options);
    put_counts(&mut pack, comparison);
    let metrics: Vec<_> = comparison.metrics.iter().take(Metric::ALL.len()).collect();
    pack.count(metrics.len());
    metrics.into_iter().for_each(|metric| put_metric(&mut pack, metric));
    pack.0
}

/// The text after `#data=` of what was [`packed`] and deflated.
pub fn in_text(deflated: &[u8]) -> String {
    to_base64(&[&[VERSION], deflated].concat())
}

/// The comparison in the text after `#data=`, with a notice that it is a summary.
///
/// # Errors
/// Text that is no link of ours, is cut off, or is of a newer version.
pub fn decode(link: &str) -> Result<Comparison, DataError> {
    if link.len() > LONGEST {
        return Err(broken("is too long"));
    }
    let bytes = from_base64(link).ok_or_else(|| broken("holds characters that no such link has"))?;
    let (version, packed) = bytes.split_first().ok_or_else(|| broken("is empty"))?;
    if *version != VERSION {
        return Err(broken(&format!("is of version {version}, not {VERSION}"))
            .with_hint("it was made by another version of fidelio"));
    }
    let mut unpacked = Vec::new();
    DeflateDecoder::new(packed)
        .take(MOST_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(|_| broken("is cut off or was changed"))?;
    if unpacked.len() as u64 > MOST_BYTES {
        return Err(broken("unpacks to more than a comparison"));
    }
    let mut unpack = Unpack::new(&unpacked);
    let comparison = take_comparison(&mut unpack).ok_or_else(|| broken("does not hold a comparison"))?;
    match unpack.is_at_end() {
        true => Ok(comparison),
        false => Err(broken("holds more than a comparison")),
    }
}

fn broken(problem: &str) -> DataError {
    DataError::new("#data", format!("the link {problem}"))
        .with_hint("copy it again, whole: programs that send messages cut long links")
}

/// All words first: what they have in common is then close together.
fn put_words(pack: &mut Pack, comparison: &Comparison) {
    let place = VERDICTS.iter().position(|verdict| *verdict == comparison.verdict.verdict);
    pack.count(place.unwrap_or(1));
    pack.text(&comparison.verdict.sentence, SENTENCE);
    pack.text(&comparison.writer.name, NAME);
    pack.text(&comparison.writer.version, NAME);
    pack.count(comparison.real.len().min(MOST_LISTED));
    put_identity(pack, comparison.real.first().unwrap_or(&RunIdentity::default()));
    put_identity(pack, &comparison.sim);
    let mut left = NOTICES;
    let told = comparison.notices.iter().filter(|notice| notice.kind != NoticeKind::Summary);
    for notice in told {
        let place = NOTICE_KINDS.iter().position(|kind| *kind == notice.kind);
        if let Some(place) = place.filter(|_| left > 0) {
            pack.count(place + 1);
            let budget = left.min(NOTICES / 2);
            pack.text(&notice.text, budget);
            left -= notice.text.chars().count().min(budget);
        }
    }
    pack.count(0);
}

fn put_identity(pack: &mut Pack, run: &RunIdentity) {
    pack.text(&run.name, NAME);
    for text in [&run.model, &run.engine, &run.hardware] {
        pack.optional_text(text.as_deref(), NAME);
    }
    pack.rate(run.throughput_rps);
    pack.rate(run.throughput_tokens_per_s);
}

fn put_options(pack: &mut Pack, options: &CompareOptions) {
    pack.bits(options.tolerance);
    pack.bits(options.bootstrap.confidence);
    pack.count(usize::from(options.is_tolerance_declared));
    pack.count(Definition::ALL.iter().position(|one| *one == options.definition).unwrap_or(0));
    let judged = Metric::ALL.iter().enumerate().filter(|(_, metric)| options.verdict_on.contains(metric));
    pack.number(judged.map(|(place, _)| 1 << place).sum());
    pack.count(options.percentiles.len().min(MOST_LISTED));
    options.percentiles.iter().take(MOST_LISTED).for_each(|percentile| pack.number(u64::from(percentile.0)));
}

fn put_counts(pack: &mut Pack, comparison: &Comparison) {
    let Counts { num_requests, num_compared, num_cut, num_uncut, num_real_missing, num_sim_missing, num_tokens } =
        comparison.counts;
    [num_requests, num_compared, num_cut, num_uncut, num_real_missing, num_sim_missing]
        .into_iter()
        .for_each(|count| pack.count(count));
    pack.number(num_tokens);
    let workload = &comparison.workload;
    pack.text(&workload.sha256, SHORT_SHA);
    pack.count(workload.num_requests);
    [workload.num_prefill_tokens, workload.num_decode_tokens, workload.span_ns]
        .into_iter()
        .for_each(|number| pack.number(number));
}

/// Characters of a workload's hash: as many as name it in messages.
const SHORT_SHA: usize = 12;

fn take_comparison(unpack: &mut Unpack<'_>) -> Option<Comparison> {
    let verdict = OverallVerdict { verdict: *VERDICTS.get(unpack.count()?)?, sentence: unpack.text()? };
    let writer = Writer { name: unpack.text()?, version: unpack.text()? };
    let num_real = unpack.count().filter(|count| *count <= MOST_LISTED)?;
    let (first, sim) = (take_identity(unpack)?, take_identity(unpack)?);
    let repeats =
        (2..=num_real).map(|number| RunIdentity { name: format!("{} ({number})", first.name), ..first.clone() });
    let mut real = vec![first.clone()];
    real.extend(repeats);
    let text = "these numbers came in a link: a summary, to the digits shown, without the runs behind it";
    let mut notices = vec![Notice { kind: NoticeKind::Summary, text: text.to_owned() }];
    loop {
        match unpack.count()? {
            0 => break,
            place => notices.push(Notice { kind: *NOTICE_KINDS.get(place - 1)?, text: unpack.text()? }),
        }
    }
    let options = take_options(unpack)?;
    let (counts, workload) = take_counts(unpack)?;
    let num_metrics = unpack.count().filter(|count| *count <= Metric::ALL.len())?;
    let metrics = (0..num_metrics).map(|_| take_metric(unpack)).collect::<Option<_>>()?;
    Some(Comparison {
        schema_version: SCHEMA_VERSION.to_owned(),
        writer,
        options,
        verdict,
        notices,
        real,
        sim,
        workload,
        parity: Vec::new(),
        counts,
        metrics,
        worst_requests: Vec::new(),
        order: None,
        attribution: None,
        windows: None,
        load: None,
        curves: None,
        service: None,
    })
}

fn take_identity(unpack: &mut Unpack<'_>) -> Option<RunIdentity> {
    Some(RunIdentity {
        name: unpack.text()?,
        model: unpack.optional_text()?,
        engine: unpack.optional_text()?,
        hardware: unpack.optional_text()?,
        throughput_rps: unpack.rate()?,
        throughput_tokens_per_s: unpack.rate()?,
        ..RunIdentity::default()
    })
}

fn take_options(unpack: &mut Unpack<'_>) -> Option<CompareOptions> {
    let tolerance = unpack.bits().filter(|tolerance| tolerance.is_finite() && *tolerance >= 0.0)?;
    let confidence = unpack.bits().filter(|confidence| (0.0..1.0).contains(confidence))?;
    let is_tolerance_declared = unpack.count()? != 0;
    let definition = *Definition::ALL.get(unpack.count()?)?;
    let judged = unpack.number()?;
    let num_percentiles = unpack.count().filter(|count| *count <= MOST_LISTED)?;
    let percentiles = (0..num_percentiles).map(|_| take_percentile(unpack)).collect::<Option<_>>()?;
    let is_judged = |(place, _): &(usize, &Metric)| judged >> place & 1 == 1;
    Some(CompareOptions {
        tolerance,
        is_tolerance_declared,
        percentiles,
        bootstrap: BootstrapOptions { confidence, ..BootstrapOptions::default() },
        verdict_on: Metric::ALL.iter().enumerate().filter(is_judged).map(|(_, metric)| *metric).collect(),
        definition,
        ..CompareOptions::default()
    })
}

fn take_percentile(unpack: &mut Unpack<'_>) -> Option<Percentile> {
    u32::try_from(unpack.number()?).ok().filter(|percentile| *percentile <= 10_000).map(Percentile)
}

fn take_counts(unpack: &mut Unpack<'_>) -> Option<(Counts, WorkloadIdentity)> {
    let counts = Counts {
        num_requests: unpack.count()?,
        num_compared: unpack.count()?,
        num_cut: unpack.count()?,
        num_uncut: unpack.count()?,
        num_real_missing: unpack.count()?,
        num_sim_missing: unpack.count()?,
        num_tokens: unpack.number()?,
    };
    let workload = WorkloadIdentity {
        sha256: unpack.text()?,
        num_requests: unpack.count()?,
        num_prefill_tokens: unpack.number()?,
        num_decode_tokens: unpack.number()?,
        span_ns: unpack.number()?,
    };
    Some((counts, workload))
}
