//! A resumed run equals an uninterrupted one to the last bit, and so does a run on another number of threads.

use std::sync::Mutex;

use innerloop::optim::Optimiser;
use innerloop::preset::{self, Preset};
use innerloop::session::{self, Session};
use innerloop::train::{
    Cancelled, Checkpoint, DeviceChoice, DivergenceCause, Experiment, History, KeptStates, RunState,
};

/// Every preset, made short.
fn presets() -> Vec<(String, Preset)> {
    let all = preset::all().into_iter().map(|entry| (entry.name, entry.preset.expect("a preset of our own")));
    all.map(|(name, mut preset)| {
        preset.train.batch = 48;
        preset.train.steps = 16;
        preset.train.measure_every = 10;
        match &mut preset.train.optimiser {
            Optimiser::Adam { .. } | Optimiser::Sgd => {}
            Optimiser::Solve { equations, least_tasks, .. } => (*equations, *least_tasks) = (2, 60),
            Optimiser::LevenbergMarquardt { tasks, .. } => *tasks = 60,
        }
        (name, preset)
    })
    .collect()
}

fn start(name: &str, preset: &Preset) -> Experiment {
    Experiment::start(name, preset.clone(), DeviceChoice::Cpu).expect("a start")
}

fn advance(experiment: &mut Experiment, steps: u64) {
    let end = experiment.step() + steps;
    while experiment.step() < end {
        assert!(experiment.advance(1).expect("a step").diverged.is_none());
    }
}

/// Curves as text, digit by digit: a loss that there is none of is NaN, which equals nothing, not even itself.
fn as_text(history: &History) -> String {
    format!("{history:?}")
}

/// Weights and moments as bits, for a comparison that knows no rounding.
fn bits(checkpoint: &Checkpoint) -> Vec<u32> {
    let lists = checkpoint.parameters.iter().flat_map(|p| [&p.values, &p.moment1, &p.moment2]);
    lists.flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn a_saved_and_opened_run_goes_on_exactly_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, preset) in presets() {
        let mut whole = start(&name, &preset);
        advance(&mut whole, 7);
        whole.scale_lr(0.5);
        let path = folder.path().join(format!("{name}.ron"));
        session::save(&path, &Session::of(&whole).expect("a session")).expect("a save");
        advance(&mut whole, 9);

        let mut second = session::load(&path).expect("a load").resume(DeviceChoice::Cpu).expect("a resume");
        assert_eq!(second.step(), 7);
        advance(&mut second, 9);

        let (whole_end, second_end) = (whole.checkpoint().expect("one"), second.checkpoint().expect("one"));
        assert_eq!(bits(&whole_end), bits(&second_end), "{name}");
        assert_eq!(whole_end, second_end, "{name}");
        assert_eq!(as_text(&whole.history), as_text(&second.history), "{name}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for (name, preset) in presets() {
        let end = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let mut experiment = start(&name, &preset);
                advance(&mut experiment, 10);
                (experiment.checkpoint().expect("one"), as_text(&experiment.history))
            })
        };
        assert_eq!(end(1), end(3), "{name}");
    }
}

#[test]
fn restarting_repeats_the_run_and_another_seed_does_not() {
    let (name, preset) = presets().remove(0);
    let mut experiment = start(&name, &preset);
    advance(&mut experiment, 20);
    let (checkpoint, history) = (experiment.checkpoint().expect("one"), as_text(&experiment.history));
    experiment.restart(preset.train.seed).expect("a restart");
    advance(&mut experiment, 20);
    assert_eq!((&experiment.checkpoint().expect("one"), &as_text(&experiment.history)), (&checkpoint, &history));
    experiment.restart(preset.train.seed + 1).expect("a restart");
    advance(&mut experiment, 20);
    assert_ne!(experiment.checkpoint().expect("one"), checkpoint);
}

#[test]
fn a_run_that_diverges_goes_back_to_its_last_good_state() {
    let (name, mut preset) = presets().remove(0);
    preset.train.steps = 10_000;
    preset.train.lr = 0.001;
    let mut experiment = start(&name, &preset);
    advance(&mut experiment, 150);
    experiment.scale_lr(1e30);
    let diverged = (0..1_000).find(|_| experiment.advance(1).expect("a step").diverged.is_some());
    assert!(diverged.is_some(), "a learning rate of 1e27 must diverge");
    assert_eq!(experiment.step(), 100, "the last state that was kept");
    assert!(experiment.checkpoint().expect("one").check().is_ok());
    assert!(experiment.measure(innerloop::train::Scope::All).expect("a measurement").eval_loss.is_finite());
}

#[test]
fn a_state_that_cannot_be_saved_is_a_divergence() {
    // Adam's second moment overflows while the weights stay finite.
    let preset = preset::find("gd-ssm").expect("a preset").1;
    let mut preset = preset::set(&preset, [("task.range", "1e4")]).expect("a range");
    preset.train.batch = 48;
    let mut experiment = start("gd-ssm", &preset);
    let diverged = (0..300).find_map(|_| experiment.advance(1).expect("a step").diverged);
    let divergence = diverged.expect("a divergence within 300 steps");
    assert!(divergence.to_string().contains("moments of "), "{divergence}");
    assert!(matches!(divergence.cause, DivergenceCause::State(_)), "{divergence}");
    session::save(
        &tempfile::tempdir().expect("a folder").path().join("s.ron"),
        &Session::of(&experiment).expect("one"),
    )
    .expect("the last good state can be saved");
}

