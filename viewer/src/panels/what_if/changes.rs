//! What is changed for a "what if": in words for the link, and in the settings that are simulated. Pure.

use std::collections::BTreeMap;
use std::fmt;

use fidelio_shared::decimal::decimal;
use fidelio_shared::explore::questions::WhatIf;
use fidelio_shared::serving::{Policy, SchedulerConfig};

/// A setting that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// Which scheduler.
    Policy,
    /// Sequences running at once.
    MaxNumSeqs,
    /// Tokens in one step: the chunk size.
    MaxNumBatchedTokens,
    /// Prefill tokens of one request in one step.
    LongPrefillTokenThreshold,
    /// KV blocks.
    NumBlocks,
    /// Blocks of equal prompts are used again.
    EnablePrefixCaching,
    /// Times as fast.
    Rate,
    /// Engine copies.
    NumReplicas,
}

impl Setting {
    /// All, in the order of the form.
    pub const ALL: [Setting; 8] = [
        Setting::Policy,
        Setting::MaxNumSeqs,
        Setting::MaxNumBatchedTokens,
        Setting::LongPrefillTokenThreshold,
        Setting::NumBlocks,
        Setting::EnablePrefixCaching,
        Setting::Rate,
        Setting::NumReplicas,
    ];

    /// The name, as in configurations and links.
    pub fn name(self) -> &'static str {
        match self {
            Setting::Policy => "policy",
            Setting::MaxNumSeqs => "max_num_seqs",
            Setting::MaxNumBatchedTokens => "max_num_batched_tokens",
            Setting::LongPrefillTokenThreshold => "long_prefill_token_threshold",
            Setting::NumBlocks => "num_blocks",
            Setting::EnablePrefixCaching => "enable_prefix_caching",
            Setting::Rate => "rate",
            Setting::NumReplicas => "num_replicas",
        }
    }

    /// What it is, in words.
    pub fn label(self) -> &'static str {
        match self {
            Setting::Policy => "Scheduler",
            Setting::MaxNumSeqs => "Running sequences, at most",
            Setting::MaxNumBatchedTokens => "Tokens a step, at most (chunk)",
            Setting::LongPrefillTokenThreshold => "Prefill of one request a step",
            Setting::NumBlocks => "KV blocks",
            Setting::EnablePrefixCaching => "Prefix caching",
            Setting::Rate => "Arrivals, times as fast",
            Setting::NumReplicas => "Replicas",
        }
    }

    /// Its value in `settings`, as it is written.
    pub fn value(self, settings: &WhatIf) -> String {
        let scheduler = &settings.scheduler;
        match self {
            Setting::Policy => policy_name(scheduler.policy),
            Setting::MaxNumSeqs => scheduler.max_num_seqs.to_string(),
            Setting::MaxNumBatchedTokens => scheduler.max_num_batched_tokens.to_string(),
            Setting::LongPrefillTokenThreshold => scheduler.long_prefill_token_threshold.to_string(),
            Setting::NumBlocks => scheduler.num_blocks.to_string(),
            Setting::EnablePrefixCaching => on_off(scheduler.enable_prefix_caching).to_owned(),
            Setting::Rate => settings.rate.to_string(),
            Setting::NumReplicas => settings.num_replicas.to_string(),
        }
    }

    /// Writes `text` into `settings`; a sentence where it is no value of this setting.
    fn write(self, settings: &mut WhatIf, text: &str) -> Result<(), String> {
        let name = self.name();
        let count = || text.parse::<u32>().map_err(|_| format!("`{name}` is a whole number, not “{text}”"));
        let scheduler = &mut settings.scheduler;
        match self {
            Setting::Policy => {
                let policy = Policy::ALL.into_iter().find(|policy| policy_name(*policy) == text);
                scheduler.policy = policy.ok_or_else(|| format!("there is no scheduler “{text}”"))?;
            }
            Setting::MaxNumSeqs => scheduler.max_num_seqs = count()?,
            Setting::MaxNumBatchedTokens => scheduler.max_num_batched_tokens = count()?,
            Setting::LongPrefillTokenThreshold => scheduler.long_prefill_token_threshold = count()?,
            Setting::NumBlocks => scheduler.num_blocks = count()?,
            Setting::EnablePrefixCaching => {
                let known = [true, false].into_iter().find(|value| on_off(*value) == text);
                scheduler.enable_prefix_caching =
                    known.ok_or_else(|| format!("`{name}` is on or off, not “{text}”"))?;
            }
            Setting::Rate => {
                let rate = decimal(text).filter(|rate| rate.is_finite());
                settings.rate = rate.ok_or_else(|| format!("`{name}` is a number, not “{text}”"))?;
            }
            Setting::NumReplicas => settings.num_replicas = count()?,
        }
        Ok(())
    }
}

