//! How far a "what if" can be trusted: what its step times are from, what the unchanged settings give, what was assumed.

use std::sync::Arc;

use fidelio_shared::explore::answers::{WhatIfAnswer, WhatIfBasis};
use fidelio_shared::explore::beside::change;
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::{magnitude, thousands};
use leptos::prelude::*;

use crate::panels::what_if::Trial;
use crate::words::{percent, with_code};
use crate::worker::protocol::Opened;

/// The lines under the table.
#[component]
pub fn Trust(trial: Trial, opened: Arc<Opened>, metric: Memo<Option<Metric>>) -> impl IntoView {
    let basis = trial.basis.get_value();
    let source = source_words(&basis);
    let unchanged = {
        let basis = Arc::clone(&basis);
        move || metric.get().and_then(|metric| unchanged_words(&basis, &opened, metric))
    };
    let steps = {
        let basis = Arc::clone(&basis);
        move || match trial.shown() {
            Some(answer) => steps_words(&answer),
            None => steps_words(&basis.unchanged),
        }
    };
    let assumed = basis.assumed.iter().map(|text| view! { <li>{with_code(&sentence(text))}</li> }).collect_view();
    view! {
        <div class="trust" data-testid="what-if-trust" data-step-error=basis.step_error.to_string()>
            <h3>"How far to trust this"</h3>
            <ul>
                <li>{source}</li>
                <li data-testid="what-if-unchanged-words">{unchanged}</li>
                <li data-testid="what-if-steps">{steps}</li>
                {assumed}
            </ul>
        </div>
    }
}

fn source_words(basis: &WhatIfBasis) -> String {
    let run = match basis.source.as_str() {
        "real" => "the steps that the real run recorded",
        "sim" => "the steps of the bundle’s simulation, because the real run recorded none",
        other => other,
    };
    format!("Step times are fitted to {run}; the fit errs by {} a step on average.", magnitude(basis.step_error))
}

/// What the run's own settings give here, against the real run: what any answer errs by at least.
fn unchanged_words(basis: &WhatIfBasis, opened: &Opened, metric: Metric) -> Option<String> {
    let again = basis.unchanged.metrics.iter().find(|entry| entry.metric == metric)?;
    let real = opened.comparison.metric(metric)?;
    let errors = real.percentiles.iter().filter_map(|row| {
        let (_, time) = again.percentiles.iter().find(|(percentile, _)| *percentile == row.percentile)?;
        Some(format!("{} {}", row.label.to_ascii_uppercase(), percent(Some(change(row.real_ns, *time)?))))
    });
    let errors: Vec<String> = errors.collect();
    let errors = if errors.is_empty() { "nothing to compare".to_owned() } else { errors.join(", ") };
    Some(format!(
        "The run’s own settings, simulated here, give its {} again with an error of {errors}.",
        metric.label()
    ))
}

fn steps_words(answer: &WhatIfAnswer) -> String {
    let (all, beyond) = answer.num_steps;
    match beyond {
        0 => format!("All {} steps are of sizes that were measured.", thousands(all)),
        beyond => format!(
            "{} of {} steps are beyond what was measured: their times are extrapolated.",
            thousands(beyond),
            thousands(all)
        ),
    }
}

fn sentence(text: &str) -> String {
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("Assumed: {text}{stop}")
}
