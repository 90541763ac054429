//! The settings a run was served with, as its metadata says them: what a "what if" starts from.

use serde_json::{Map, Value};

use crate::compare::said_setting;
use crate::explore::questions::WhatIf;
use crate::schema::RunMeta;
use crate::serving::{Policy, SchedulerConfig};

/// Settings without which a schedule is anybody's guess.
const NEEDED: [&str; 3] = ["policy", "max_num_seqs", "max_num_batched_tokens"];
/// Settings that parity mode alone has.
const NEVER: [&str; 1] = ["vidur_oddities"];

/// The settings of the real run, or else of the simulated one, and what neither says and was taken instead.
///
/// # Errors
/// Neither says what is needed, or what they say is no setting of ours.
pub(super) fn settings(real: &RunMeta, sim: &RunMeta, longest: u32) -> Result<(WhatIf, Vec<String>), String> {
    let said = |setting: &str| said_setting(real, setting).or_else(|| said_setting(sim, setting));
    let usual = SchedulerConfig::default();
    let usual = SchedulerConfig { max_model_len: usual.max_model_len.max(longest), ..usual };
    let Ok(Value::Object(defaults)) = serde_json::to_value(&usual) else {
        return Err("the scheduler's settings cannot be listed".to_owned());
    };
    let (mut found, mut assumed) = (Map::new(), Vec::new());
    for (setting, default) in defaults.iter().filter(|(setting, _)| !NEVER.contains(&setting.as_str())) {
        let value = match said(setting) {
            Some(text) => serde_json::from_slice(text.as_bytes()).unwrap_or(Value::String(text)),
            None if NEEDED.contains(&setting.as_str()) => {
                return Err(format!("neither run says its `{setting}`, so its schedule cannot be computed again"));
            }
            None => {
                // A run of ours says all that had a choice when it was written.
                if !real.is_ours() && !sim.is_ours() {
                    assumed.push(format!("`{setting}` is not said: {default} is taken"));
                }
                default.clone()
            }
        };
        found.insert(setting.clone(), value);
    }
    let mut scheduler: SchedulerConfig = serde_json::from_value(Value::Object(found))
        .map_err(|error| format!("the run's scheduler settings are none that can be simulated: {error}"))?;
    if scheduler.num_blocks == 0 {
        scheduler.num_blocks = usual.num_blocks;
        assumed.push(format!("`num_blocks` is not said: {} is taken", usual.num_blocks));
    }
    check(&scheduler)?;
    let num_replicas = said("num_replicas").map_or(Some(1), |text| text.parse().ok());
    let num_replicas = num_replicas.ok_or("the number of replicas the run says is no number")?;
    Ok((WhatIf { scheduler, rate: 1.0, num_replicas }, assumed))
}

/// Settings of which step times of whole steps say something.
///
/// # Errors
/// The first setting that is impossible, in a sentence.
pub(super) fn check(scheduler: &SchedulerConfig) -> Result<(), String> {
    scheduler.check()?;
    if scheduler.vidur_oddities {
        return Err("`vidur_oddities` is for reproducing Vidur, not for asking what if".to_owned());
    }
    if scheduler.num_stages() > 1 {
        return Err("pipelines cannot be explored: measured steps do not say what each stage took".to_owned());
    }
    if scheduler.policy == Policy::Lightllm && scheduler.max_waiting_iters == 0 {
        return Err("`max_waiting_iters` must be at least 1".to_owned());
    }
    Ok(())
}
