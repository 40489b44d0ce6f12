//! NVIDIA's libraries, opened while the program runs: the driver, cuBLAS and NVRTC.
//!
//! A program with CUDA support starts on a machine without them, and says which one is missing.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Error, anyhow};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// A library that may be present.
pub struct Found {
    /// Its name in messages.
    title: &'static str,
    /// The names of its file, the preferred first.
    files: &'static [&'static str],
    /// The stem of a library that it needs from its own folder, which the system's loader may not search.
    needs: Option<&'static str>,
    library: OnceLock<Option<Library>>,
}

/// Part of the driver.
pub static DRIVER: Found = Found::new("the NVIDIA driver", &["libcuda.so.1"], None);
/// Matrix products; part of the CUDA toolkit.
#[cfg(feature = "cuda")]
pub static CUBLAS: Found =
    Found::new("cuBLAS", &["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"], Some("libcublasLt"));
/// The compiler of kernels; part of the CUDA toolkit.
pub static NVRTC: Found =
    Found::new("NVRTC", &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"], Some("libnvrtc-builtins"));

impl Found {
    const fn new(title: &'static str, files: &'static [&'static str], needs: Option<&'static str>) -> Self {
        Self { title, files, needs, library: OnceLock::new() }
    }

    /// Message if this library is missing.
    #[cfg(feature = "cuda")]
    pub fn missing(&self) -> Option<String> {
        let names = || self.files.join(", ");
        self.library().is_none().then(|| format!("{} is not on this machine ({})", self.title, names()))
    }

    fn library(&self) -> Option<&Library> {
        self.library.get_or_init(|| self.files.iter().find_map(|file| self.open(file))).as_ref()
    }

    /// Searches CUDA_PATH, then the system's library path, then the default folder of the toolkit.
    fn open(&self, file: &str) -> Option<Library> {
        let toolkits = [env::var_os("CUDA_PATH").map(PathBuf::from), None, Some(PathBuf::from("/usr/local/cuda"))];
        toolkits.iter().find_map(|toolkit| match toolkit {
            None => open(file.as_ref()),
            Some(root) => ["lib64", "lib"].iter().find_map(|folder| {
                let folder = root.join(folder);
                self.open_what_it_needs(&folder, file);
                open(&folder.join(file))
            }),
        })
    }

    /// Of libnvrtc.so.13 libnvrtc-builtins.so.13.0. It stays open: the next library finds it by its name.
    fn open_what_it_needs(&self, folder: &Path, file: &str) {
        let (Some(stem), Some((_, version))) = (self.needs, file.split_once(".so")) else { return };
        let begins = format!("{stem}.so{version}");
        let names = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()));
        for name in names.filter(|name| name.to_string_lossy().starts_with(&begins)) {
            std::mem::forget(open(&folder.join(name)));
        }
    }

    /// The error of a library that is too old, or that is not there.
    pub fn lacks(&self, name: &str) -> Error {
        anyhow!("{} has no {name}", self.title)
    }

    /// The function of a name.
    ///
    /// # Safety
    /// `F` must be the type of the function.
    pub unsafe fn function<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: the caller upholds that; the library stays open.
        self.library().and_then(|library| unsafe { library.get::<F>(name.as_bytes()) }.ok()).map(|found| *found)
    }
}

fn open(path: &Path) -> Option<Library> {
    // SAFETY: NVIDIA's libraries may be opened at any time, and stay open.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.ok()
}

/// Message if a library that a GPU needs is missing.
#[cfg(feature = "cuda")]
pub fn missing() -> Option<String> {
    [&DRIVER, &CUBLAS, &NVRTC].into_iter().find_map(Found::missing)
}
