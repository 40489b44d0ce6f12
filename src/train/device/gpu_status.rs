//! Name, memory and load of a GPU, from NVIDIA's management library (NVML).
//!
//! The library is opened at run time; without it there is no status.

/// The status of a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuStatus {
    /// "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Bytes in use, by this run and by others.
    pub used: u64,
    /// Bytes of memory.
    pub total: u64,
    /// The share of the last second or less in which the GPU computed, in percent.
    pub busy: u32,
}

#[cfg(not(feature = "cuda"))]
pub use absent::{Gpu, name};
#[cfg(feature = "cuda")]
pub use nvml::{Gpu, name};

#[cfg(feature = "cuda")]
mod nvml {
    use std::env;

    use nvml_wrapper::{Device, Nvml};

    use super::super::cuda_loader;
    use super::GpuStatus;

    /// The GPU of a run.
    pub struct Gpu {
        library: Nvml,
        /// Its number in CUDA.
        number: usize,
        /// Its PCI bus identifier, if CUDA gives it.
        bus: Option<String>,
    }

    impl Gpu {
        /// The GPU of a device's name, "cuda:1". `None` for "cpu", or if the library does not answer.
        pub fn of(device: &str) -> Option<Self> {
            let number = device.strip_prefix("cuda:")?.parse().ok()?;
            let gpu = Self { library: Nvml::init().ok()?, number, bus: cuda_loader::bus(number) };
            gpu.status()?;
            Some(gpu)
        }

        /// Takes some milliseconds. `None` if the library does not answer.
        pub fn status(&self) -> Option<GpuStatus> {
            let device = match &self.bus {
                Some(bus) => self.library.device_by_pci_bus_id(bus.as_str()).ok()?,
                None => device(&self.library, self.number)?,
            };
            let memory = device.memory_info().ok()?;
            Some(GpuStatus {
                name: device.name().ok()?,
                used: memory.used,
                total: memory.total,
                busy: device.utilization_rates().ok()?.gpu,
            })
        }
    }

    /// The GPU of a number, without starting CUDA, which takes long. CUDA counts only the GPUs that
    /// CUDA_VISIBLE_DEVICES lists, by number or by UUID; the library counts all.
    fn device(library: &Nvml, number: usize) -> Option<Device<'_>> {
        let listed = env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let by_number = |number: usize| library.device_by_index(number.try_into().ok()?).ok();
        match listed.split(',').map(str::trim).nth(number).filter(|_| !listed.trim().is_empty()) {
            None if listed.trim().is_empty() => by_number(number),
            None => None,
            Some(place) => place.parse().map_or_else(|_| library.device_by_uuid(place).ok(), by_number),
        }
    }

    /// The name of a GPU, or why there is none.
    pub fn name(number: usize) -> Result<String, &'static str> {
        let library = Nvml::init().map_err(|_| "no NVIDIA driver answers")?;
        device(&library, number).and_then(|device| device.name().ok()).ok_or("there is no GPU of this number")
    }
}

#[cfg(not(feature = "cuda"))]
mod absent {
    use super::GpuStatus;

    /// A program without CUDA support has no GPU.
    pub struct Gpu {}

    impl Gpu {
        pub fn of(_device: &str) -> Option<Self> {
            None
        }

        pub fn status(&self) -> Option<GpuStatus> {
            None
        }
    }

    pub fn name(_number: usize) -> Result<String, &'static str> {
        Err("this innerloop was built without CUDA")
    }
}
