//! NVIDIA's libraries, opened at run time.
//!
//! dfdx uses a GPU through cudarc, which declares the functions below and links nothing. They are defined here, and
//! call the driver, cuBLAS and NVRTC if these are present. So a program with CUDA support starts on a machine without a
//! GPU.
//!
//! Two behaviours differ from the driver's. Functions that free memory, streams and the like always succeed: on a GPU
//! that is lost they fail, and dfdx would panic while it cleans up, which ends the program. The next call that computes
//! something reports that the GPU is lost. And allocations of zero bytes do not call the driver.

use std::env;
use std::ffi::{c_char, c_int, c_longlong, c_uchar, c_uint, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// A library that may be present.
struct Found {
    /// Its name in messages.
    title: &'static str,
    /// The names of its file, the preferred first.
    files: &'static [&'static str],
    /// The stem of a library that it needs from its own folder, which the system's loader may not search.
    before: Option<&'static str>,
    library: OnceLock<Option<Library>>,
}

/// Part of the driver.
static DRIVER: Found = Found::new("the NVIDIA driver", &["libcuda.so.1"], None);
/// Matrix products; part of the CUDA toolkit.
static CUBLAS: Found =
    Found::new("cuBLAS", &["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"], Some("libcublasLt"));
/// The compiler of kernels; part of the CUDA toolkit.
static NVRTC: Found = Found::new("NVRTC", &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"], None);

impl Found {
    const fn new(title: &'static str, files: &'static [&'static str], before: Option<&'static str>) -> Self {
        Self { title, files, before, library: OnceLock::new() }
    }

    /// Message if this library is missing.
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
                if let (Some(stem), Some((_, version))) = (self.before, file.split_once(".so")) {
                    // It stays open: the next library finds it by its name.
                    std::mem::forget(open(&folder.join(format!("{stem}.so{version}"))));
                }
                open(&folder.join(file))
            }),
        })
    }

    /// The function of a name.
    ///
    /// # Safety
    /// `F` must be the type of the function.
    unsafe fn function<F: Copy>(&self, name: &str) -> Option<F> {
        // SAFETY: the caller upholds that; the library stays open.
        self.library().and_then(|library| unsafe { library.get::<F>(name.as_bytes()) }.ok()).map(|found| *found)
    }
}

fn open(path: &std::path::Path) -> Option<Library> {
    // SAFETY: NVIDIA's libraries may be opened at any time, and stay open.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.ok()
}

/// Message if a library that a GPU needs is missing.
pub fn missing() -> Option<String> {
    [&DRIVER, &CUBLAS, &NVRTC].into_iter().find_map(Found::missing)
}

/// A function of the driver.
///
/// # Safety
/// `F` must be the type of the function.
pub unsafe fn driver_function<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: the caller's promise.
    unsafe { DRIVER.function(name) }
}

/// A function of NVRTC.
///
/// # Safety
/// `F` must be the type of the function.
pub unsafe fn nvrtc_function<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: the caller's promise.
    unsafe { NVRTC.function(name) }
}

/// The PCI bus identifier, "00000000:65:00.0", of the GPU with a number in CUDA, which depends on CUDA_VISIBLE_DEVICES
/// and CUDA_DEVICE_ORDER. `None` before a run is open on a GPU.
pub fn bus(number: usize) -> Option<String> {
    type Device = unsafe extern "C" fn(*mut c_int, c_int) -> c_uint;
    type Bus = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_uint;
    let (mut device, mut text) = (0, [0; 32]);
    // SAFETY: the signatures are those of NVIDIA's headers; the pointers are to a number, and to a text of the given
    // length.
    let found = unsafe {
        let find = DRIVER.function::<Device>("cuDeviceGet")?;
        let bus_id = DRIVER.function::<Bus>("cuDeviceGetPCIBusId")?;
        find(&mut device, number.try_into().ok()?) == 0 && bus_id(text.as_mut_ptr(), text.len() as c_int, device) == 0
    };
    let bytes = text.map(|letter| letter as u8);
    let text = std::ffi::CStr::from_bytes_until_nul(&bytes).ok()?;
    found.then(|| text.to_string_lossy().into_owned())
}

