//! The list of two hundred saved sessions, as the gallery reads it: to be ready within 100 ms.

use std::fs;

use divan::Bencher;
use innerloop::preset;
use innerloop::session::{self, Session};
use innerloop::train::{DeviceChoice, Experiment};

/// Files in the folder.
const SESSIONS: usize = 200;
/// Steps of the run: enough for curves that are long.
const STEPS: u64 = 500;

fn main() {
    divan::main();
}

/// Of a small preset and of a large one; with the digest that every new file has.
#[divan::bench(max_time = 5, args = ["first-look", "transformer"])]
fn listed(bencher: Bencher, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, preset) = preset::find(name).expect("a preset of this name");
    let mut experiment = Experiment::start(name, preset, DeviceChoice::Cpu).expect("a run");
    while experiment.step() < STEPS {
        experiment.advance(STEPS - experiment.step()).expect("a step");
    }
    let text = preset::pretty(&Session::of(&experiment).expect("a session")).expect("its text");
    (0..SESSIONS).for_each(|i| fs::write(folder.path().join(format!("{i}.ron")), &text).expect("a file"));
    bencher.bench_local(|| assert_eq!(session::list(folder.path()).len(), SESSIONS));
}
