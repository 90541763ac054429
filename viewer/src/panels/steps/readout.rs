//! Both sides at one instant: the step at work there, or that there is none.

use std::sync::Arc;

use fidelio_shared::charts::{format_count, format_duration};
use fidelio_shared::explore::answers::{StepLane, StepView};
use leptos::prelude::*;

const HELP: &str =
    "Point at an instant, or use the arrow keys; drag to zoom in, + and − zoom, Shift and arrows move, 0 shows all.";

/// Bin of a lane at an instant; `None` where no step is at work.
fn bin_at(lane: &StepLane, instant: u64) -> Option<usize> {
    let bin = lane.starts_ns.partition_point(|start| *start <= instant).checked_sub(1)?;
    (instant <= *lane.ends_ns.get(bin)? && *lane.weights.get(bin)? > 0.0).then_some(bin)
}

/// One side at an instant, in a line.
fn side_words(lane: Option<&StepLane>, instant: u64) -> String {
    let Some(lane) = lane else { return "no steps told".to_owned() };
    let Some(bin) = bin_at(lane, instant) else { return "no step at work".to_owned() };
    let what = match lane.is_exact {
        true => "step of".to_owned(),
        false => format!("{} steps, mean", format_count(lane.weights[bin])),
    };
    format!(
        "{what} {}: {} prefill tokens, {} decoding, {} KV blocks, {} running, {} waiting",
        format_duration(lane.duration_ns[bin]),
        format_count(lane.prefill_tokens[bin]),
        format_count(lane.decode_seqs[bin]),
        format_count(lane.kv_blocks[bin]),
        format_count(lane.running[bin]),
        format_count(lane.waiting[bin])
    )
}

/// Both sides at an instant, in a line.
pub(super) fn words(steps: &StepView, instant: u64) -> String {
    let (real, sim) = (side_words(steps.real.as_ref(), instant), side_words(steps.sim.as_ref(), instant));
    format!("{}: real, {real}; simulated, {sim}", format_duration(instant as f64))
}

type Value = fn(&StepLane) -> &Vec<f64>;

#[component]
pub(super) fn Readout(steps: Memo<Option<Arc<StepView>>>, instant: ReadSignal<Option<u64>>) -> impl IntoView {
    let at = move || Some((steps.get()?, instant.get()?));
    let value = move |pick: Value, is_real: bool| {
        let (steps, instant) = at()?;
        let lane = if is_real { steps.real.as_ref() } else { steps.sim.as_ref() }?;
        pick(lane).get(bin_at(lane, instant)?).map(f64::to_string)
    };
    let side = move |is_real: bool| {
        at().map(|(steps, instant)| side_words(if is_real { steps.real.as_ref() } else { steps.sim.as_ref() }, instant))
    };
    let duration: Value = |lane| &lane.duration_ns;
    let kv_blocks: Value = |lane| &lane.kv_blocks;
    view! {
        <dl class="instant" data-testid="steps-hover"
            data-instant-ns=move || instant.get().map(|instant| instant.to_string())
            data-real-duration-ns=move || value(duration, true)
            data-sim-duration-ns=move || value(duration, false)
            data-real-kv-blocks=move || value(kv_blocks, true)
            data-sim-kv-blocks=move || value(kv_blocks, false)
        >
            <dt>"Instant"</dt>
            <dd>{move || match instant.get() {
                Some(instant) => format!("At {}", format_duration(instant as f64)),
                None => HELP.to_owned(),
            }}</dd>
            <dt><span class="swatch real" aria-hidden="true"></span>"Real"</dt><dd>{move || side(true).unwrap_or("–".to_owned())}</dd>
            <dt><span class="swatch sim" aria-hidden="true"></span>"Simulated"</dt><dd>{move || side(false).unwrap_or("–".to_owned())}</dd>
        </dl>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_in_a_step_or_between_steps() {
        let lane = StepLane {
            num_steps: 2,
            is_exact: true,
            starts_ns: vec![100, 400],
            ends_ns: vec![200, 500],
            weights: vec![1.0, 1.0],
            ..StepLane::default()
        };
        assert_eq!(
            [50, 100, 200, 300, 450, 501].map(|at| bin_at(&lane, at)),
            [None, Some(0), Some(0), None, Some(1), None]
        );
        assert_eq!(side_words(Some(&lane), 300), "no step at work");
        assert_eq!(side_words(None, 300), "no steps told");
    }
}
