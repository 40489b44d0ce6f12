//! Trains a preset and compares it with one step of gradient descent: `cargo run --example train`.

use innerloop::preset;
use innerloop::train::{DeviceChoice, Experiment};

fn main() -> anyhow::Result<()> {
    let (name, preset) = preset::find("gd-ssm")?;
    let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu)?;
    while !experiment.finished() {
        let progress = experiment.advance(u64::MAX)?;
        if let Some(measurement) = progress.measurement {
            println!(
                "step {:>5}  loss {:.4}  distance to GD-1 {:.3}",
                measurement.step, measurement.eval_loss, measurement.equivalence.prediction_difference_relative
            );
        }
    }
    Ok(())
}
