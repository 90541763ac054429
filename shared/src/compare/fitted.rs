//! Was the simulation's latency model fitted to the very run it is compared with?

use serde_json::Value;

use crate::calibrate::{FittedRun, stamps_sha256};
use crate::schema::Run;
use crate::schema::comparison::{Notice, NoticeKind};

/// A banner for each real run that the simulation was calibrated on, known by its stamps.
pub fn notices(real: &[Run], sim: &Run) -> Vec<Notice> {
    let fitted_to = sim.meta.results.get("calibration").and_then(|calibration| calibration.get("fitted_to"));
    let Some(entries) = fitted_to.and_then(Value::as_array) else { return Vec::new() };
    let fitted: Vec<FittedRun> =
        entries.iter().filter_map(|entry| serde_json::from_value(entry.clone()).ok()).collect();
    let banner = |run: &Run| {
        let identity = stamps_sha256(run);
        let found = fitted.iter().find(|entry| entry.stamps_sha256 == identity)?;
        Some(Notice { kind: NoticeKind::Fitted, text: sentence(&run.name, found) })
    };
    real.iter().filter_map(banner).collect()
}

fn sentence(name: &str, fitted: &FittedRun) -> String {
    let count = fitted.last_request + 1 - fitted.first_request.min(fitted.last_request);
    if count == fitted.num_requests {
        return format!("the latency model was fitted to {name} itself: agreement with it is no prediction");
    }
    format!(
        "the latency model was fitted to requests {} to {} of {name}: only what is said of the other {} is a prediction",
        fitted.first_request,
        fitted.last_request,
        fitted.num_requests - count
    )
}
