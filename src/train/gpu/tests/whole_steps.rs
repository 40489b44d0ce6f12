//! A run by whole steps, by an engine on the host, beside one by single steps.
#![cfg(test)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A GPU's engine on the host.
struct HostEngine {
    compiled: Compiled,
    preset: Preset,
    state: State,
    /// Of the steps that were ordered last.
    losses: Vec<f32>,
    /// Steps that were ordered so far.
    ordered: Arc<AtomicUsize>,
}

impl WholeStepEngine for HostEngine {
    fn load(&mut self, parameters: &Parameters) -> Result<()> {
        let Parameters { weights, first, second } = parameters.clone();
        self.state = State { first, second, ..State::new(weights) };
        Ok(())
    }

    fn order(&mut self, key: StreamKey, rates: &[StepRates]) -> Result<()> {
        assert!((1..=self.steps_at_once()).contains(&rates.len()));
        let samples = matches!(Sampling::of(&self.preset.task, self.preset.layout), Sampling::Own(_));
        self.losses.clear();
        self.ordered.fetch_add(rates.len(), Ordering::Relaxed);
        for (step, rates) in (key.step..).zip(rates) {
            let rate = [Rate { rate: rates.rate, unbiased: rates.unbiased }];
            let (tokens, targets) = if samples { Default::default() } else { rows(&self.preset, step) };
            let orders = Orders { seed: [key.seed as u32, (key.seed >> 32) as u32], ..orders(&self.preset, step) };
            self.compiled.train(&mut self.state, orders, (&rate, (&tokens, &targets)), 2, false);
            self.losses.push(self.state.losses[0]);
        }
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f32>> {
        Ok(self.losses.clone())
    }

    fn read(&self) -> Result<Parameters> {
        let State { weights, first, second, .. } = &self.state;
        Ok(Parameters { weights: weights.clone(), first: first.clone(), second: second.clone() })
    }

    fn steps_at_once(&self) -> usize {
        7
    }
}

/// A run by whole steps on the host, and the number of steps that were ordered.
fn on_host(compiler: &str, preset: &Preset) -> (WholeSteps, Arc<AtomicUsize>) {
    let cut = Cut { lanes: 8, workers: 8, shared: 200_000, columns: 8, resident: 1 };
    let compiled = Compiled::new(compiler, write(&training(preset).expect("a program"), cut));
    let (state, losses, ordered) = (State::new(Vec::new()), Vec::new(), Arc::default());
    let engine = HostEngine { compiled, preset: preset.clone(), state, losses, ordered: Arc::clone(&ordered) };
    (WholeSteps::new(Box::new(engine), Box::new(on_cpu(preset)), &Arc::new(preset.clone())), ordered)
}

/// A run trained by whole steps does everything that a run does.
#[test]
fn a_run_by_whole_steps_reports_measures_saves_and_goes_on_as_one_by_single_steps() {
    let Some(compiler) = compiler() else {
        eprintln!("SKIPPED: no C++ compiler is found by CXX or in PATH");
        return;
    };
    for name in ["gd-ssm", "gd-ssm-sine"] {
        let (_, mut preset) = preset::find(name).unwrap();
        (preset.train.batch, preset.train.seed) = (21, 5);
        let by_engine = || on_host(&compiler, &preset).0;
        let script = |run: &mut dyn Run| {
            let mut losses = Vec::new();
            let mut report = |run: &mut dyn Run| {
                losses.extend(run.reports().unwrap().into_iter().map(|report| (report.step, report.loss)));
            };
            run.initialise(5).unwrap();
            steps(run, &preset, 0..20);
            report(run);
            let tasks = preset.task.sample(30, 1, Stream::HeldOut, 0);
            let measured = run.predict(&tasks).unwrap();
            steps(run, &preset, 20..25);
            let parameters = run.parameters().unwrap();
            let saved = Checkpoint { seed: 5, step: 25, lr_factor: 1.0, damping: None, parameters };
            steps(run, &preset, 25..30);
            report(run);
            run.restore(&saved).unwrap();
            let key = StreamKey { seed: 5, stream: Stream::Train, step: 25 };
            let next = run.batch_loss(key).unwrap();
            steps(run, &preset, 25..30);
            report(run);
            let weights = flat(&run.parameters().unwrap(), |parameter| &parameter.values);
            (losses, measured, next, weights)
        };
        let (found, measured, next, weights) = script(&mut by_engine());
        let (expected, expected_measured, expected_next, expected_weights) = script(&mut on_cpu(&preset));
        assert_eq!(found.len(), 35);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.0, expected.0);
            assert!((found.1 / expected.1 - 1.0).abs() < 1e-3, "{name}: {found:?} {expected:?}");
        }
        assert!(apart(&measured, &expected_measured) < 1e-3);
        assert!((next / expected_next - 1.0).abs() < 1e-3);
        assert!(apart(&weights, &expected_weights) < 1e-4);
    }
}

