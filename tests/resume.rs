//! A resumed run equals an uninterrupted one to the last bit, and so does a run on another number of threads.

use innerloop::preset::{self, Preset};
use innerloop::session::{self, Session};
use innerloop::train::{Checkpoint, DeviceChoice, Experiment, History};

/// Every preset, made short.
fn presets() -> Vec<(String, Preset)> {
    let all = preset::all().into_iter().map(|entry| (entry.name, entry.preset.expect("a preset of our own")));
    all.map(|(name, mut preset)| {
        preset.train.batch = 48;
        preset.train.steps = 16;
        preset.train.measure_every = 10;
        (name, preset)
    })
    .collect()
}

fn start(name: &str, preset: &Preset) -> Experiment {
    Experiment::start(name, preset.clone(), DeviceChoice::Cpu).expect("a start")
}

fn advance(experiment: &mut Experiment, steps: u64) {
    for _ in 0..steps {
        assert!(experiment.advance(1).expect("a step").diverged.is_none());
    }
}

/// Curves as text, digit by digit: a loss that there is none of is NaN, which equals nothing, not even itself.
fn told(history: &History) -> String {
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
        assert_eq!(told(&whole.history), told(&second.history), "{name}");
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
                (experiment.checkpoint().expect("one"), told(&experiment.history))
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
    let (checkpoint, history) = (experiment.checkpoint().expect("one"), told(&experiment.history));
    experiment.restart(preset.train.seed).expect("a restart");
    advance(&mut experiment, 20);
    assert_eq!((&experiment.checkpoint().expect("one"), &told(&experiment.history)), (&checkpoint, &history));
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