/// CUDA_ERROR_NO_DEVICE, CUBLAS_STATUS_NOT_INITIALIZED and NVRTC_ERROR_INTERNAL_ERROR: returned if a library is
/// missing, which [`missing`] rules out before the first call.
const NO_DEVICE: c_uint = 100;
const NOT_INITIALIZED: c_uint = 1;
const INTERNAL_ERROR: c_uint = 11;

/// A device, context, stream, event, module, function or program.
type Handle = *mut c_void;
/// An address on the GPU.
type Address = u64;

/// Defines functions that call those of a library; without it they return `$absent`.
macro_rules! forward {
    ($library:expr, $absent:expr => $($name:ident($($argument:ident: $kind:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $kind),*) -> c_uint {
            static FOUND: OnceLock<Option<unsafe extern "C" fn($($kind),*) -> c_uint>> = OnceLock::new();
            // SAFETY: the signatures are those of NVIDIA's headers.
            match FOUND.get_or_init(|| unsafe { $library.function(stringify!($name)) }) {
                // SAFETY: the caller upholds the requirements of the function.
                Some(function) => unsafe { function($($argument),*) },
                None => $absent,
            }
        }
    )*};
}

/// The same for functions that free something: they always return success.
macro_rules! always_ok {
    ($library:expr => $($name:ident($first:ident: $handle:ty $(, $argument:ident: $kind:ty)*);)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($first: $handle $(, $argument: $kind)*) -> c_uint {
            static FOUND: OnceLock<Option<unsafe extern "C" fn($handle $(, $kind)*) -> c_uint>> = OnceLock::new();
            // SAFETY: as above.
            if let Some(function) = FOUND.get_or_init(|| unsafe { $library.function(stringify!($name)) }) {
                // SAFETY: as above.
                let _ = unsafe { function($first $(, $argument)*) };
            }
            0
        }
    )*};
}

mod defined {
    use super::*;