/// The name of a policy in configurations.
pub fn policy_name(policy: Policy) -> String {
    let name = serde_json::to_value(policy).ok();
    name.as_ref().and_then(|name| name.as_str()).map_or_else(String::new, str::to_owned)
}

fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// Settings that are not as in the run, as they were typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<Setting, String>);

impl Changes {
    /// Reads `name:value,…`; names that there are not are left out.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
        let known = pairs.filter_map(|(name, value)| {
            let setting = Setting::ALL.into_iter().find(|setting| setting.name() == name)?;
            (!value.is_empty()).then(|| (setting, value.to_owned()))
        });
        Changes(known.collect())
    }

    /// What a setting was changed to.
    pub fn get(&self, setting: Setting) -> Option<&str> {
        self.0.get(&setting).map(String::as_str)
    }

    /// Changes a setting of a run; to what the run has, or to nothing, is no change.
    pub fn set(&mut self, run: &WhatIf, setting: Setting, text: &str) {
        // Thousands are often typed with commas, and links have a use of their own for them.
        let text: String = text.chars().filter(|letter| !letter.is_whitespace() && !",:".contains(*letter)).collect();
        let mut typed = run.clone();
        let is_own = setting.write(&mut typed, &text).is_ok() && typed == *run;
        if text.is_empty() || is_own {
            self.0.remove(&setting);
        } else {
            self.0.insert(setting, text);
        }
    }

    /// As in the run.
    pub fn reset(&mut self, setting: Setting) {
        self.0.remove(&setting);
    }

    /// Nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings of a run with these changes; `None` where they come to nothing.
    ///
    /// # Errors
    /// The first that is no value of its setting, and why.
    pub fn applied(&self, run: &WhatIf) -> Result<Option<Applied>, (Setting, String)> {
        let mut settings = run.clone();
        let mut follows = Vec::new();
        for (setting, text) in &self.0 {
            setting.write(&mut settings, text).map_err(|problem| (*setting, problem))?;
            // The policy comes first: what is typed of its consequences stays as typed.
            if *setting == Setting::Policy {
                follows = follow_policy(&mut settings.scheduler);
            }
        }
        Ok((settings != *run).then_some(Applied { settings, follows }))
    }
}

/// Changed settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// All of them.
    pub settings: WhatIf,
    /// What had to change with them, in sentences.
    pub follows: Vec<String>,
}

/// Settings that only another policy has are put aside, so that choosing one is enough to try it.
fn follow_policy(scheduler: &mut SchedulerConfig) -> Vec<String> {
    let mut follows = Vec::new();
    if scheduler.policy != Policy::VllmV1 {
        if scheduler.async_scheduling {
            (scheduler.async_scheduling, scheduler.max_in_flight) = (false, 1);
            follows.push("Asynchronous scheduling is off: only `vllm_v1` has it.".to_owned());
        }
        if scheduler.enable_prefix_caching {
            scheduler.enable_prefix_caching = false;
            follows.push("Prefix caching is off: only `vllm_v1` has it.".to_owned());
        }
    }
    if scheduler.policy == Policy::Lightllm && scheduler.block_size > 1 {
        scheduler.num_blocks = scheduler.num_blocks.saturating_mul(scheduler.block_size);
        scheduler.block_size = 1;
        follows
            .push("`lightllm` counts memory in tokens: the same memory is that many blocks of one token.".to_owned());
    }
    follows
}

