//! Where a run computes, chosen when it starts.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use dfdx::tensor::Cpu;

use super::trainer::{self, Trainer};
use super::{Checkpoint, Run};
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

/// Opens a run of a preset at step 0 on the device asked for.
pub fn open(preset: &Preset, device: DeviceChoice) -> Result<Box<dyn Run>> {
    open_shifted(preset, &preset.task, device)
}

/// The same for a preset whose task may be unlike that which its model was trained on: references keep what they chose
/// there.
pub fn open_shifted(preset: &Preset, trained_on: &Task, device: DeviceChoice) -> Result<Box<dyn Run>> {
    preset.check()?;
    match device {
        DeviceChoice::Cpu => on_cpu(preset, trained_on),
        DeviceChoice::Auto => match cuda::open(preset, trained_on, 0) {
            Ok(run) => Ok(run),
            Err(_) => on_cpu(preset, trained_on),
        },
        DeviceChoice::Cuda(card) => cuda::open(preset, trained_on, card),
    }
}

/// Refuses a checkpoint that is not of the preset's model: by names, shapes and lengths. Needs no device but the CPU.
pub fn fits(preset: &Preset, checkpoint: &Checkpoint) -> Result<()> {
    trainer::fits(&Cpu::default(), preset, checkpoint)
}

fn on_cpu(preset: &Preset, trained_on: &Task) -> Result<Box<dyn Run>> {
    Ok(Box::new(Trainer::new(Cpu::default(), "cpu".to_owned(), preset.clone(), trained_on)?))
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::panic;

    use anyhow::anyhow;
    use dfdx::tensor::Cuda;

    use super::{Preset, Result, Run, Task, Trainer};

    /// Opens a run on a card.
    pub fn open(preset: &Preset, trained_on: &Task, card: usize) -> Result<Box<dyn Run>> {
        // Where no driver is installed the binding panics instead of failing; nobody should see that.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let built = panic::catch_unwind(|| Cuda::try_build(card, 0));
        panic::set_hook(hook);
        let device = built
            .map_err(|_| anyhow!("no CUDA driver answers on this machine; use --device cpu"))?
            .map_err(|error| anyhow!("card {card} does not answer: {error:?}; use --device cpu"))?;
        Ok(Box::new(Trainer::new(device, format!("cuda:{card}"), preset.clone(), trained_on)?))
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
