//! `--device auto`: a short trial of the GPU and of the CPU, for it depends on the preset and its batch which is
//! faster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::trainer::{self, Run, StartedRun, StepProgress};
use super::{DeviceChoice, OpenDevice, Opened, catch_panic};
use crate::nn::model::GdConstants;
use crate::preset::Preset;
use crate::task::{Stream, StreamKey};

/// How long each device is tried.
const TRIAL: Duration = Duration::from_millis(120);
/// Sequences of the processor's trial at most. From here on the time of its step grows in proportion to the batch.
const TRIAL_BATCH: usize = 2048;

/// A run on the device that was chosen.
pub struct Started {
    pub run: Box<dyn Run>,
    /// "cpu", "cuda:0".
    pub device: String,
    /// The choice that names this device.
    pub choice: DeviceChoice,
    /// Whether it trains by the operations of dfdx although it has kernels of whole steps.
    pub is_fallback: bool,
    /// Why `auto` chose this device: "cpu: 18,000 steps/s, against 9,000 on cuda:0"; and what [`trainer::start`] says.
    pub note: Option<String>,
}

/// Starts a run at step 0 with the seed of its preset; of `auto`, on the faster device.
///
/// # Errors
/// The device failed. Where `auto` finds that the GPU fails, it takes the CPU.
pub fn start(
    choice: DeviceChoice,
    Opened { device, note }: Opened,
    preset: &Arc<Preset>,
    gd_constants: GdConstants,
) -> Result<Started> {
    // A step that solves takes many small passes, each of which a GPU would wait for.
    let solves = choice == DeviceChoice::Auto && !preset.train.optimiser.descends();
    let Opened { device, note } = if solves { DeviceChoice::Cpu.open(preset)? } else { Opened { device, note } };
    let name = device.name();
    let start = |device, preset: &Arc<Preset>| trainer::start(device, Arc::clone(preset), gd_constants);
    let started = |name: String, started: StartedRun, why: Option<String>| Started {
        run: started.run,
        choice: name.parse().unwrap_or(choice),
        device: name,
        is_fallback: started.note.is_some(),
        note: both(why, started.note),
    };
    if choice != DeviceChoice::Auto || name == "cpu" {
        return Ok(started(name, start(device, preset)?, note));
    }
    let cpu = DeviceChoice::Cpu.open(preset);
    let on_gpu = catch_panic(|| {
        let mut gpu = start(device, preset)?;
        let speed = if cpu.is_ok() { speed(&mut *gpu.run, preset)? } else { f64::INFINITY };
        Ok((gpu, speed))
    });
    let (gpu, gpu_speed) = match (on_gpu, cpu) {
        (Ok((gpu, gpu_speed)), Ok(_)) => (gpu, gpu_speed),
        // Too large for the processor's memory.
        (Ok((gpu, _)), Err(why)) => return Ok(started(name.clone(), gpu, Some(format!("{name}: {why:#}")))),
        (Err(why), Ok(_)) => {
            let why = format!("cpu, because {name} failed: {why:#}");
            return Ok(started("cpu".to_owned(), start(OpenDevice::Cpu, preset)?, Some(why)));
        }
        (Err(why), Err(_)) => return Err(why),
    };
    let trial = Arc::new(with_batch(preset, TRIAL_BATCH));
    let share = trial.train.batch as f64 / preset.train.batch as f64;
    let cpu_speed = share * speed(&mut *start(OpenDevice::Cpu, &trial)?.run, &trial)?;
    let note = comparison(&name, gpu_speed, cpu_speed);
    Ok(match gpu_speed >= cpu_speed {
        true => started(name, gpu, Some(note)),
        false => {
            let note = both(Some(note), gpu.note);
            drop(gpu.run);
            started("cpu".to_owned(), start(OpenDevice::Cpu, preset)?, note)
        }
    })
}

/// Starts a run that is measured and not trained.
///
/// # Errors
/// The device failed.
pub fn start_measuring(
    choice: DeviceChoice,
    Opened { device, note }: Opened,
    preset: &Arc<Preset>,
    gd_constants: GdConstants,
) -> Result<Started> {
    let name = device.name();
    let run = trainer::start_measuring(device, Arc::clone(preset), gd_constants)?;
    Ok(Started { run, choice: name.parse().unwrap_or(choice), device: name, is_fallback: false, note })
}

