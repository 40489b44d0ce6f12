//! What a training step costs as the context grows: time, and the memory that it takes beyond the weights.
//!
//! Prints a line of JSON for each model and each length N; `benches/context.py` turns them into a table. The models are
//! taken without the trainer, whose held-out tasks would be measured too.

use std::alloc::{GlobalAlloc, Layout as Size, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use dfdx::prelude::{Backward, Cpu, MeanTo, OwnedTape, TensorFromVec, TryMul, TrySub};
use innerloop::nn::model::{Architecture, GdConstants, Model, Setting};
use innerloop::nn::{Device, GradTarget, Input, Net};
use innerloop::preset::{self, Preset};
use innerloop::task::{Stream, Task, rng};

/// Everything with a scan, and the transformer, which has none, beside them.
const PRESETS: &[&str] =
    &["gd-ssm", "linear-attention", "lru", "s4d", "s5", "mamba", "mamba2", "rnn", "gru", "lstm", "transformer"];

const LENGTHS: &[usize] = &[10, 30, 100, 300, 1000];

/// Two blocks of sixteen for each of two cores.
const BATCH: usize = 64;

/// Each length is measured for this long at least, and this often.
const SECONDS: f64 = 0.3;
const TIMES: usize = 3;

/// Counts the bytes that are held, and the most that were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands everything on to the system's allocator and only counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, size: Size) -> *mut u8 {
        MOST.fetch_max(HELD.fetch_add(size.size(), Relaxed) + size.size(), Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, size: Size) {
        HELD.fetch_sub(size.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, size) }
    }
}

fn main() {
    let grad_target: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    // In the pool, as the program trains.
    rayon::scope(|_| {
        for name in PRESETS.iter().filter(|name| grad_target.is_empty() || grad_target.iter().any(|one| one == *name)) {
            for length in LENGTHS {
                measure(name, *length);
            }
        }
    });
}

/// Times the gradient of the loss on fresh tasks with a context of N pairs.
fn measure(name: &str, length: usize) {
    let (_, mut preset) = preset::find(name).expect("a preset of this name");
    let Task::Linear(task) = &mut preset.task else { panic!("{name} learns something else than linear regression") };
    task.context = length;
    let device = Cpu::default();
    let gd_constants = GdConstants { step_size: 1.0, lambda: 1.0 };
    let setting = Setting { shape: preset.task.shape(), layout: preset.layout, gd_constants };
    let model = preset.model.build(&device, setting, &mut rng(1, Stream::Init, 0, 0)).expect("a model");

    // What a gradient takes where nothing is kept from those before it.
    device.release();
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    gradient(&device, &preset, &model, 0);
    let bytes = (MOST.load(Relaxed) - before) / BATCH;

    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < TIMES || began.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        gradient(&device, &preset, &model, 1 + times.len() as u64);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let seconds = times[times.len() / 2];
    println!(r#"{{"preset": "{name}", "context": {length}, "seconds": {seconds}, "bytes_per_sequence": {bytes}}}"#);
}

fn gradient(device: &Cpu, preset: &Preset, model: &Model<Cpu>, step: u64) {
    let batch = preset.task.sample(BATCH, 1, Stream::Train, step);
    let shape = (BATCH, preset.layout.tokens(batch.shape), preset.layout.width(batch.shape));
    let tokens = device.tensor_from_vec(preset.layout.encode(&batch), shape);
    let target = device.tensor_from_vec(batch.target, (BATCH, batch.shape.outputs));
    let input = Input::rows(tokens.retaped::<OwnedTape<f32, Cpu>>(), GradTarget::Weights);
    let answer = model.forward(input).expect("answers");
    let loss = answer.try_sub(target).and_then(|e| e.try_square()).and_then(|e| e.try_mean()).expect("a loss");
    black_box(loss.try_mul(0.5f32).and_then(|loss| loss.try_backward()).expect("gradients"));
}
