//! `--device auto`: a short trial of the GPU and of the CPU, for it depends on the preset and its batch which is faster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::trainer::{self, Run, StartedRun, StepProgress};
use super::{DeviceChoice, OpenDevice};
use crate::nn::model::GdConstants;
use crate::preset::Preset;
use crate::task::{Stream, StreamKey};

/// How long each device is tried.
const TRIAL: Duration = Duration::from_millis(120);

/// A run on the device that was chosen.
pub struct Started {
    pub run: Box<dyn Run>,
    /// "cpu", "cuda:0".
    pub device: String,
    /// The choice that names this device.
    pub choice: DeviceChoice,
    /// The speeds that decided: "cpu: 18,000 steps/s, against 9,000 on cuda:0"; or what [`trainer::start`] says.
    pub note: Option<String>,
}

/// Starts a run at step 0 with the seed of its preset; of `auto`, on the faster device.
///
/// # Errors
/// The device failed.
pub fn start(
    choice: DeviceChoice,
    device: OpenDevice,
    preset: &Arc<Preset>,
    gd_constants: GdConstants,
) -> Result<Started> {
    // A step that solves takes many small passes, each of which a GPU would wait for.
    let solves = choice == DeviceChoice::Auto && !preset.train.optimiser.descends();
    let device = if solves { DeviceChoice::Cpu.open(preset)? } else { device };
    let name = device.name();
    let StartedRun { run, note } = trainer::start(device, Arc::clone(preset), gd_constants)?;
    let named = Candidate { choice: name.parse().unwrap_or(choice), device: name, run };
    if choice != DeviceChoice::Auto || named.choice == DeviceChoice::Cpu {
        return Ok(named.started(note));
    }
    match DeviceChoice::Cpu.open(preset) {
        Ok(cpu) => {
            let on_cpu = trainer::start(cpu, Arc::clone(preset), gd_constants)?.run;
            let on_cpu = Candidate { choice: DeviceChoice::Cpu, device: "cpu".to_owned(), run: on_cpu };
            faster([named, on_cpu], preset)
        }
        // Too large for the processor's memory.
        Err(_) => Ok(named.started(note)),
    }
}

/// A device that may be chosen, with its run.
struct Candidate {
    choice: DeviceChoice,
    device: String,
    run: Box<dyn Run>,
}

impl Candidate {
    fn started(self, note: Option<String>) -> Started {
        Started { run: self.run, device: self.device, choice: self.choice, note }
    }
}

/// The faster of two runs, at its initial weights again.
fn faster([mut a, mut b]: [Candidate; 2], preset: &Preset) -> Result<Started> {
    let (a_speed, b_speed) = (speed(&mut *a.run, preset)?, speed(&mut *b.run, preset)?);
    let (best, best_speed, other, other_speed) =
        if a_speed >= b_speed { (a, a_speed, b, b_speed) } else { (b, b_speed, a, a_speed) };
    let (best_speed, other_speed) = (grouped(best_speed), grouped(other_speed));
    let note = format!("{}: {best_speed} steps/s, against {other_speed} on {}", best.device, other.device);
    Ok(best.started(Some(note)))
}

/// Steps per second of a run, which is at its initial weights again afterwards.
fn speed(run: &mut dyn Run, preset: &Preset) -> Result<f64> {
    let mut next = 0;
    let mut train = |run: &mut dyn Run, steps: u64| {
        for step in next..next + steps {
            let key = StreamKey { seed: preset.train.seed, stream: Stream::Train, step };
            while run.step(key, preset.train.lr_at(step))? == StepProgress::Partial {}
        }
        next += steps;
        run.reports().map(|_| ())
    };
    // The first steps compile kernels and take memory.
    train(run, 2)?;
    let (began, mut steps, mut done) = (Instant::now(), 1, 0);
    while began.elapsed() < TRIAL {
        train(run, steps)?;
        done += steps;
        steps = (2 * steps).min(run.queue_limit().max(1));
    }
    let speed = done as f64 / began.elapsed().as_secs_f64();
    run.initialise(preset.train.seed)?;
    Ok(speed)
}

/// 18,340.2 as "18,000"; two digits are what a short trial is good for.
fn grouped(speed: f64) -> String {
    let unit = 10f64.powf((speed.max(1.0).log10().floor() - 1.0).max(0.0));
    let digits = format!("{:.0}", (speed / unit).round() * unit);
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::LayerStates;
    use crate::preset;
    use crate::task::Batch;
    use crate::train::{Checkpoint, SavedParameter, StepReport};

    /// A run that waits before each step.
    struct Slow(Box<dyn Run>);

    impl Run for Slow {
        fn step(&mut self, key: StreamKey, lr: f64) -> Result<StepProgress> {
            std::thread::sleep(TRIAL / 4);
            self.0.step(key, lr)
        }
        fn operations(&self, step: u64) -> f64 {
            self.0.operations(step)
        }
        fn reports(&mut self) -> Result<Vec<StepReport>> {
            self.0.reports()
        }
        fn queue_limit(&self) -> u64 {
            self.0.queue_limit()
        }
        fn batch_loss(&self, key: StreamKey) -> Result<f32> {
            self.0.batch_loss(key)
        }
        fn predict(&self, tasks: &Batch) -> Result<Vec<f32>> {
            self.0.predict(tasks)
        }
        fn query_gradient(&self, tasks: &Batch, output_weights: Vec<f32>) -> Result<Vec<f32>> {
            self.0.query_gradient(tasks, output_weights)
        }
        fn states(&self, tasks: &Batch) -> Result<Vec<LayerStates>> {
            self.0.states(tasks)
        }
        fn parameter_difference(&self) -> Option<f64> {
            self.0.parameter_difference()
        }
        fn parameters(&self) -> Result<Vec<SavedParameter>> {
            self.0.parameters()
        }
        fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
            self.0.restore(checkpoint)
        }
        fn initialise(&mut self, seed: u64) -> Result<()> {
            self.0.initialise(seed)
        }
        fn release(&mut self) {
            self.0.release();
        }
    }

    #[test]
    fn the_faster_run_is_taken_at_its_initial_weights_and_the_reason_is_said() {
        let (_, mut preset) = preset::find("first-look").unwrap();
        preset.train.batch = 1;
        let preset = Arc::new(preset);
        let gd_constants = GdConstants { step_size: 0.3, lambda: 0.1 };
        let fast = || trainer::start(OpenDevice::Cpu, Arc::clone(&preset), gd_constants).unwrap().run;
        let initial = fast().parameters().unwrap();
        let candidate = |device: &str, run| Candidate { choice: DeviceChoice::Cpu, device: device.to_owned(), run };
        for slow_first in [true, false] {
            let slow = candidate("slow", Box::new(Slow(fast())));
            let fast = candidate("fast", fast());
            let started = faster(if slow_first { [slow, fast] } else { [fast, slow] }, &preset).unwrap();
            assert_eq!(started.device, "fast");
            assert_eq!(started.run.parameters().unwrap(), initial);
            let note = started.note.unwrap();
            assert!(note.starts_with("fast: ") && note.ends_with(" on slow"), "{note}");
        }
    }

    #[test]
    fn speeds_have_two_digits_and_commas() {
        let cases = [(0.4, "0"), (7.2, "7"), (42.0, "42"), (1_184.0, "1,200"), (18_340.0, "18,000")];
        for (speed, text) in cases {
            assert_eq!(grouped(speed), text);
        }
        assert_eq!(grouped(1_234_567.0), "1,200,000");
    }
}
