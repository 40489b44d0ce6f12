//! Which device a run computes on, chosen when it starts.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;

use super::gpu_status;
use crate::preset::Preset;
use crate::system::memory;

/// What is said where a GPU was asked for and does not answer.
const HINT: &str = "; --device cpu needs no GPU";

/// The value of `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The GPU with the most free memory or the CPU, whichever trains the preset faster.
    #[default]
    Auto,
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cuda = |n: &str| n.parse().map(Self::Cuda).ok();
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(cuda).ok_or_else(|| "give auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl DeviceChoice {
    /// Every choice that this machine offers; a GPU that does not answer is not among them.
    pub fn all() -> Vec<Self> {
        let gpus = (0..).take_while(|number| gpu_status::name(*number).is_ok()).map(Self::Cuda);
        [Self::Auto, Self::Cpu].into_iter().chain(gpus).collect()
    }

    /// Opens the chosen device.
    ///
    /// # Errors
    /// The GPU does not answer or does not compute, or the preset needs more memory than the CPU may use.
    pub fn open(self, preset: &Preset) -> Result<Opened> {
        let without_note = |device| Opened { device, note: None };
        match self {
            Self::Cpu => OpenDevice::cpu(preset).map(without_note),
            Self::Auto if !cfg!(feature = "cuda") => OpenDevice::cpu(preset).map(without_note),
            Self::Auto => match cuda::open(cuda::most_free()) {
                Ok(device) => Ok(without_note(device)),
                Err(why) => {
                    let why = format!("{why:#}");
                    let note = Some(format!("cpu, because {}", why.trim_end_matches(HINT)));
                    Ok(Opened { device: OpenDevice::cpu(preset)?, note })
                }
            },
            Self::Cuda(number) => cuda::open(number).map(without_note),
        }
    }

    /// The same for a run that is measured and not trained; of `auto` the CPU.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_to_measure(self, preset: &Preset) -> Result<Opened> {
        match self {
            Self::Auto | Self::Cpu => {
                let limit = memory::for_a_run();
                preset.measuring_fits_into(limit.bytes, limit.by)?;
                Ok(Opened { device: OpenDevice::Cpu, note: None })
            }
            Self::Cuda(_) => self.open(preset),
        }
    }

    /// The choice and the device that it selects on this machine: "auto: cuda:0, NVIDIA H100".
    pub fn describe(self) -> String {
        let gpu = |number| gpu_status::name(number).map(|name| format!("cuda:{number}, {name}"));
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Auto => match gpu(gpu_status::most_free_listed()) {
                Ok(gpu) => format!("auto: the faster of cpu and {gpu}"),
                Err(why) => format!("auto: cpu, because {why}"),
            },
            Self::Cuda(number) => gpu(number).unwrap_or_else(|why| format!("{self}, but {why}")),
        }
    }
}

/// A device that answers, and why `auto` has not chosen a GPU.
pub struct Opened {
    pub device: OpenDevice,
    pub note: Option<String>,
}

/// A device that answers.
pub enum OpenDevice {
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda {
        device: dfdx::tensor::Cuda,
        number: usize,
    },
}

impl OpenDevice {
    /// "cpu", "cuda:0".
    pub fn name(&self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            #[cfg(feature = "cuda")]
            Self::Cuda { number, .. } => format!("cuda:{number}"),
        }
    }

    /// # Errors
    /// The preset needs more memory than a run on the CPU of this machine may use.
    fn cpu(preset: &Preset) -> Result<Self> {
        let limit = memory::for_a_run();
        preset.fits_into(limit.bytes, limit.by)?;
        Ok(Self::Cpu)
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use anyhow::{Context, anyhow, ensure};
    use dfdx::prelude::{Axes2, Cache, PermuteTo, ReshapeTo, TensorFromVec, TryMatMul, TryStack};
    use dfdx::tensor::{Cuda, Tensor};

    use super::super::failure::catch_panic;
    pub use super::super::gpu_status::most_free;
    use super::super::nvidia;
    use super::{HINT, OpenDevice, Result};

    /// Opens a GPU.
    pub fn open(number: usize) -> Result<OpenDevice> {
        Ok(OpenDevice::Cuda { device: device(number)?, number })
    }

    /// A GPU that answers and computes.
    fn device(number: usize) -> Result<Cuda> {
        let silent = |why: &str| anyhow!("cuda:{number} does not answer: {why}{HINT}");
        if let Some(missing) = nvidia::missing() {
            return Err(silent(&missing));
        }
        // If there is no such GPU, the binding panics instead of returning an error.
        let device = catch_panic(|| Cuda::try_build(number, 0).map_err(|error| anyhow!("{error:?}")))
            .map_err(|error| silent(&driver_error(&error)))?;
        catch_panic(|| try_out(&device)).with_context(|| format!("cuda:{number} answers, but it does not compute"))?;
        // Every step allocates the same sizes: memory that a step frees is kept for the next.
        device.try_enable_cache().map_err(|error| anyhow!("{error:?}"))?;
        Ok(device)
    }

    /// The driver's name of an error, such as CUDA_ERROR_NO_DEVICE, from the text around it.
    fn driver_error(error: &anyhow::Error) -> String {
        let text = format!("{error:#}");
        let mut words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        words.find(|word| word.starts_with("CUDA_ERROR_")).unwrap_or(&text).to_owned()
    }

    /// Computes what needs more than the driver: a matrix product, and a kernel that is compiled at run time.
    fn try_out(device: &Cuda) -> Result<()> {
        let device_error = |error| anyhow!("{error:?}");
        let row: Tensor<(usize, usize), f32, Cuda> =
            device.try_tensor_from_vec(vec![1.0, 2.0], (1, 2)).map_err(device_error)?;
        let column = row.clone().try_permute::<_, Axes2<1, 0>>().map_err(device_error)?;
        let outer = column.try_matmul(row.clone()).map_err(device_error)?; // [1 2; 2 4]
        let flat = outer
            .try_permute::<_, Axes2<1, 0>>()
            .and_then(|outer| outer.try_reshape_like(&(4,)))
            .map_err(device_error)?;
        let twice = vec![flat.clone(), flat].try_stack().map_err(device_error)?;
        let found = twice.as_vec();
        ensure!(found == [1.0, 2.0, 2.0, 4.0, 1.0, 2.0, 2.0, 4.0], "it finds {found:?} for [1 2; 2 4], twice");
        Ok(())
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    use anyhow::bail;

    use super::{OpenDevice, Result};

    pub fn most_free() -> usize {
        0
    }

    pub fn open(_number: usize) -> Result<OpenDevice> {
        bail!("this innerloop was built without CUDA: build it with `cargo build --release --features cuda`")
    }
}