/// The preset with at most so many sequences in a batch.
fn with_batch(preset: &Preset, most: usize) -> Preset {
    let mut preset = preset.clone();
    preset.train.batch = preset.train.batch.min(most);
    preset
}

/// Why the faster device is chosen, in a line.
fn comparison(gpu: &str, gpu_speed: f64, cpu_speed: f64) -> String {
    let (gpu_text, cpu_text) = (grouped(gpu_speed), grouped(cpu_speed));
    match gpu_speed >= cpu_speed {
        true => format!("{gpu}: {gpu_text} steps/s, against {cpu_text} on cpu"),
        false => format!("cpu: {cpu_text} steps/s, against {gpu_text} on {gpu}"),
    }
}

fn both(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
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
    // The first steps load kernels and take memory.
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

/// 18,340.2 as "18,000" and 0.4321 as "0.43"; two digits are what a short trial is good for.
fn grouped(speed: f64) -> String {
    if speed < 10.0 {
        return format!("{speed:.*}", usize::from(speed < 9.95) + usize::from(speed < 0.995));
    }
    let unit = 10f64.powf(speed.log10().floor() - 1.0);
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
    use crate::preset;

    #[test]
    fn the_faster_device_is_named_first_with_both_speeds() {
        assert_eq!(comparison("cuda:0", 9_012.0, 18_340.0), "cpu: 18,000 steps/s, against 9,000 on cuda:0");
        assert_eq!(comparison("cuda:1", 99_801.0, 18_340.0), "cuda:1: 100,000 steps/s, against 18,000 on cpu");
        assert_eq!(comparison("cuda:0", 5.0, 5.0), "cuda:0: 5.0 steps/s, against 5.0 on cpu");
    }

    #[test]
    fn all_that_is_to_be_said_is_one_note() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(both(text("a"), text("b")), text("a; b"));
        assert_eq!(both(None, text("b")), text("b"));
        assert_eq!(both(text("a"), None), text("a"));
        assert_eq!(both(None, None), None);
    }

    #[test]
    fn a_trial_leaves_the_run_at_its_initial_weights() {
        let (_, mut preset) = preset::find("first-look").unwrap();
        preset.train.batch = 1;
        let gd_constants = GdConstants { step_size: 0.3, lambda: 0.1 };
        let mut run = trainer::start(OpenDevice::Cpu, Arc::new(preset.clone()), gd_constants).unwrap().run;
        let initial = run.parameters().unwrap();
        let found = speed(&mut *run, &preset).unwrap();
        assert!(found > 0.0);
        assert_eq!(run.parameters().unwrap(), initial);
    }

    #[test]
    fn explicit_choices_are_obeyed_and_nothing_is_said_of_them() {
        let (_, preset) = preset::find("first-look").unwrap();
        let preset = Arc::new(preset);
        let gd_constants = GdConstants { step_size: 0.3, lambda: 0.1 };
        let opened = DeviceChoice::Cpu.open(&preset).unwrap();
        let started = start(DeviceChoice::Cpu, opened, &preset, gd_constants).unwrap();
        assert_eq!((started.device.as_str(), started.choice, started.note), ("cpu", DeviceChoice::Cpu, None));
    }

    #[test]
    fn a_large_batch_is_tried_in_part() {
        let (_, mut preset) = preset::find("first-look").unwrap();
        preset.train.batch = 1 << 20;
        assert_eq!(with_batch(&preset, TRIAL_BATCH).train.batch, TRIAL_BATCH);
        preset.train.batch = 3;
        assert_eq!(with_batch(&preset, TRIAL_BATCH).train.batch, 3);
    }

    #[test]
    fn speeds_have_two_digits_and_commas() {
        let cases = [(0.0432, "0.04"), (0.4321, "0.43"), (7.24, "7.2"), (42.0, "42"), (1_184.0, "1,200")];
        for (speed, text) in cases {
            assert_eq!(grouped(speed), text);
        }
        assert_eq!(grouped(18_340.0), "18,000");
        assert_eq!(grouped(1_234_567.0), "1,200,000");
    }
}
