//! Which GPUs there are for this program, from what NVML lists and what CUDA_VISIBLE_DEVICES says.

/// A GPU, or a slice of one (MIG), as NVML lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGpu {
    /// "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"; of a slice "MIG-…".
    pub uuid: String,
    /// "NVIDIA H100 80GB HBM3".
    pub name: String,
    /// Bytes of memory that no program uses.
    pub free: Option<u64>,
    /// The slices of a GPU that is divided.
    pub slices: Vec<ListedGpu>,
}

impl ListedGpu {
    /// What CUDA computes on: of a GPU that is divided, its first slice.
    fn computing(&self) -> &Self {
        self.slices.first().unwrap_or(self)
    }
}

/// The GPUs that CUDA counts, in its order. `variable` is CUDA_VISIBLE_DEVICES: numbers, UUIDs or unique beginnings of
/// UUIDs, between commas; the first that names no GPU ends the list, as it does for CUDA.
pub fn visible<'a>(variable: Option<&str>, all: &'a [ListedGpu]) -> Vec<&'a ListedGpu> {
    match variable {
        None => all.iter().map(ListedGpu::computing).collect(),
        Some(entries) => entries.split(',').map_while(|entry| named(entry.trim(), all)).collect(),
    }
}

fn named<'a>(entry: &str, all: &'a [ListedGpu]) -> Option<&'a ListedGpu> {
    if let Ok(number) = entry.parse::<usize>() {
        return all.get(number).map(ListedGpu::computing);
    }
    let has_kind = entry.starts_with("GPU-") || entry.starts_with("MIG-");
    let begins = |gpu: &&ListedGpu| has_kind && gpu.uuid.starts_with(entry);
    let mut found = all.iter().flat_map(|gpu| gpu.slices.iter().chain([gpu])).filter(begins);
    let first = found.next()?;
    found.next().is_none().then(|| first.computing())
}

/// A UUID as NVML writes it, without "GPU-" or "MIG-".
pub fn uuid_text(bytes: [u8; 16]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..4], &digits[4..6], &digits[6..8], &digits[8..10], &digits[10..]].map(<[String]>::concat).join("-")
}

/// The GPU or slice of a UUID without its kind.
pub fn of_uuid<'a>(uuid: &str, all: &'a [ListedGpu]) -> Option<&'a ListedGpu> {
    all.iter().flat_map(|gpu| gpu.slices.iter().chain([gpu])).find(|gpu| gpu.uuid.get(4..) == Some(uuid))
}

/// The number of the GPU with the most free memory, the first of several; the first GPU if nothing is known.
pub fn most_free(free: impl IntoIterator<Item = Option<u64>>) -> usize {
    let known = free.into_iter().enumerate().filter_map(|(number, free)| Some((number, free?)));
    known.min_by_key(|(number, free)| (std::cmp::Reverse(*free), *number)).map_or(0, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str, name: &str, slices: Vec<ListedGpu>) -> ListedGpu {
        ListedGpu { uuid: uuid.to_owned(), name: name.to_owned(), free: None, slices }
    }

    /// Two whole GPUs, and one in two slices.
    fn machine() -> Vec<ListedGpu> {
        let slices = vec![
            gpu("MIG-11ab0000-aaaa-4106-c12f-20bd9faed9f6", "A100 MIG 1g.10gb", Vec::new()),
            gpu("MIG-11cd0000-aaaa-4106-c12f-20bd9faed9f6", "A100 MIG 3g.40gb", Vec::new()),
        ];
        vec![
            gpu("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "H100", Vec::new()),
            gpu("GPU-8932aaaa-d72c-4106-c12f-20bd9faed9f6", "H200", Vec::new()),
            gpu("GPU-0f000000-d72c-4106-c12f-20bd9faed9f6", "A100", slices),
        ]
    }

    fn names(variable: Option<&str>) -> Vec<String> {
        visible(variable, &machine()).into_iter().map(|gpu| gpu.name.clone()).collect()
    }

    #[test]
    fn all_gpus_are_visible_where_nothing_is_said_and_none_where_nothing_is_listed() {
        assert_eq!(names(None), ["H100", "H200", "A100 MIG 1g.10gb"]);
        assert!(names(Some("")).is_empty());
        assert!(names(Some("-1")).is_empty());
    }

    #[test]
    fn numbers_and_uuids_choose_and_order() {
        assert_eq!(names(Some("1, 0")), ["H200", "H100"]);
        assert_eq!(names(Some("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6")), ["H100"]);
        assert_eq!(names(Some("GPU-8932f937,GPU-8932a")), ["H100", "H200"]);
    }

    #[test]
    fn slices_are_named_by_their_own_uuids_whole_or_short() {
        assert_eq!(names(Some("MIG-11cd0000-aaaa-4106-c12f-20bd9faed9f6")), ["A100 MIG 3g.40gb"]);
        assert_eq!(names(Some("MIG-11cd")), ["A100 MIG 3g.40gb"]);
        assert_eq!(names(Some("2")), ["A100 MIG 1g.10gb"]);
        assert_eq!(names(Some("GPU-0f")), ["A100 MIG 1g.10gb"]);
    }

    #[test]
    fn the_first_entry_that_names_no_gpu_or_several_ends_the_list() {
        assert_eq!(names(Some("0,7,1")), ["H100"]);
        assert_eq!(names(Some("0,GPU-8932,1")), ["H100"], "two GPUs begin with GPU-8932");
        assert_eq!(names(Some("1,8932f937")), ["H200"], "a UUID says its kind");
    }

    #[test]
    fn uuids_of_the_driver_are_those_of_nvml() {
        let bytes = [0x89, 0x32, 0xf9, 0x37, 0xd7, 0x2c, 0x41, 0x06, 0xc1, 0x2f, 0x20, 0xbd, 0x9f, 0xae, 0xd9, 0xf6];
        let machine = machine();
        assert_eq!(uuid_text(bytes), "8932f937-d72c-4106-c12f-20bd9faed9f6");
        assert_eq!(of_uuid(&uuid_text(bytes), &machine).unwrap().name, "H100");
        let slice = of_uuid("11cd0000-aaaa-4106-c12f-20bd9faed9f6", &machine);
        assert_eq!(slice.unwrap().name, "A100 MIG 3g.40gb");
        assert_eq!(of_uuid("11cd0000", &machine), None);
    }

    #[test]
    fn the_gpu_with_the_most_free_memory_is_chosen() {
        assert_eq!(most_free([Some(10), Some(30), Some(20)]), 1);
        assert_eq!(most_free([Some(10), Some(10)]), 0);
        assert_eq!(most_free([None, Some(1)]), 1);
        assert_eq!(most_free([None, None]), 0);
        assert_eq!(most_free([]), 0);
    }
}
