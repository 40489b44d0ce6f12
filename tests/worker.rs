//! The thread around a run: the updates that it posts, and what it does on orders.

mod support;

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use innerloop::optim::Optimiser;
use innerloop::preset::{Claim, Quantity};
use innerloop::reference::Reference;
use innerloop::train::{DeviceChoice, Experiment};
use innerloop::worker::{Jump, Note, Order, Phase, Source, StateChoice, Update, Worker};
use rayon::prelude::*;

/// The small preset with claims about its start, its middle and its end, trained to the end.
fn start() -> (Worker, Receiver<Update>) {
    let mut preset = support::preset();
    preset.train.steps = 6;
    let claim = |after| Claim {
        measure: Quantity::Nearest(Reference::Zero),
        within: None,
        at_least: None,
        at_most: None,
        after,
        set: vec![],
        for_seeds: 1.0,
    };
    preset.claims = vec![claim(0), claim(3), claim(6)];
    let (sender, updates) = mpsc::channel();
    let post = move |update| drop(sender.send(update));
    (Worker::start(Source::Preset("tiny".to_owned(), Box::new(preset)), DeviceChoice::Cpu, post), updates)
}

/// Takes updates in until one of them is the last.
fn until(updates: &Receiver<Update>, mut last: impl FnMut(&Update) -> bool) {
    loop {
        let update = updates.recv_timeout(Duration::from_secs(120)).expect("an update");
        assert!(update.notes.is_empty(), "{:?}", update.notes);
        if last(&update) {
            return;
        }
    }
}

#[test]
fn claims_are_checked_at_their_steps_and_once() {
    let (worker, updates) = start();
    let mut checked = vec![];
    until(&updates, |update| {
        let outcomes = update.checked.iter().flat_map(|outcome| &outcome.verdicts);
        checked.extend(outcomes.map(|verdict| verdict.claim.after));
        checked.len() == 3
    });
    assert_eq!(checked, [0, 3, 6]);
    worker.order(Order::Pause);
    worker.order(Order::Step);
    let mut step = 0;
    until(&updates, |update| {
        assert!(update.checked.is_none());
        step = update.status.as_ref().map_or(step, |status| status.step);
        step == 7
    });
}

#[test]
fn two_workers_that_wait_for_orders_take_no_thread_from_a_computation_beside_them() {
    // As on two cores; where another test has started the pool it has one thread for each core.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(2).build_global();
    let workers = [start(), start()];
    for (_, updates) in &workers {
        until(updates, |update| update.status.as_ref().is_some_and(|status| status.phase == Phase::Finished));
    }
    let (sender, sum) = mpsc::channel();
    thread::spawn(move || sender.send((0..1000).into_par_iter().sum::<i32>()));
    assert_eq!(sum.recv_timeout(Duration::from_secs(120)), Ok(499_500));
}

#[test]
fn several_runs_train_at_once_to_what_each_comes_to_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = |seed| {
        let mut preset = support::preset();
        (preset.train.steps, preset.train.seed) = (20, seed);
        Source::Preset("tiny".to_owned(), Box::new(preset))
    };
    let alone = [1, 2].map(|seed| {
        let Source::Preset(name, preset) = source(seed) else { panic!() };
        let mut alone = Experiment::start(&name, *preset, DeviceChoice::Cpu).unwrap();
        while !alone.finished() {
            alone.advance(1).unwrap();
        }
        alone
    });
    let (sender, updates) = mpsc::channel();
    let post = move |update| drop(sender.send(update));
    let worker = Worker::start_several(vec![source(1), source(2)], DeviceChoice::Cpu, post);
    let mut finished = [false; 2];
    until(&updates, |update| {
        let status = update.status.as_ref();
        finished[update.run] |= status.is_some_and(|status| status.phase == Phase::Finished);
        finished == [true; 2]
    });
    worker.order(Order::Save { folder: folder.path().to_owned() });
    let mut saved = vec![];
    while saved.len() < 2 {
        let update = updates.recv_timeout(Duration::from_secs(120)).expect("an update");
        saved.extend(update.notes.into_iter().map(|note| (update.run, note)));
    }
    for (run, note) in saved {
        let Note::Saved(path) = note else { panic!("{note:?}") };
        let session = innerloop::session::load(&path).unwrap();
        assert_eq!(session.checkpoint.seed, run as u64 + 1);
        let alone = &alone[run];
        assert_eq!(session.checkpoint, alone.checkpoint().unwrap());
        assert_eq!(session.history.train_loss, alone.history.train_loss);
        assert_eq!(session.history.eval_loss, alone.history.eval_loss);
    }
    // The learning rate is that of the run in focus; a restart is for all.
    worker.order(Order::Focus(1));
    worker.order(Order::ScaleLr(0.5));
    until(&updates, |update| {
        assert!(update.lr_changes.is_empty() || update.run == 1);
        !update.lr_changes.is_empty()
    });
    worker.order(Order::Restart { seed: Some(7) });
    let mut seeds = [0; 2];
    until(&updates, |update| {
        seeds[update.run] = update.opened.as_ref().map_or(seeds[update.run], |opened| opened.seed);
        seeds == [7, 7]
    });
}

