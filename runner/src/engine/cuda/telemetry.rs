//! The GPU asked through NVML, NVIDIA's management library: clocks, power, temperature, what throttles, who else is there.

use anyhow::Context as _;
use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUdevice_attribute_enum::{
    CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID,
};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::{Device, Nvml};
use serde_json::{Map, Value, json};

use crate::engine::telemetry::{DeviceSample, Sampler};

/// Reasons that hold clocks down; idleness is none.
const REASONS: [(ThrottleReasons, &str); 8] = [
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks_setting"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clock_setting"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake_slowdown"),
    (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal_slowdown"),
    (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal_slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync_boost"),
];

/// NVML, and the place of one GPU in it.
pub struct NvmlSampler {
    nvml: Nvml,
    pci_bus_id: String,
}

impl NvmlSampler {
    /// Finds the context's device in NVML, by its place on the bus: CUDA may number devices otherwise.
    ///
    /// # Errors
    /// When NVML is missing or does not know the device.
    pub fn open(context: &CudaContext) -> anyhow::Result<Self> {
        let attribute = |name| context.attribute(name).map_err(|error| anyhow::anyhow!("{:?}", error.0));
        let (domain, bus, device) = (
            attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)?,
            attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)?,
            attribute(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)?,
        );
        let nvml = Nvml::init().context("loading NVML")?;
        let pci_bus_id = format!("{domain:08x}:{bus:02x}:{device:02x}.0");
        nvml.device_by_pci_bus_id(&*pci_bus_id).with_context(|| format!("finding GPU {pci_bus_id} in NVML"))?;
        Ok(NvmlSampler { nvml, pci_bus_id })
    }

    fn device(&self) -> Option<Device<'_>> {
        self.nvml.device_by_pci_bus_id(&*self.pci_bus_id).ok()
    }
}

impl Sampler for NvmlSampler {
    fn facts(&self) -> Map<String, Value> {
        let device = self.device();
        let device = device.as_ref();
        let said = [
            ("driver_version", self.nvml.sys_driver_version().ok().map(Value::from)),
            ("device_name", device.and_then(|device| device.name().ok()).map(Value::from)),
            ("max_sm_clock_mhz", device.and_then(|device| device.max_clock_info(Clock::SM).ok()).map(Value::from)),
            (
                "max_memory_clock_mhz",
                device.and_then(|device| device.max_clock_info(Clock::Memory).ok()).map(Value::from),
            ),
            ("power_limit_mw", device.and_then(|device| device.enforced_power_limit().ok()).map(Value::from)),
            ("pci_bus_id", Some(json!(self.pci_bus_id))),
        ];
        said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    fn sample(&mut self) -> DeviceSample {
        let Some(device) = self.device() else { return DeviceSample::default() };
        let reasons = device.current_throttle_reasons().unwrap_or(ThrottleReasons::NONE);
        let reasons = REASONS.iter().filter(|(reason, _)| reasons.contains(*reason));
        // This process is always one of them. Its id cannot tell which: a container numbers processes otherwise.
        let processes = device.running_compute_processes().ok();
        DeviceSample {
            time_ms: 0,
            sm_clock_mhz: device.clock_info(Clock::SM).ok(),
            memory_clock_mhz: device.clock_info(Clock::Memory).ok(),
            power_mw: device.power_usage().ok(),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
            utilization_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
            throttle_reasons: reasons.map(|(_, name)| (*name).to_owned()).collect(),
            num_other_processes: processes.map(|list| (list.len() as u32).saturating_sub(1)),
        }
    }
}