impl fmt::Display for Changes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(setting, value)| format!("{}:{value}", setting.name())).collect();
        out.write_str(&pairs.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> WhatIf {
        WhatIf { scheduler: SchedulerConfig::default(), rate: 1.0, num_replicas: 1 }
    }

    #[test]
    fn a_link_restores_what_was_typed() {
        let text = "policy:sarathi,max_num_seqs:64,enable_prefix_caching:on,rate:1.5";
        assert_eq!(Changes::parse(text).to_string(), text);
        assert_eq!(Changes::parse("rate:2,warmth:7,,:,max_num_seqs:").to_string(), "rate:2");
        assert!(Changes::parse("").is_empty());
    }

    #[test]
    fn every_setting_is_written_as_it_is_read() {
        let other = WhatIf {
            scheduler: SchedulerConfig {
                policy: Policy::Sarathi,
                max_num_seqs: 3,
                max_num_batched_tokens: 5,
                long_prefill_token_threshold: 7,
                num_blocks: 11,
                enable_prefix_caching: true,
                ..SchedulerConfig::default()
            },
            rate: 0.25,
            num_replicas: 13,
        };
        let mut changes = Changes::default();
        for setting in Setting::ALL {
            changes.set(&run(), setting, &setting.value(&other));
        }
        let changes = Changes::parse(&changes.to_string());
        let applied = changes.applied(&run()).map(|applied| applied.map(|applied| applied.settings));
        assert_eq!(applied, Ok(Some(other)));
    }

    #[test]
    fn a_policy_puts_aside_what_only_another_has() {
        let mut run = run();
        run.scheduler = SchedulerConfig {
            async_scheduling: true,
            max_in_flight: 2,
            enable_prefix_caching: true,
            num_blocks: 100,
            ..run.scheduler
        };
        for policy in Policy::ALL {
            let mut changes = Changes::default();
            changes.set(&run, Setting::Policy, &policy_name(policy));
            let applied = changes.applied(&run).unwrap_or_default();
            let Some(Applied { settings, follows }) = applied else {
                assert_eq!(policy, run.scheduler.policy);
                continue;
            };
            assert_eq!(settings.scheduler.check(), Ok(()), "{policy:?}");
            assert_eq!(follows.len(), if policy == Policy::Lightllm { 3 } else { 2 });
            assert_eq!(settings.scheduler.num_blocks * settings.scheduler.block_size, 1600);
        }
    }

    #[test]
    fn what_the_run_has_is_no_change() {
        let mut changes = Changes::parse("rate:2");
        changes.set(&run(), Setting::Rate, "1.0");
        changes.set(&run(), Setting::MaxNumBatchedTokens, "2,048");
        assert_eq!((changes.is_empty(), changes.applied(&run())), (true, Ok(None)));
        assert_eq!(Changes::parse("max_num_seqs:256").applied(&run()), Ok(None));
    }

    #[test]
    fn nonsense_is_kept_and_said() {
        let mut changes = Changes::default();
        changes.set(&run(), Setting::NumBlocks, "many");
        assert_eq!(changes.to_string(), "num_blocks:many");
        let (setting, problem) = changes.applied(&run()).unwrap_err();
        assert_eq!((setting, problem.as_str()), (Setting::NumBlocks, "`num_blocks` is a whole number, not “many”"));
        assert!(Changes::parse("rate:inf").applied(&run()).is_err());
        changes.reset(Setting::NumBlocks);
        assert!(changes.is_empty());
    }
}
