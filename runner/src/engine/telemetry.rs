//! What a device says of itself while it works: a sample a second, and the warnings that follow. Knows no device.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// A longer series is thinned before it is saved.
const MAX_SAVED: usize = 1_000;

/// From this utilisation on a clock is one under load.
const LOADED_PERCENT: u32 = 10;

/// A clock under load may move this much, as a fraction of its highest, without a word.
const STEADY: f64 = 0.05;

/// What a device said at one moment; what it does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DeviceSample {
    /// Since sampling began, ms.
    pub time_ms: u64,
    /// Clock of the multiprocessors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sm_clock_mhz: Option<u32>,
    /// Clock of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_clock_mhz: Option<u32>,
    /// Power drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_mw: Option<u32>,
    /// Temperature of the chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<u32>,
    /// Share of the last moment in which something computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization_percent: Option<u32>,
    /// What holds the clocks down, idleness excepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttle_reasons: Vec<String>,
    /// Processes that compute on it, this one excepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_other_processes: Option<u32>,
}

/// A device that can be asked. It is asked from a thread of its own.
pub trait Sampler: Send {
    /// What does not change: driver, limits.
    fn facts(&self) -> Map<String, Value>;

    /// What it says now.
    fn sample(&mut self) -> DeviceSample;
}

/// A thread that asks a device, until it is stopped.
pub struct Telemetry {
    stop: Sender<()>,
    thread: JoinHandle<Vec<DeviceSample>>,
}

impl Telemetry {
    /// Asks at once, then every second.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(sampler: Box<dyn Sampler>) -> std::io::Result<Self> {
        Telemetry::start_every(INTERVAL, sampler)
    }

    fn start_every(interval: Duration, mut sampler: Box<dyn Sampler>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let began = Instant::now();
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            let mut sample = || DeviceSample { time_ms: began.elapsed().as_millis() as u64, ..sampler.sample() };
            let mut samples = vec![sample()];
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                samples.push(sample());
            }
            samples.push(sample());
            samples
        })?;
        Ok(Telemetry { stop, thread })
    }

    /// Asks once more and gives all it heard; nothing when the thread failed.
    pub fn stop(self) -> Vec<DeviceSample> {
        // Fails only when the thread is gone already.
        let _ = self.stop.send(());
        self.thread.join().unwrap_or_default()
    }
}

/// The series as it is saved: every second, third, … sample of a long one, its last always.
pub fn saved(samples: &[DeviceSample]) -> Value {
    let stride = samples.len().div_ceil(MAX_SAVED).max(1);
    let last = samples.len().saturating_sub(1);
    let kept = samples.iter().enumerate().filter(|(index, _)| index % stride == 0 || *index == last);
    json!({ "num_samples": samples.len(), "samples": kept.map(|(_, sample)| sample).collect::<Vec<_>>() })
}

