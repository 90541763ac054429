//! What may be typed. Plain values only: nothing below this folder sees clap.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use fidelio_shared::metrics::{Definition, Slo};

/// How far can a simulation of LLM serving be trusted? Make a workload, run it for real, simulate the
/// very same workload, compare the two, bundle the comparison and look at it in the browser.
#[derive(Debug, Parser)]
#[command(name = "fidelio", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start here: `fidelio run quickstart`\nEvery verb has its own --help. Exit codes: 0 done, 1 a declared tolerance is exceeded, 2 could not do it."
)]
pub struct Args {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Where artifacts go unless `--out` says otherwise
    #[arg(long, global = true, value_name = "DIR", default_value = "tmp", value_hint = ValueHint::DirPath)]
    pub root: PathBuf,
    /// Replace artifacts that are already there
    #[arg(long, global = true)]
    pub force: bool,
    /// Directory of presets that come before the built-in ones
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub config_dir: Option<PathBuf>,
    /// The verb
    #[command(subcommand)]
    pub verb: Verb,
}

/// An experiment and what is changed in it.
#[derive(Clone, Debug, clap::Args)]
pub struct ExperimentArgs {
    /// Preset name or path of a TOML file (`fidelio configs experiment` lists the presets)
    pub experiment: String,
    /// `group=option` or `dotted.key=value`, for example `scheduler=sarathi workload.num_requests=100`
    #[arg(value_name = "OVERRIDE")]
    pub overrides: Vec<String>,
}