#[test]
fn shifts_are_measured_on_the_same_weights_while_the_run_waits() {
    let (worker, updates) = start();
    until(&updates, |update| update.status.as_ref().is_some_and(|status| status.phase == Phase::Finished));
    worker.order(Order::Shift);
    let mut shifts = vec![];
    until(&updates, |update| {
        shifts.extend(update.shifts.clone());
        shifts.last().is_some_and(|shift| shift.name == "normal inputs")
    });
    assert_eq!(shifts[0].name, "as trained");
    assert!(shifts.iter().all(|shift| shift.step == 6 && shift.loss.is_finite()), "{shifts:?}");
    let of = |name: &str| shifts.iter().find(|shift| shift.name == name).unwrap();
    // Half the range is a quarter of the mean square, to sampling error.
    let ratio = of("range × ½").reference_loss / of("as trained").reference_loss;
    assert!((0.0..1.0).contains(&ratio), "{ratio}");
    assert!(of("N × 2").loss > 0.0);
}

/// A step that gathers equations for a while can be paused in its middle, and is one step.
#[test]
fn a_long_step_can_be_paused_and_is_done_once() {
    let mut preset = support::preset();
    preset.train.optimiser = Optimiser::Solve { equations: 2, least_tasks: 100_000, ridge: 1e-9 };
    preset.train.clip = None;
    (preset.train.batch, preset.train.steps, preset.claims) = (64, 100, vec![]);
    let (sender, updates) = mpsc::channel();
    let post = move |update| drop(sender.send(update));
    let worker = Worker::start(Source::Preset("tiny".to_owned(), Box::new(preset)), DeviceChoice::Cpu, post);
    let paused = |worker: &Worker, order| {
        worker.order(order);
        let mut status = None;
        until(&updates, |update| {
            status = update.status.clone().filter(|status| status.phase == Phase::Paused);
            status.is_some()
        });
        status.unwrap()
    };
    let before = paused(&worker, Order::Pause);
    assert!(before.step < 100);
    let status = paused(&worker, Order::Pause);
    assert_eq!(status.step, before.step, "nothing is trained while it is paused");
    worker.order(Order::Step);
    let mut after = None;
    until(&updates, |update| {
        after = update.status.clone().filter(|status| status.step > before.step && status.phase == Phase::Paused);
        after.is_some()
    });
    let after = after.unwrap();
    assert_eq!(after.step, before.step + 1);
    let block = ["C", "D", "Q"][before.step as usize % 3];
    assert_eq!(after.solved.unwrap().to_string(), format!("solved {block} from 100,000 tasks"));
}

/// All that is known of a run from its updates, as the lab gathers it.
#[derive(Default)]
struct Known {
    step: u64,
    phase: Option<Phase>,
    states: Vec<u64>,
    jump: Option<Jump>,
    measured: Option<u64>,
    file: Option<std::path::PathBuf>,
    notes: Vec<Note>,
}

