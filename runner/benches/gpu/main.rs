//! The CUDA engine's figures, one JSON document a subcommand: `cargo bench --bench gpu -- decode --model dummy`.
//! Built once and carried to a machine with a GPU (`run.sh`); without a GPU it says so and measures nothing.

mod rates;
mod setup;
mod truth;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Figures of the CUDA engine, as JSON.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    figure: Option<Figure>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Figure {
    /// The device and its measured ceilings.
    Device,
    /// Decode steps over batch sizes and contexts, beside the memory floor.
    Decode {
        #[command(flatten)]
        model: setup::ModelArgs,
        #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
        batches: Vec<u32>,
        #[arg(long, value_delimiter = ',', default_value = "128,2048")]
        contexts: Vec<u32>,
        #[arg(long, default_value_t = 100)]
        steps: u64,
    },
    /// Prefills of one sequence, beside the rate of a large product.
    Prefill {
        #[command(flatten)]
        model: setup::ModelArgs,
        #[arg(long, value_delimiter = ',', default_value = "128,512,2048")]
        tokens: Vec<u32>,
        #[arg(long, default_value_t = 20)]
        steps: u64,
    },
    /// Decode steps one after the other: host and device time of each, and the gap between them.
    Timeline {
        #[command(flatten)]
        model: setup::ModelArgs,
        #[arg(long, default_value_t = 1)]
        batch: u32,
        #[arg(long, default_value_t = 200)]
        steps: u64,
    },
    /// Logits after given prompts and the greedy tokens that follow.
    Logits(LogitsArgs),
    /// Against the CPU model with the same weights: after every layer, and token by token.
    Truth {
        #[command(flatten)]
        model: setup::ModelArgs,
    },
}

#[derive(Args)]
struct LogitsArgs {
    #[command(flatten)]
    model: setup::ModelArgs,
    /// JSON list of lists of token ids.
    #[arg(long)]
    prompts: std::path::PathBuf,
    #[arg(long, default_value_t = 64)]
    new_tokens: u32,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let figure = match (cli.figure, fidelio::engine::cuda::require()) {
        (Some(figure), Ok(_)) => figure,
        (None, Ok(_)) => Figure::Device,
        (_, Err(missing)) => {
            println!("not measured: {missing} ({})", missing.hint);
            // `cargo bench` without a GPU has nothing to say; who asked for a figure and gets none is told.
            return if cli.bench { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let result = match figure {
        Figure::Device => rates::device(),
        Figure::Decode { model, batches, contexts, steps } => rates::decode(&model, &batches, &contexts, steps),
        Figure::Prefill { model, tokens, steps } => rates::prefill(&model, &tokens, steps),
        Figure::Timeline { model, batch, steps } => rates::timeline(&model, batch, steps),
        Figure::Logits(LogitsArgs { model, prompts, new_tokens }) => truth::logits(&model, &prompts, new_tokens),
        Figure::Truth { model } => truth::truth(&model),
    };
    match result {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            fidelio::error::print(&error);
            ExitCode::from(2)
        }
    }
}