#[test]
fn a_learning_rate_that_is_changed_very_often_stays_a_number_and_can_be_saved() {
    let (name, preset) = presets().remove(0);
    for factor in [0.5, 2.0] {
        let mut experiment = start(&name, &preset);
        for _ in 0..1_200 {
            experiment.scale_lr(factor);
        }
        assert!(experiment.checkpoint().expect("one").check().is_ok());
        assert!(experiment.lr() > 0.0 && experiment.lr().is_finite());
        assert_eq!(experiment.history.lr_changes.len(), 1, "changes at one step are one change");
    }
}

#[test]
fn a_run_that_stops_at_its_first_bad_step_has_diverged() {
    let (name, mut preset) = presets().remove(0);
    (preset.train.lr, preset.train.optimiser, preset.train.clip) = (1e3, Optimiser::Sgd, None);
    let mut experiment = start(&name, &preset);
    experiment.scale_lr(1e6);
    // The loss of the first step is that before its update.
    assert!(experiment.advance(1).expect("a step").diverged.is_none());
    assert!(experiment.settle().expect("an answer").is_some());
    assert_eq!(experiment.step(), 0);
    assert!(experiment.settle().expect("an answer").is_none(), "a good state stays");
}

#[test]
fn opening_is_cancelled_at_once_and_says_how_far_it_is() {
    let (name, preset) = presets().remove(0);
    let shares = Mutex::new(Vec::new());
    let watch = |share: f64| {
        let mut shares = shares.lock().expect("shares");
        shares.push(share);
        shares.len() < 500
    };
    let Err(error) = Experiment::start_watched(&name, preset.clone(), DeviceChoice::Cpu, &watch) else {
        panic!("it was cancelled")
    };
    assert!(error.is::<Cancelled>(), "{error:#}");
    // One more for each thread.
    assert!(shares.lock().expect("shares").len() < 600);
    let last = Mutex::new(0.0);
    let follow = |share: f64| {
        let mut last = last.lock().expect("the last");
        *last = share.max(*last);
        true
    };
    Experiment::start_watched(&name, preset, DeviceChoice::Cpu, &follow).expect("a start");
    assert!(*last.lock().expect("the last") > 0.9, "{last:?}");
}

#[test]
fn a_run_that_goes_back_goes_on_exactly_as_if_it_had_not() {
    for (name, preset) in presets() {
        let mut run = start(&name, &preset);
        let mut states = KeptStates::default();
        for _ in 0..12 {
            advance(&mut run, 1);
            states.add(run.state().expect("a state"));
        }
        let (end, history) = (run.checkpoint().expect("one"), as_text(&run.history));
        // Back, on for a while, further back, forwards again, and from there to the end.
        for step in [9, 3, 5] {
            let state = states.at(step).expect("a state that was kept");
            run.go_to(RunState::clone(&state)).expect("a way back");
            assert_eq!((run.step(), as_text(&run.history)), (step, as_text(&state.history)), "{name}");
            assert_eq!(run.checkpoint().expect("one"), state.checkpoint, "{name}");
            advance(&mut run, 1);
        }
        advance(&mut run, 6);
        let again = run.checkpoint().expect("one");
        assert_eq!((bits(&again), as_text(&run.history)), (bits(&end), history), "{name}");
        assert_eq!(again, end, "{name}");
    }
}

#[test]
fn a_fork_trains_on_with_other_fields_and_says_so() {
    let (name, preset) = ("gd-ssm", presets().into_iter().find(|(name, _)| name == "gd-ssm").expect("a preset").1);
    let mut run = start(name, &preset);
    advance(&mut run, 4);
    let changed = preset::set(&preset, [("train.seed", "9"), ("train.lr", "0.003")]).expect("other values");
    let mut fork = run.forked(changed.clone(), &|_| true).expect("a fork");
    assert_eq!(fork.history.forks[0].changes, ["train.lr=0.003", "train.seed=9"]);
    assert_eq!((fork.step(), fork.seed(), fork.lr()), (4, 9, changed.train.lr_at(4)));
    let weights = |run: &Experiment| run.checkpoint().expect("one").parameters;
    assert_eq!(weights(&fork), weights(&run));
    advance(&mut fork, 4);
    advance(&mut run, 4);
    assert_ne!(weights(&fork), weights(&run));
    // Saved and resumed, it is the fork that goes on.
    let mut again = Session::of(&fork).expect("a session").resume(DeviceChoice::Cpu).expect("a resume");
    advance(&mut again, 2);
    advance(&mut fork, 2);
    assert_eq!(
        (again.checkpoint().expect("one"), as_text(&again.history)),
        (fork.checkpoint().expect("one"), as_text(&fork.history))
    );
    let larger = preset::set(&preset, [("task.dim", "4")]).expect("another size");
    let why = format!("{:#}", run.forked(larger, &|_| true).err().expect("other weights"));
    assert!(why.starts_with("the weights do not fit the changed model; r trains it from the start"), "{why}");
}