    forward! { DRIVER, NO_DEVICE =>
        cuInit(flags: c_uint);
        cuGetErrorName(error: c_uint, text: *mut *const c_char);
        cuGetErrorString(error: c_uint, text: *mut *const c_char);
        cuDeviceGet(device: *mut c_int, ordinal: c_int);
        cuDeviceGetCount(count: *mut c_int);
        cuDeviceGetAttribute(value: *mut c_int, attribute: c_uint, device: c_int);
        cuDevicePrimaryCtxRetain(context: *mut Handle, device: c_int);
        cuModuleLoad(module: *mut Handle, file: *const c_char);
        cuModuleLoadData(module: *mut Handle, image: *const c_void);
        cuModuleGetFunction(function: *mut Handle, module: Handle, name: *const c_char);
        cuStreamCreate(stream: *mut Handle, flags: c_uint);
        cuStreamSynchronize(stream: Handle);
        cuEventCreate(event: *mut Handle, flags: c_uint);
        cuMemAlloc_v2(address: *mut Address, bytes: usize);
        cuMemcpyHtoD_v2(to: Address, from: *const c_void, bytes: usize);
        cuMemcpyDtoH_v2(to: *mut c_void, from: Address, bytes: usize);
        cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize);
        cuMemcpyHtoDAsync_v2(to: Address, from: *const c_void, bytes: usize, stream: Handle);
        cuMemcpyDtoHAsync_v2(to: *mut c_void, from: Address, bytes: usize, stream: Handle);
        cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle);
        cuMemsetD8_v2(to: Address, byte: c_uchar, count: usize);
        cuLaunchKernel(function: Handle, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint,
            block_y: c_uint, block_z: c_uint, shared: c_uint, stream: Handle, arguments: *mut Handle,
            extra: *mut Handle);
    }

    always_ok! { DRIVER =>
        // These free nothing, but precede functions that do; if they fail, so does all that computes after them.
        cuCtxSetCurrent(context: Handle);
        cuEventRecord(event: Handle, stream: Handle);
        cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint);
        cuDevicePrimaryCtxRelease_v2(device: c_int);
        cuModuleUnload(module: Handle);
        cuStreamDestroy_v2(stream: Handle);
        cuEventDestroy_v2(event: Handle);
        cuMemFree_v2(address: Address);
    }

    forward! { CUBLAS, NOT_INITIALIZED =>
        cublasCreate_v2(handle: *mut Handle);
        cublasSetStream_v2(handle: Handle, stream: Handle);
        cublasSgemm_v2(handle: Handle, trans_a: c_uint, trans_b: c_uint, m: c_int, n: c_int, k: c_int,
            alpha: *const f32, a: *const f32, lda: c_int, b: *const f32, ldb: c_int, beta: *const f32,
            c: *mut f32, ldc: c_int);
        cublasDgemm_v2(handle: Handle, trans_a: c_uint, trans_b: c_uint, m: c_int, n: c_int, k: c_int,
            alpha: *const f64, a: *const f64, lda: c_int, b: *const f64, ldb: c_int, beta: *const f64,
            c: *mut f64, ldc: c_int);
        cublasSgemmStridedBatched(handle: Handle, trans_a: c_uint, trans_b: c_uint, m: c_int, n: c_int, k: c_int,
            alpha: *const f32, a: *const f32, lda: c_int, stride_a: c_longlong, b: *const f32, ldb: c_int,
            stride_b: c_longlong, beta: *const f32, c: *mut f32, ldc: c_int, stride_c: c_longlong, batch: c_int);
        cublasDgemmStridedBatched(handle: Handle, trans_a: c_uint, trans_b: c_uint, m: c_int, n: c_int, k: c_int,
            alpha: *const f64, a: *const f64, lda: c_int, stride_a: c_longlong, b: *const f64, ldb: c_int,
            stride_b: c_longlong, beta: *const f64, c: *mut f64, ldc: c_int, stride_c: c_longlong, batch: c_int);
    }

    always_ok! { CUBLAS => cublasDestroy_v2(handle: Handle); }

    forward! { NVRTC, INTERNAL_ERROR =>
        nvrtcCreateProgram(program: *mut Handle, source: *const c_char, name: *const c_char, headers: c_int,
            contents: *const *const c_char, names: *const *const c_char);
        nvrtcCompileProgram(program: Handle, count: c_int, options: *const *const c_char);
        nvrtcGetPTXSize(program: Handle, size: *mut usize);
        nvrtcGetPTX(program: Handle, text: *mut c_char);
        nvrtcGetProgramLogSize(program: Handle, size: *mut usize);
        nvrtcGetProgramLog(program: Handle, text: *mut c_char);
    }

    always_ok! { NVRTC => nvrtcDestroyProgram(program: *mut Handle); }

    /// The driver's functions that the three below call.
    type Allocate = unsafe extern "C" fn(*mut Address, usize, Handle) -> c_uint;
    type Set = unsafe extern "C" fn(Address, c_uchar, usize, Handle) -> c_uint;
    type Free = unsafe extern "C" fn(Address, Handle) -> c_uint;

    /// dfdx allocates and frees zero bytes whenever it caches memory: the driver is not called.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn cuMemAllocAsync(address: *mut Address, bytes: usize, stream: Handle) -> c_uint {
        static FOUND: OnceLock<Option<Allocate>> = OnceLock::new();
        if bytes == 0 {
            // SAFETY: the caller passes a valid pointer to an address.
            unsafe { address.write(0) };
            return 0;
        }
        // SAFETY: the signature is that of NVIDIA's header, and the caller upholds its requirements.
        match FOUND.get_or_init(|| unsafe { DRIVER.function("cuMemAllocAsync") }) {
            Some(function) => unsafe { function(address, bytes, stream) },
            None => NO_DEVICE,
        }
    }

    /// Zero bytes have no address that the driver accepts: it is not called.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn cuMemsetD8Async(to: Address, byte: c_uchar, count: usize, stream: Handle) -> c_uint {
        static FOUND: OnceLock<Option<Set>> = OnceLock::new();
        // SAFETY: as above.
        match FOUND.get_or_init(|| unsafe { DRIVER.function("cuMemsetD8Async") }) {
            _ if count == 0 => 0,
            // SAFETY: as above.
            Some(function) => unsafe { function(to, byte, count, stream) },
            None => NO_DEVICE,
        }
    }

    /// Always succeeds, as all functions that free something.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn cuMemFreeAsync(address: Address, stream: Handle) -> c_uint {
        static FOUND: OnceLock<Option<Free>> = OnceLock::new();
        // SAFETY: as above.
        let function = FOUND.get_or_init(|| unsafe { DRIVER.function("cuMemFreeAsync") });
        if let Some(function) = function.filter(|_| address != 0) {
            // SAFETY: as above.
            let _ = unsafe { function(address, stream) };
        }
        0
    }
}
