//! Name, memory and load of a GPU, from NVIDIA's management library (NVML).
//!
//! The library is opened at run time; without it there is no status.

/// The status of a GPU, or of a slice of one (MIG).
#[derive(Clone, Debug, PartialEq)]
pub struct GpuStatus {
    /// "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Bytes in use, by this run and by others.
    pub used: u64,
    /// Bytes of memory.
    pub total: u64,
    /// The share of the last second or less in which the GPU computed, in percent. `None` for a slice, whose load NVML
    /// does not report.
    pub busy: Option<u32>,
}

#[cfg(not(feature = "cuda"))]
pub use absent::{Gpu, most_free_listed, name};
#[cfg(feature = "cuda")]
pub use nvml::{Gpu, most_free, most_free_listed, name};

#[cfg(feature = "cuda")]
mod nvml {
    use std::env;

    use nvml_wrapper::{Device, Nvml};

    use super::super::nvidia::DRIVER;
    use super::super::visible::{self, ListedGpu};
    use super::GpuStatus;

    /// The GPU of a run.
    pub struct Gpu {
        library: Nvml,
        /// Its UUID in NVML.
        uuid: String,
    }

    impl Gpu {
        /// The GPU of a device's name, "cuda:1". `None` for "cpu", or if the library does not answer.
        pub fn of(device: &str) -> Option<Self> {
            let number: usize = device.strip_prefix("cuda:")?.parse().ok()?;
            let library = Nvml::init().ok()?;
            let all = listed(&library);
            let uuid = match counted_by_cuda().get(number) {
                Some(uuid) => visible::of_uuid(uuid, &all),
                None => as_visible(&all).get(number).copied(),
            }?
            .uuid
            .clone();
            let gpu = Self { library, uuid };
            gpu.status()?;
            Some(gpu)
        }

        /// Takes some milliseconds. `None` if the library does not answer.
        pub fn status(&self) -> Option<GpuStatus> {
            let device = self.library.device_by_uuid(self.uuid.as_str()).ok()?;
            let memory = device.memory_info().ok()?;
            Some(GpuStatus {
                name: title(&device),
                used: memory.used,
                total: memory.total,
                busy: device.utilization_rates().ok().map(|rates| rates.gpu),
            })
        }
    }

    fn title(device: &Device<'_>) -> String {
        device.name().unwrap_or_else(|_| "an NVIDIA GPU".to_owned())
    }

    /// All GPUs of the machine, with their slices.
    fn listed(library: &Nvml) -> Vec<ListedGpu> {
        let describe = |device: &Device<'_>, slices| ListedGpu {
            uuid: device.uuid().unwrap_or_default(),
            name: title(device),
            free: device.memory_info().ok().map(|memory| memory.free),
            slices,
        };
        let gpu = |number| {
            let device = library.device_by_index(number).ok()?;
            // The greatest number of slices; there is none where MIG is off.
            let most = device.mig_device_count().unwrap_or(0);
            let slices = (0..most).filter_map(|i| Some(describe(&device.mig_device_by_index(i).ok()?, Vec::new())));
            Some(describe(&device, slices.collect()))
        };
        (0..library.device_count().unwrap_or(0)).filter_map(gpu).collect()
    }

    fn as_visible(all: &[ListedGpu]) -> Vec<&ListedGpu> {
        visible::visible(env::var("CUDA_VISIBLE_DEVICES").ok().as_deref(), all)
    }

    /// UUIDs of the GPUs that CUDA counts, in its order, which depends on CUDA_DEVICE_ORDER too.
    fn counted_by_cuda() -> Vec<String> {
        use std::ffi::{c_int, c_uint};
        type Init = unsafe extern "C" fn(c_uint) -> c_uint;
        type Count = unsafe extern "C" fn(*mut c_int) -> c_uint;
        type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_uint;
        type Uuid = unsafe extern "C" fn(*mut u8, c_int) -> c_uint;
        // SAFETY: the signatures are those of NVIDIA's header; a UUID has 16 bytes.
        let all = || unsafe {
            let init = DRIVER.function::<Init>("cuInit")?;
            let (count, get) = (DRIVER.function::<Count>("cuDeviceGetCount")?, DRIVER.function::<Get>("cuDeviceGet")?);
            // Of a slice, the second gives the UUID of the slice.
            let uuid = DRIVER.function::<Uuid>("cuDeviceGetUuid_v2").or_else(|| DRIVER.function("cuDeviceGetUuid"))?;
            let mut number = 0;
            (init(0) == 0 && count(&mut number) == 0).then_some(())?;
            let one = |ordinal| {
                let (mut device, mut bytes) = (0, [0u8; 16]);
                let found = get(&mut device, ordinal) == 0 && uuid(bytes.as_mut_ptr(), device) == 0;
                found.then(|| visible::uuid_text(bytes))
            };
            (0..number).map(one).collect::<Option<Vec<String>>>()
        };
        all().unwrap_or_default()
    }

    /// The number in CUDA of the GPU with the most free memory.
    pub fn most_free() -> usize {
        let Ok(library) = Nvml::init() else { return 0 };
        let all = listed(&library);
        let free = |uuid: &String| visible::of_uuid(uuid, &all).and_then(|gpu| gpu.free);
        visible::most_free(counted_by_cuda().iter().map(free))
    }

    /// The number of the visible GPU with the most free memory, as far as NVML reports it without CUDA.
    pub fn most_free_listed() -> usize {
        let Ok(library) = Nvml::init() else { return 0 };
        visible::most_free(as_visible(&listed(&library)).iter().map(|gpu| gpu.free))
    }

    /// The name of a GPU, or why there is none. Does not start CUDA, which takes long.
    pub fn name(number: usize) -> Result<String, &'static str> {
        let library = Nvml::init().map_err(|_| "no NVIDIA driver answers")?;
        let all = listed(&library);
        as_visible(&all).get(number).map(|gpu| gpu.name.clone()).ok_or("there is no GPU of this number")
    }
}

#[cfg(not(feature = "cuda"))]
mod absent {
    use super::GpuStatus;

    /// A program without CUDA support has no GPU.
    pub struct Gpu {}

    impl Gpu {
        pub fn of(_device: &str) -> Option<Self> {
            None
        }

        pub fn status(&self) -> Option<GpuStatus> {
            None
        }
    }

    pub fn most_free_listed() -> usize {
        0
    }

    pub fn name(_number: usize) -> Result<String, &'static str> {
        Err("this innerloop was built without CUDA")
    }
}
