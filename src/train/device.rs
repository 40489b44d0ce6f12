//! Where a run computes, chosen when it starts.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use dfdx::tensor::Cpu;

use super::guard::Guarded;
use super::trainer::{self, Trainer};
use super::{Checkpoint, Run, card, memory};
use crate::preset::Preset;
use crate::task::Task;

/// What a person asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A card where one answers, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The card with this number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let card = |n: &str| n.parse().map(Self::Cuda).ok();
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(card).ok_or_else(|| "give auto, cpu, cuda or cuda:N".to_owned()),
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
    /// What the choice comes to on this machine, in a few words: "auto: cuda:0, NVIDIA H100".
    pub fn describe(self) -> String {
        let card = |number| card::name(number).map(|name| format!("cuda:{number}, {name}"));
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Auto => format!("auto: {}", card(0).unwrap_or_else(|why| format!("cpu, for {why}"))),
            Self::Cuda(number) => card(number).unwrap_or_else(|why| format!("{self}, but {why}")),
        }
    }
}

/// Opens a run of a preset at step 0 on the device asked for.
pub fn open(preset: &Preset, device: DeviceChoice) -> Result<Box<dyn Run>> {
    open_shifted(preset, &preset.task, device)
}

/// The same for a preset whose task may be unlike that which its model was trained on: references keep what they chose
/// there.
pub fn open_shifted(preset: &Preset, trained_on: &Task, device: DeviceChoice) -> Result<Box<dyn Run>> {
    preset.check()?;
    let run = match device {
        DeviceChoice::Cpu => on_cpu(preset, trained_on)?,
        DeviceChoice::Auto => match cuda::open(preset, trained_on, 0) {
            Ok(run) => run,
            Err(_) => on_cpu(preset, trained_on)?,
        },
        DeviceChoice::Cuda(card) => cuda::open(preset, trained_on, card)?,
    };
    Ok(Box::new(Guarded::new(run, preset.train.batch)))
}

/// Refuses a checkpoint that is not of the preset's model: by names, shapes and lengths. Needs no device but the CPU.
pub fn fits(preset: &Preset, checkpoint: &Checkpoint) -> Result<()> {
    trainer::fits(&Cpu::default(), preset, checkpoint)
}

fn on_cpu(preset: &Preset, trained_on: &Task) -> Result<Box<dyn Run>> {
    preset.fits_into(memory::for_a_run())?;
    Ok(Box::new(Trainer::new(Cpu::default(), "cpu".to_owned(), preset.clone(), trained_on)?))
}

#[cfg(feature = "cuda")]
mod cuda {
    use anyhow::{Context, anyhow, ensure};
    use dfdx::prelude::{Axes2, Cache, PermuteTo, ReshapeTo, TensorFromVec, TryMatMul, TryStack};
    use dfdx::tensor::{Cuda, Tensor};

    use super::super::guard::caught;
    use super::super::gpu::cuda::Engine;
    use super::super::nvidia;
    use super::{Preset, Result, Run, Task, Trainer};

    /// Opens a run on a card.
    pub fn open(preset: &Preset, trained_on: &Task, card: usize) -> Result<Box<dyn Run>> {
        let device = device(card)?;
        // The fallback is slower, and says why it is used.
        let (engine, name) = match Engine::new(preset, card) {
            Ok(engine) => (Some(engine), format!("cuda:{card}")),
            Err(why) => (None, format!("cuda:{card}, portable: {why:#}")),
        };
        let run = Trainer::new(device, name, preset.clone(), trained_on)?;
        Ok(match engine {
            Some(engine) => Box::new(run.with_engine(Box::new(engine))),
            None => Box::new(run),
        })
    }

    /// A card that answers and computes.
    fn device(card: usize) -> Result<Cuda> {
        let silent = |why: &str| anyhow!("cuda:{card} does not answer: {why}; --device cpu needs no card");
        if let Some(missing) = nvidia::missing() {
            return Err(silent(&missing));
        }
        // Where no such card is, the binding panics instead of failing.
        let device = caught(|| Cuda::try_build(card, 0).map_err(|error| anyhow!("{error:?}")))
            .map_err(|error| silent(&sign(&error)))?;
        caught(|| try_out(&device)).with_context(|| format!("cuda:{card} answers, but it does not compute"))?;
        // Steps want the same sizes again and again: what a step gives back is kept for the next.
        device.try_enable_cache().map_err(|error| anyhow!("{error:?}"))?;
        Ok(device)
    }

    /// The driver's own name for what is wrong, such as CUDA_ERROR_NO_DEVICE, out of all that is said around it.
    fn sign(error: &anyhow::Error) -> String {
        let text = format!("{error:#}");
        let mut words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        words.find(|word| word.starts_with("CUDA_ERROR_")).unwrap_or(&text).to_owned()
    }

    /// The kinds of work that need more than the driver: matrix products, and kernels compiled while the program runs.
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

    use super::{Preset, Result, Run, Task};

    /// This program knows no cards.
    pub fn open(_preset: &Preset, _trained_on: &Task, _card: usize) -> Result<Box<dyn Run>> {
        bail!("this innerloop was built without CUDA: build it with `cargo build --release --features cuda`")
    }
}
