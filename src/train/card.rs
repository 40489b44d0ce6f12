//! What a graphics card says of itself, through NVIDIA's management library.
//!
//! The library is looked for while the program runs; where it is not there, nothing is said.

/// A card at work.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuStatus {
    /// "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Bytes in use, by this run and by others.
    pub used: u64,
    /// Bytes that there are.
    pub total: u64,
    /// The share of the last moments in which the card computed, in percent.
    pub busy: u32,
}

#[cfg(feature = "cuda")]
pub use answering::{Gpu, name};
#[cfg(not(feature = "cuda"))]
pub use silent::{Gpu, name};

#[cfg(feature = "cuda")]
mod answering {
    use std::env;

    use nvml_wrapper::{Device, Nvml};

    use super::super::nvidia;
    use super::GpuStatus;

    /// A card that a run is open on.
    pub struct Gpu {
        library: Nvml,
        /// The number that CUDA gives it.
        number: usize,
        /// Where it is plugged in, if CUDA tells.
        bus: Option<String>,
    }

    impl Gpu {
        /// The card that a device's name tells: "cuda:1". None where it is no card or does not answer.
        pub fn of(device: &str) -> Option<Self> {
            let number = device.strip_prefix("cuda:")?.split(',').next()?.parse().ok()?;
            let card = Self { library: Nvml::init().ok()?, number, bus: nvidia::bus(number) };
            card.status()?;
            Some(card)
        }

        /// Takes the library some milliseconds.
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

    /// A card, without asking CUDA, which takes long to start: CUDA counts only the cards that CUDA_VISIBLE_DEVICES lists, by
    /// number or by UUID; the library counts all.
    fn device(library: &Nvml, number: usize) -> Option<Device<'_>> {
        let listed = env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let by_number = |number: usize| library.device_by_index(number.try_into().ok()?).ok();
        match listed.split(',').map(str::trim).nth(number).filter(|_| !listed.trim().is_empty()) {
            None if listed.trim().is_empty() => by_number(number),
            None => None,
            Some(place) => place.parse().map_or_else(|_| library.device_by_uuid(place).ok(), by_number),
        }
    }

    /// The name of a card, or why there is none.
    pub fn name(number: usize) -> Result<String, &'static str> {
        let library = Nvml::init().map_err(|_| "no NVIDIA driver answers")?;
        device(&library, number).and_then(|device| device.name().ok()).ok_or("no such card answers")
    }
}

#[cfg(not(feature = "cuda"))]
mod silent {
    use super::GpuStatus;

    /// This program knows no cards.
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