/// While a network is measured the engine does the next steps.
#[test]
fn steps_that_begin_early_change_nothing_that_can_be_read() {
    let Some(compiler) = compiler() else {
        eprintln!("SKIPPED: no C++ compiler is found by CXX or in PATH");
        return;
    };
    let (_, mut preset) = preset::find("first-look").unwrap();
    (preset.train.batch, preset.train.seed) = (5, 3);
    let key = |step| StreamKey { seed: 3, stream: Stream::Train, step };
    let lrs = |steps: std::ops::Range<u64>| steps.map(|step| preset.train.lr_at(step)).collect::<Vec<_>>();
    let report = |run: &mut dyn Run| run.reports().unwrap().into_iter().map(|report| report.loss).collect::<Vec<_>>();
    let tasks = preset.task.sample(8, 1, Stream::HeldOut, 0);
    // Early steps that are asked for, with or without more behind them; that are not, because fewer steps are, with
    // another learning rate, or after going back.
    let script = |begins_early: bool| {
        let (mut run, ordered) = on_host(&compiler, &preset);
        let begin = |run: &mut WholeSteps, steps: std::ops::Range<u64>| {
            if begins_early {
                run.begin_early(key(steps.start), &lrs(steps)).unwrap();
            }
        };
        let (mut losses, mut read) = (Vec::new(), Vec::new());
        let mut look = |run: &WholeSteps| {
            read.extend(run.predict(&tasks).unwrap());
            read.extend(flat(&run.parameters().unwrap(), |parameter| &parameter.moment2));
        };
        steps(&mut run, &preset, 0..4);
        losses.extend(report(&mut run));
        for (early, asked) in [(4..8, 4..8), (8..10, 8..13), (13..20, 13..15)] {
            begin(&mut run, early);
            look(&run);
            begin(&mut run, asked.clone());
            steps(&mut run, &preset, asked);
            losses.extend(report(&mut run));
        }
        begin(&mut run, 15..18);
        look(&run);
        run.step(key(15), 0.5 * preset.train.lr_at(15)).unwrap();
        losses.extend(report(&mut run));
        let parameters = run.parameters().unwrap();
        begin(&mut run, 16..18);
        run.restore(&Checkpoint { seed: 3, step: 16, lr_factor: 1.0, damping: None, parameters }).unwrap();
        steps(&mut run, &preset, 16..18);
        losses.extend(report(&mut run));
        look(&run);
        (losses, read, ordered.load(Ordering::Relaxed))
    };
    let (found, expected) = (script(true), script(false));
    assert_eq!((found.0.len(), expected.2), (18, 18));
    assert_eq!((found.0, found.1), (expected.0, expected.1));
    // Beside what was asked for: seven steps instead of two, three instead of one, and two before going back.
    assert_eq!(found.2, 18 + 7 + 3 + 2);
}
