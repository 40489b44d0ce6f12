//! The kernels' text on the host: compiled as C++ where a compiler is found, and run phase by phase.
#![cfg(test)]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use libloading::os::unix::{Library, Symbol};

use crate::nn::graph::gpu::orders::{Orders, Rate};
use crate::nn::graph::gpu::source::Source;

/// A C++ compiler that works: CXX, or one that is in the PATH.
pub fn compiler() -> Option<String> {
    let named = env::var("CXX").ok();
    let mut names = named.into_iter().chain(["g++", "clang++", "c++"].map(str::to_owned));
    names.find(|name| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success()))
}

/// A kernel on the host.
pub struct Compiled {
    library: Library,
    source: Source,
    folder: PathBuf,
}

impl Drop for Compiled {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What training reads and writes.
pub struct State {
    pub weights: Vec<f32>,
    pub first: Vec<f32>,
    pub second: Vec<f32>,
    pub gradients: Vec<f32>,
    pub losses: Vec<f32>,
}

impl State {
    pub fn new(weights: Vec<f32>) -> Self {
        let zeros = vec![0.0; weights.len()];
        Self { first: zeros.clone(), second: zeros.clone(), gradients: zeros, losses: Vec::new(), weights }
    }
}

impl Compiled {
    pub fn new(compiler: &str, source: Source) -> Self {
        let mut hasher = DefaultHasher::new();
        source.text.hash(&mut hasher);
        let folder = env::temp_dir().join(format!("innerloop-{:x}-{}", hasher.finish(), std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (text, built) = (folder.join("kernel.cpp"), folder.join("kernel.so"));
        fs::write(&text, &source.text).unwrap();
        let options = ["-std=c++17", "-O1", "-w", "-ffp-contract=off", "-fPIC", "-shared"];
        let out = Command::new(compiler).args(options).arg(&text).arg("-o").arg(&built).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        // SAFETY: the library has nothing that runs when it is opened.
        let library = unsafe { Library::new(&built) }.unwrap();
        Self { library, source, folder }
    }

    /// Trains; `rows` are tokens and targets where the kernel does not sample. `last_first`: in which order threads
    /// take turns.
    pub fn train(
        &self,
        state: &mut State,
        orders: Orders,
        (rates, rows): (&[Rate], (&[f32], &[f32])),
        blocks: usize,
        last_first: bool,
    ) {
        type Train = unsafe extern "C" fn(*const Orders, i32, i32, *mut f32);
        // SAFETY: the type is that of kernel.cu.
        let train: Symbol<Train> = unsafe { self.library.get(b"train") }.unwrap();
        // Not a number, so that a read before the write shows.
        let mut memory = vec![f32::NAN; blocks * self.source.shared / 4];
        let mut scratch = vec![f32::NAN; blocks * self.source.scratch];
        let mut partials = vec![f32::NAN; blocks * (self.source.parameters + 1)];
        let mut squares = vec![f32::NAN; self.source.chunks];
        let parameters = self.source.parameters;
        let mut weights = state.weights.clone();
        weights.resize(self.source.weights(), 0.0);
        for (i, to) in self.source.transposed.iter().enumerate() {
            weights[parameters + *to as usize] = state.weights[i];
        }
        state.losses = vec![f32::NAN; rates.len()];
        let orders = Orders {
            steps: rates.len() as i32,
            rates: rates.as_ptr() as u64,
            transposed: self.source.transposed.as_ptr() as u64,
            weights: weights.as_mut_ptr() as u64,
            first: state.first.as_mut_ptr() as u64,
            second: state.second.as_mut_ptr() as u64,
            partials: partials.as_mut_ptr() as u64,
            gradients: state.gradients.as_mut_ptr() as u64,
            squares: squares.as_mut_ptr() as u64,
            losses: state.losses.as_mut_ptr() as u64,
            scratch: scratch.as_mut_ptr() as u64,
            tokens: rows.0.as_ptr() as u64,
            targets: rows.1.as_ptr() as u64,
            ..orders
        };
        // SAFETY: all memory is as large as the source says.
        unsafe { train(&orders, blocks as i32, i32::from(last_first), memory.as_mut_ptr()) };
        state.weights.copy_from_slice(&weights[..parameters]);
    }
}
