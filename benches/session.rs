//! Saving a session and loading it again, after a run's whole length.

use divan::Bencher;
use innerloop::preset;
use innerloop::session::{self, Session};
use innerloop::train::{DeviceChoice, Experiment};

fn main() {
    divan::main();
}

/// The smallest session and the largest.
const PRESETS: &[&str] = &["first-look", "transformer"];

/// Steps of the run: enough for curves that are full.
const STEPS: u64 = 500;

fn trained(name: &str) -> Session {
    let (_, preset) = preset::find(name).expect("a preset of this name");
    let mut experiment = Experiment::start(name, preset, DeviceChoice::Cpu).expect("a run");
    while experiment.step() < STEPS {
        experiment.advance(STEPS - experiment.step()).expect("a step");
    }
    Session::of(&experiment).expect("a session")
}

#[divan::bench(args = PRESETS, max_time = 2)]
fn save(bencher: Bencher, name: &str) {
    let (session, folder) = (trained(name), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("session.ron");
    bencher.bench_local(|| session::save(&file, &session).expect("a save"));
}

#[divan::bench(args = PRESETS, max_time = 2)]
fn load(bencher: Bencher, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("session.ron");
    session::save(&file, &trained(name)).expect("a save");
    bencher.bench_local(|| session::load(&file).expect("a session"));
}