impl Known {
    fn take_in(&mut self, update: Update) {
        if let Some(status) = update.status {
            (self.step, self.phase) = (status.step, Some(status.phase));
        }
        self.states = update.kept_states.unwrap_or(std::mem::take(&mut self.states));
        self.jump = update.jump.or(self.jump);
        self.measured = update.present.map(|measurement| measurement.step).or(self.measured);
        self.file = update.opened.map_or(self.file.take(), |opened| opened.file);
        self.notes.extend(update.notes);
    }

    fn until(&mut self, updates: &Receiver<Update>, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.take_in(updates.recv_timeout(Duration::from_secs(120)).expect("an update"));
        }
    }
}

#[test]
fn a_run_goes_back_and_what_is_saved_there_is_the_state_on_the_screen() {
    let folder = tempfile::tempdir().unwrap();
    let mut preset = support::preset();
    (preset.train.steps, preset.claims) = (6, vec![]);
    // Before there is a worker, which keeps a thread of the pool.
    let mut alone = Experiment::start("tiny", preset.clone(), DeviceChoice::Cpu).unwrap();
    (0..2).for_each(|_| drop(alone.advance(1).unwrap()));
    let (sender, updates) = mpsc::channel();
    let post = move |update| drop(sender.send(update));
    let source = Source::Preset("tiny".to_owned(), Box::new(preset.clone()));
    let worker = Worker::start(source, DeviceChoice::Cpu, post);
    let mut known = Known::default();
    known.until(&updates, |known| known.phase == Some(Phase::Finished));
    let save = Order::Save { folder: folder.path().to_owned() };
    worker.order(save.clone());
    known.until(&updates, |known| known.notes.len() == 1);
    worker.order(Order::GoTo(StateChoice::Nearest(0)));
    known.until(&updates, |known| known.step == 0 && known.phase == Some(Phase::Paused));
    assert_eq!((known.jump, known.states.last()), (Some(Jump::Rewound), Some(&6)));
    // Steps by hand are kept, and measured although none of them is one to measure.
    for step in 1..=2 {
        worker.order(Order::Step);
        known.until(&updates, |known| known.measured == Some(step) && known.phase == Some(Phase::Paused));
        assert!(known.states.contains(&step), "{:?}", known.states);
    }
    worker.order(save.clone());
    known.until(&updates, |known| known.notes.len() == 2);
    let saved: Vec<_> = known
        .notes
        .iter()
        .map(|note| {
            let Note::Saved(path) = note else { panic!("{note:?}") };
            innerloop::session::load(path).unwrap()
        })
        .collect();
    // The later state is still in the file of its own.
    assert_eq!(saved.iter().map(|session| session.checkpoint.step).collect::<Vec<_>>(), [6, 2]);
    assert_eq!(saved[1].checkpoint, alone.checkpoint().unwrap());
    // As text, since NaN equals nothing.
    assert_eq!(format!("{:?}", saved[1].history), format!("{:?}", alone.history));
    // The same steps again lead to the same end.
    worker.order(Order::Resume);
    known.until(&updates, |known| known.phase == Some(Phase::Finished));
    worker.order(save);
    known.until(&updates, |known| known.notes.len() == 3);
    let Note::Saved(path) = &known.notes[2] else { panic!("{:?}", known.notes) };
    assert_eq!(innerloop::session::load(path).unwrap().checkpoint, saved[0].checkpoint);
    // A fork is another run: it has no file, and no states from before.
    worker.order(Order::GoTo(StateChoice::Nearest(2)));
    preset.train.lr *= 0.5;
    worker.order(Order::Fork(Box::new(preset.clone())));
    known.until(&updates, |known| known.jump == Some(Jump::Forked) && known.phase == Some(Phase::Finished));
    assert_eq!((known.file.as_ref(), known.states.first()), (None, Some(&2)));
    preset.task = innerloop::preset::set(&preset, [("task.dim", "3")]).unwrap().task;
    worker.order(Order::Fork(Box::new(preset)));
    known.until(&updates, |known| matches!(known.notes.last(), Some(Note::NotForked(_))));
}