/// Where a share goes: one of them.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct ShareTarget {
    /// Write this folder, for any static host
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Upload to this bucket, below this prefix, and print the link
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    pub to: Option<String>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Do the whole job: workload, profile, measure, simulate, compare, bundle
    Run {
        #[command(flatten)]
        experiment: ExperimentArgs,
        /// Put every artifact into this directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Make a workload: what is asked, and when
    Workload {
        #[command(flatten)]
        experiment: ExperimentArgs,
        /// The workload's directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Measure what engine steps and operations cost on this machine
    Profile {
        #[command(flatten)]
        experiment: ExperimentArgs,
        /// The profile's directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Run a workload on a real engine
    Measure {
        #[command(flatten)]
        experiment: ExperimentArgs,
        /// An existing workload; otherwise the experiment's own is made
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        workload: Option<PathBuf>,
        /// Real runs of the same workload, instead of the experiment's number; several tell the noise floor
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        repeats: Option<u32>,
        /// The run's directory (further repeats get `_2`, `_3`, …)
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Predict a run of the same workload with the same scheduler
    Simulate {
        #[command(flatten)]
        experiment: ExperimentArgs,
        /// An existing workload, or a run whose requests are asked again; otherwise the experiment's own is made
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        workload: Option<PathBuf>,
        /// A profile; otherwise the one of the experiment's hardware and model
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        profile: Option<PathBuf>,
        /// The run's directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Search for the highest arrival rate the simulated engine sustains
    Capacity {
        #[command(flatten)]
        experiment: ExperimentArgs,
        /// A profile; otherwise the one of the experiment's hardware and model
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        profile: Option<PathBuf>,
        /// Tell the rate at this share of the capacity, as `85%` or `0.85`
        #[arg(long, value_name = "SHARE", value_parser = share, default_value = "85%")]
        share: f64,
    },
    /// Fit a latency model to real runs, to predict others: `latency=calibrated latency.profile=FILE`
    Calibrate {
        /// Preset or file of an experiment with the scheduler settings the runs were served with; not needed for runs
        /// that say them
        experiment: Option<String>,
        /// `group=option` or `dotted.key=value`
        #[arg(value_name = "OVERRIDE")]
        overrides: Vec<String>,
        /// Real runs, all served with the same settings
        #[arg(long, required = true, num_args = 1.., value_name = "DIR", value_hint = ValueHint::AnyPath)]
        real: Vec<PathBuf>,
        /// Requests of each run to fit to, as `0..100`: those before 100
        #[arg(long, value_name = "FROM..TO", value_parser = requests)]
        requests: Option<std::ops::Range<u32>>,
        /// A profile: the experiment's latency model is scaled instead of one made of terms alone
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        profile: Option<PathBuf>,
        /// The file's path
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
    },
    /// Hold a simulated run against real ones
    Compare {
        /// Real runs: the first is compared, the others are its repeats. A directory, or the file another tool
        /// left: `request_metrics.csv` of Sarathi-Serve or Vidur, `requests.jsonl` of vLLM stamps
        #[arg(long, required = true, num_args = 1.., value_name = "RUN", value_hint = ValueHint::AnyPath)]
        real: Vec<PathBuf>,
        /// Simulated run, likewise
        #[arg(long, value_name = "RUN", value_hint = ValueHint::AnyPath)]
        sim: PathBuf,
        /// Directory of the workload both ran
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        workload: Option<PathBuf>,
        /// Largest relative error accepted, as `10%` or `0.1`; declaring one makes the exit code 1 when it is exceeded
        #[arg(long, value_name = "ERROR", value_parser = fraction)]
        tolerance: Option<f64>,
        /// Percentiles to compare, in percent
        #[arg(long, value_name = "P,…", value_delimiter = ',', value_parser = percentile)]
        percentiles: Vec<u32>,
        /// Coverage of the intervals, as `95%` or `0.95`
        #[arg(long, value_name = "SHARE", value_parser = confidence)]
        confidence: Option<f64>,
        /// Times the requests are drawn again for the intervals; 0 computes none, and tells nothing without them
        #[arg(long, value_name = "N", value_parser = resamples)]
        resamples: Option<u32>,
        /// Seed of these draws
        #[arg(long, value_name = "SEED")]
        seed: Option<u64>,
        /// Whose TTFT, ITL, … and percentiles: fidelio, vllm-bench, sglang, guidellm, aiperf, inference-perf,
        /// loadgen, vidur
        #[arg(long, value_name = "TOOL", value_parser = definition, default_value = "fidelio")]
        definition: Definition,
        /// Count goodput under this objective
        #[arg(long, value_name = "ttft=200ms,tpot=50ms,…", value_parser = Slo::parse)]
        slo: Option<Slo>,
        /// Compare runs that differ or do not say, under a banner
        #[arg(long)]
        allow_mismatch: bool,
        /// The comparison's directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Pack a comparison and its inputs into one zip, or one page
    Bundle {
        /// Comparison directory
        #[arg(value_hint = ValueHint::DirPath)]
        comparison: PathBuf,
        /// Put the prompts' texts in
        #[arg(long)]
        with_prompts: bool,
        /// Write one HTML file instead, with the viewer and the bundle inside: it opens by double click, without a network
        #[arg(long)]
        html: bool,
        /// The file's path
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
    },
    /// Check every hash of a bundle and compute every number again from its raw rows
    Verify {
        /// Bundle, or page with a bundle inside
        #[arg(value_hint = ValueHint::FilePath)]
        bundle: PathBuf,
    },
    /// Open the viewer in the browser, with bundles or empty
    View {
        /// Bundles
        #[arg(value_hint = ValueHint::FilePath)]
        bundles: Vec<PathBuf>,
        /// Port on 127.0.0.1; any free one otherwise
        #[arg(long)]
        port: Option<u16>,
        /// Print the address only
        #[arg(long)]
        no_open: bool,
    },
    /// Put the viewer and bundles where others can open them: a folder for any static host, or S3-compatible storage
    ///
    /// Every bundle is verified first, as `fidelio verify` does; a zip of run directories made by hand must open. The
    /// folder works at any address and below any path: its bare address opens the bundles.
    ///
    /// Storage is written to with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile
    /// $AWS_PROFILE of ~/.aws/credentials. Objects go into a folder named by their content, so no upload changes what
    /// an earlier link shows; the page goes last, and what was uploaded is removed again when an upload fails. Who may
    /// read them is the bucket's own setting.
    Share {
        /// Bundles; several open side by side
        #[arg(required = true, value_name = "BUNDLE", value_hint = ValueHint::FilePath)]
        bundles: Vec<PathBuf>,
        #[command(flatten)]
        target: ShareTarget,
        /// The storage's address [default: $AWS_ENDPOINT_URL_S3, $AWS_ENDPOINT_URL, or Amazon's]
        #[arg(long, value_name = "URL", conflicts_with = "out", value_hint = ValueHint::Url)]
        endpoint: Option<String>,
        /// Its region [default: $AWS_REGION, $AWS_DEFAULT_REGION, or us-east-1]
        #[arg(long, value_name = "NAME", conflicts_with = "out")]
        region: Option<String>,
        /// The bucket is part of the host's name, as at Amazon's
        #[arg(long, conflicts_with = "out")]
        virtual_host: bool,
        /// Address of the bucket's root for browsers, where it is not the storage's own; for the printed link
        #[arg(long, value_name = "URL", conflicts_with = "out", value_hint = ValueHint::Url)]
        public_url: Option<String>,
    },
    /// Summarise one run, of fidelio or of another tool
    Summary {
        /// Run directory, or the file another tool left
        #[arg(value_hint = ValueHint::AnyPath)]
        run: PathBuf,
        /// Add what tools would print of it: one of fidelio, vllm-bench, sglang, guidellm, aiperf, inference-perf,
        /// loadgen, vidur, several with commas, or all
        #[arg(long, value_name = "TOOL|all", value_parser = definitions)]
        definition: Option<Definitions>,
        /// Add throughput, and goodput under this objective
        #[arg(long, value_name = "ttft=200ms,tpot=50ms,…", value_parser = Slo::parse)]
        slo: Option<Slo>,
    },
    /// Write one run as a trace for ui.perfetto.dev and chrome://tracing: its steps and requests in time
    Trace {
        /// Run directory
        #[arg(value_hint = ValueHint::DirPath)]
        run: PathBuf,
        /// The trace's path; `-` is stdout, which is meant without it too unless it is a terminal
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
    },
    /// Predict every public data set at hand again, and tell every error
    Evidence {
        /// Folder of data sets; `$FIDELIO_DATA` otherwise. A data set holds vLLM's `requests.jsonl`, Sarathi's
        /// `real_request_metrics.csv` and `sim_request_metrics.csv`, or a real and a simulated run directory
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        data: Vec<PathBuf>,
        /// Write `evidence.md` and `evidence.csv` into this directory too
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Tell what this machine has, and what each missing thing disables
    Doctor,
    /// List presets
    Configs {
        /// One group: experiment, model, hardware, workload, scheduler, backend, latency
        group: Option<String>,
    },
    /// Print a completion script
    Completions {
        /// Shell
        shell: Shell,
    },
}

/// Several definitions, as one argument.
#[derive(Clone, Debug)]
pub struct Definitions(pub Vec<Definition>);

fn definition(name: &str) -> Result<Definition, String> {
    Definition::parse(name.trim()).ok_or_else(|| {
        let known: Vec<&str> = Definition::ALL.into_iter().map(Definition::key).collect();
        format!("none of {}", known.join(", "))
    })
}

/// `all`, or names with commas.
fn definitions(text: &str) -> Result<Definitions, String> {
    match text.trim() {
        "all" => Ok(Definitions(Definition::ALL.to_vec())),
        names => names.split(',').map(definition).collect::<Result<_, _>>().map(Definitions),
    }
}

/// `0..100`: from the first, up to but without the last.
fn requests(text: &str) -> Result<std::ops::Range<u32>, String> {
    let parse = |number: &str| number.trim().parse::<u32>().ok();
    match text.split_once("..").map(|(from, to)| (parse(from), parse(to))) {
        Some((Some(from), Some(to))) if from < to => Ok(from..to),
        _ => Err("not a range of requests: write the first and the one after the last, as `0..100`".to_owned()),
    }
}

/// `10%` or `0.1`.
fn fraction(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        // Whoever writes 10 means ten percent, not ten times: it is not to be guessed.
        Ok(value) if scale == 1.0 && value > 1.0 => {
            Err(format!("{value} is no fraction: write `{value}%`, or at most 1"))
        }
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value * scale),
        _ => Err("not a fraction: write `10%` or `0.1`".to_owned()),
    }
}

/// None, or enough of them for a percentile in the tail.
fn resamples(text: &str) -> Result<u32, String> {
    match text.trim().parse::<u32>() {
        Ok(count) if count == 0 || (200..=100_000).contains(&count) => Ok(count),
        _ => Err("not a number of resamples: write 0, or one from 200 to 100000".to_owned()),
    }
}

/// A fraction above zero, at most one.
fn share(text: &str) -> Result<f64, String> {
    match fraction(text)? {
        share if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("not a share: write one above 0 % and at most 100 %".to_owned()),
    }
}

/// A fraction between one half and one.
fn confidence(text: &str) -> Result<f64, String> {
    match fraction(text) {
        Ok(share) if (0.5..=0.99).contains(&share) => Ok(share),
        _ => Err("not a confidence: write one from 50 % to 99 %, as `95%` or `0.95`".to_owned()),
    }
}

/// `99.9` → 9990 hundredths of a percent.
fn percentile(text: &str) -> Result<u32, String> {
    let percent = text.trim().trim_start_matches(['p', 'P']).parse::<f64>().ok();
    match percent.map(|percent| percent * 100.0) {
        Some(hundredths) if hundredths > 0.0 && hundredths < 10_000.0 && hundredths.fract().abs() < 1e-6 => {
            Ok(hundredths.round() as u32)
        }
        _ => Err("not a percentile: write a number between 0 and 100 with at most two decimals".to_owned()),
    }
}