/// What a reader of the run must know, one line each.
pub fn warnings(samples: &[DeviceSample]) -> Vec<String> {
    let mut warnings = Vec::new();
    // A device that does not tell its utilisation is taken at its clock.
    let is_loaded = |sample: &&DeviceSample| sample.utilization_percent.is_none_or(|percent| percent >= LOADED_PERCENT);
    let clocks = || samples.iter().filter(is_loaded).filter_map(|sample| sample.sm_clock_mhz);
    if let (Some(lowest), Some(highest)) = (clocks().min(), clocks().max())
        && f64::from(highest - lowest) > STEADY * f64::from(highest)
    {
        warnings.push(format!("the GPU's clock moved between {lowest} and {highest} MHz under load"));
    }
    let reasons: BTreeSet<&str> =
        samples.iter().flat_map(|sample| &sample.throttle_reasons).map(String::as_str).collect();
    if !reasons.is_empty() {
        let reasons: Vec<&str> = reasons.into_iter().collect();
        warnings.push(format!("the GPU's clocks were held down: {}", reasons.join(", ")));
    }
    let others = samples.iter().filter_map(|sample| sample.num_other_processes).max().unwrap_or(0);
    if others > 0 {
        let processes = if others == 1 { "another process".to_owned() } else { format!("{others} other processes") };
        warnings.push(format!("{processes} computed on the GPU"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sm_clock_mhz: u32, utilization_percent: u32) -> DeviceSample {
        DeviceSample {
            sm_clock_mhz: Some(sm_clock_mhz),
            utilization_percent: Some(utilization_percent),
            num_other_processes: Some(0),
            ..DeviceSample::default()
        }
    }

    #[test]
    fn a_steady_device_says_nothing_and_its_idle_clock_is_no_matter() {
        assert_eq!(warnings(&[]), Vec::<String>::new());
        let steady = [sample(345, 0), sample(1_980, 90), sample(1_890, 40), sample(345, 9)];
        assert_eq!(warnings(&steady), Vec::<String>::new(), "1,890 of 1,980 MHz is within 5 %");
    }

    #[test]
    fn a_clock_that_moved_a_throttle_and_a_neighbour_are_one_line_each() {
        let held = |reasons: &[&str]| DeviceSample {
            throttle_reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            ..sample(1_880, 90)
        };
        let neighbour = DeviceSample { num_other_processes: Some(1), ..sample(1_980, 90) };
        let samples = [held(&["sw_power_cap"]), neighbour, held(&["hw_slowdown", "sw_power_cap"])];
        let expected = [
            "the GPU's clock moved between 1880 and 1980 MHz under load",
            "the GPU's clocks were held down: hw_slowdown, sw_power_cap",
            "another process computed on the GPU",
        ];
        assert_eq!(warnings(&samples), expected);
        let unsaid = [1_000, 1_980].map(|clock| DeviceSample { utilization_percent: None, ..sample(clock, 0) });
        assert_eq!(warnings(&unsaid).len(), 1, "without utilisation every clock counts");
    }

    #[test]
    fn a_long_series_is_thinned_and_keeps_its_ends() {
        let series =
            |count: u64| (0..count).map(|time_ms| DeviceSample { time_ms, ..sample(1, 1) }).collect::<Vec<_>>();
        let times = |count: u64| -> Vec<u64> {
            let saved = saved(&series(count));
            assert_eq!(saved["num_samples"], count);
            let samples = saved["samples"].as_array().expect("samples").clone();
            samples.iter().map(|sample| sample["time_ms"].as_u64().expect("a time")).collect()
        };
        assert_eq!(times(1_000), (0..1_000).collect::<Vec<_>>());
        let thinned = times(86_400);
        assert!(thinned.len() <= MAX_SAVED + 1, "{}", thinned.len());
        assert_eq!((thinned[0], thinned[1], thinned.last()), (0, 87, Some(&86_399)));
    }

    struct Counter(u32);

    impl Sampler for Counter {
        fn facts(&self) -> Map<String, Value> {
            Map::new()
        }

        fn sample(&mut self) -> DeviceSample {
            self.0 += 1;
            sample(self.0, 50)
        }
    }

    #[test]
    fn a_device_is_asked_at_the_start_in_between_and_at_the_end() {
        let short = Telemetry::start_every(Duration::from_secs(60), Box::new(Counter(0))).expect("a thread");
        let clocks: Vec<_> = short.stop().iter().map(|sample| sample.sm_clock_mhz).collect();
        assert_eq!(clocks, [Some(1), Some(2)], "a run shorter than a second has both its ends");
        let long = Telemetry::start_every(Duration::from_millis(2), Box::new(Counter(0))).expect("a thread");
        std::thread::sleep(Duration::from_millis(100));
        let samples = long.stop();
        assert!(samples.len() > 3 && samples.windows(2).all(|pair| pair[0].time_ms <= pair[1].time_ms), "{samples:?}");
    }
}
