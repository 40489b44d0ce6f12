//! A run whose device fails now and then, and what becomes of it.
#![cfg(test)]

use anyhow::{Result, bail};

use super::super::device::Guarded;
use super::super::{
    Checkpoint, DeviceChoice, Experiment, Measurement, ReferenceResult, Run, Scope, Snapshot, StepReport, open,
};
use crate::preset::{self, Preset};

/// How the device fails at step 150, once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Error,
    Panic,
    /// It does not come back either.
    ForGood,
}

struct Failing {
    run: Box<dyn Run>,
    failure: Option<Failure>,
}

const MEMORY: &str = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";

impl Run for Failing {
    fn step(&mut self) -> Result<()> {
        if self.run.steps_done() == 150 {
            match self.failure {
                Some(Failure::Error) => {
                    self.failure = None;
                    bail!(MEMORY)
                }
                Some(Failure::Panic) => {
                    self.failure = None;
                    panic!("called `Result::unwrap()` on an `Err` value: {MEMORY}")
                }
                Some(Failure::ForGood) => bail!("gone"),
                None => {}
            }
        }
        self.run.step()
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        match self.failure {
            Some(Failure::ForGood) => bail!("gone"),
            _ => self.run.restore(checkpoint),
        }
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        match self.failure {
            Some(Failure::ForGood) if self.run.steps_done() == 150 => bail!("gone"),
            _ => self.run.checkpoint(),
        }
    }

    fn reports(&mut self) -> Result<Vec<StepReport>> {
        self.run.reports()
    }

    fn steps_ahead(&self) -> u64 {
        self.run.steps_ahead()
    }

    fn measure(&mut self, scope: Scope) -> Result<Measurement> {
        self.run.measure(scope)
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        self.run.snapshot()
    }

    fn batch_loss(&mut self) -> Result<f32> {
        self.run.batch_loss()
    }

    fn reset(&mut self, seed: u64) -> Result<()> {
        self.run.reset(seed)
    }

    fn release(&mut self) {
        self.run.release();
    }

    fn scale_lr(&mut self, factor: f64) -> f64 {
        self.run.scale_lr(factor)
    }

    fn lr(&self) -> f64 {
        self.run.lr()
    }

    fn steps_done(&self) -> u64 {
        self.run.steps_done()
    }

    fn seed(&self) -> u64 {
        self.run.seed()
    }

    fn device(&self) -> &str {
        "cuda:0"
    }

    fn references(&self) -> &[ReferenceResult] {
        self.run.references()
    }
}

fn preset() -> Preset {
    let (_, mut preset) = preset::find("first-look").unwrap();
    preset.train.batch = 24;
    preset
}

fn experiment(failure: Option<Failure>) -> Experiment {
    let (preset, batch) = (preset(), preset().train.batch);
    let run = open(&preset, DeviceChoice::Cpu).unwrap();
    let run = Guarded::new(Box::new(Failing { run, failure }), batch);
    Experiment::begin("first-look", preset, (Box::new(run), DeviceChoice::Cpu)).unwrap()
}

/// Trains to a step, or to the first error.
fn train(experiment: &mut Experiment, to: u64) -> Result<()> {
    while experiment.step() < to {
        experiment.advance(to - experiment.step())?;
    }
    Ok(())
}

/// All that would be saved, as text, for a NaN equals itself there.
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
    assert!(failing.advance(1).is_err(), "it is asked again, and says so");
}
