//! The functions of NVIDIA's libraries that dfdx's binding declares, defined: they call the library if it is present.
//!
//! dfdx uses a GPU through cudarc, which links nothing. So a program with CUDA support starts on a machine without a
//! GPU.
//!
//! Two behaviours differ from the driver's. Functions that free memory, streams and the like always succeed: on a GPU
//! that is lost they fail, and dfdx would panic while it cleans up, which ends the program. The next call that computes
//! something reports that the GPU is lost. And allocations of zero bytes do not call the driver.

use std::ffi::{c_char, c_int, c_longlong, c_uchar, c_uint, c_void};
use std::sync::OnceLock;

use super::nvidia::{CUBLAS, DRIVER, NVRTC};

/// CUDA_ERROR_NO_DEVICE, CUBLAS_STATUS_NOT_INITIALIZED and NVRTC_ERROR_INTERNAL_ERROR: returned if a library is
/// missing, which [`super::nvidia::missing`] rules out before the first call.
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
