//! A run whose device fails.

use anyhow::{Result, bail};

use super::{Experiment, GuardedRun};
use crate::nn::{AttentionForm, Canonical, Latent, LayerStates};
use crate::preset::{self, Preset};
use crate::task::{Batch, StreamKey};
use crate::train::trainer::{Run, StepProgress, StepReport};
use crate::train::{Checkpoint, DeviceChoice, SavedParameter};

/// How the device fails at step 150, once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Error,
    Panic,
    /// It does not answer any more.
    ForGood,
}

struct Failing {
    run: Box<dyn Run>,
    failure: Option<Failure>,
    gone: bool,
}

const MEMORY: &str = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";

impl Failing {
    /// The run, unless the device fails before the step after this number of steps.
    fn before(&mut self, steps_done: u64) -> Result<&mut dyn Run> {
        match self.failure {
            Some(Failure::ForGood) if steps_done >= 150 => self.gone = true,
            Some(Failure::Error) if steps_done == 150 => {
                self.failure = None;
                bail!(MEMORY)
            }
            Some(Failure::Panic) if steps_done == 150 => {
                self.failure = None;
                panic!("called `Result::unwrap()` on an `Err` value: {MEMORY}")
            }
            Some(_) | None => {}
        }
        self.run_mut()
    }

    fn run(&self) -> Result<&dyn Run> {
        if self.gone { bail!("gone") } else { Ok(&*self.run) }
    }

    fn run_mut(&mut self) -> Result<&mut dyn Run> {
        if self.gone { bail!("gone") } else { Ok(&mut *self.run) }
    }
}

impl Run for Failing {
    fn step(&mut self, key: StreamKey, lr: f64) -> Result<StepProgress> {
        self.before(key.step)?.step(key, lr)
    }

    fn operations(&self, step: u64) -> f64 {
        self.run.operations(step)
    }

    fn reports(&mut self) -> Result<Vec<StepReport>> {
        self.run_mut()?.reports()
    }

    fn queue_limit(&self) -> u64 {
        self.run.queue_limit()
    }

    fn batch_loss(&self, key: StreamKey) -> Result<f32> {
        self.run()?.batch_loss(key)
    }

    fn predict(&self, tasks: &Batch) -> Result<Vec<f32>> {
        self.run()?.predict(tasks)
    }

    fn query_gradient(&self, tasks: &Batch, output_weights: Vec<f32>) -> Result<Vec<f32>> {
        self.run()?.query_gradient(tasks, output_weights)
    }

    fn states(&self, tasks: &Batch) -> Result<Vec<LayerStates>> {
        self.run()?.states(tasks)
    }

    fn latents(&self, tasks: &Batch) -> Result<Vec<Latent>> {
        self.run.latents(tasks)
    }

    fn attention_form(&self, tasks: &Batch) -> Result<Option<AttentionForm>> {
        self.run.attention_form(tasks)
    }

    fn canonical(&self) -> Vec<Canonical> {
        self.run.canonical()
    }

    fn parameters(&self) -> Result<Vec<SavedParameter>> {
        self.run()?.parameters()
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.run_mut()?.restore(checkpoint)
    }

    fn initialise(&mut self, seed: u64) -> Result<()> {
        self.run_mut()?.initialise(seed)
    }

    fn release(&mut self) {
        self.run.release();
    }
}

fn preset() -> Preset {
    let (_, mut preset) = preset::find("first-look").unwrap();
    preset.train.batch = 24;
    preset
}

fn experiment(failure: Option<Failure>) -> Experiment {
    let mut experiment = Experiment::start("first-look", preset(), DeviceChoice::Cpu).unwrap();
    let GuardedRun { run, batch, .. } = experiment.run;
    let run = Box::new(Failing { run, failure, gone: false });
    experiment.run = GuardedRun { run, device: "cuda:0".to_owned(), batch };
    experiment
}

/// Trains to a step, or to the first error.
fn train(experiment: &mut Experiment, to: u64) -> Result<()> {
    while experiment.step() < to {
        experiment.advance(to - experiment.step())?;
    }
    Ok(())
}

/// All that would be saved, as text, in which NaN equals NaN.
fn state(experiment: &Experiment) -> String {
    format!("{:?} {:?}", experiment.checkpoint().unwrap(), experiment.history)
}

#[test]
fn a_run_whose_device_runs_out_of_memory_says_so_and_goes_on_from_its_last_good_state() {
    let mut whole = experiment(None);
    train(&mut whole, 100).unwrap();
    let kept = state(&whole);
    train(&mut whole, 170).unwrap();
    for failure in [Failure::Error, Failure::Panic] {
        let mut failing = experiment(Some(failure));
        let error = format!("{:#}", train(&mut failing, 170).unwrap_err());
        assert_eq!(error, "cuda:0 has no memory left for a batch of 24: make train.batch smaller");
        assert!(state(&failing) == kept, "{failure:?}");
        train(&mut failing, 170).unwrap();
        assert!(state(&failing) == state(&whole), "{failure:?}");
    }
}

#[test]
fn a_run_whose_device_is_gone_can_still_be_saved() {
    let mut whole = experiment(None);
    train(&mut whole, 100).unwrap();
    let mut failing = experiment(Some(Failure::ForGood));
    assert_eq!(train(&mut failing, 170).unwrap_err().to_string(), "gone");
    assert_eq!((failing.step(), failing.seed()), (100, whole.seed()));
    assert!(state(&failing) == state(&whole));
    assert!(failing.advance(1).is_err(), "it fails again");
}
