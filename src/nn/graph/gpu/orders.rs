//! What a launch of the kernel is given; laid out as `optimiser.cu` says.

/// A step's learning rate.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Rate {
    /// Of Adam α/(1 − β₁ᵗ), else α.
    pub rate: f32,
    /// 1/(1 − β₂ᵗ).
    pub unbiased: f32,
}

/// Orders of so many steps. Addresses are numbers: on the GPU or on the host.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Orders {
    pub seed: [u32; 2],
    pub stream: [u32; 2],
    pub step: [u32; 2],
    pub steps: i32,
    pub batch: i32,
    pub decay: [f32; 2],
    pub fresh: [f32; 2],
    pub clip: f32,
    pub rates: u64,
    pub transposed: u64,
    pub weights: u64,
    pub first: u64,
    pub second: u64,
    pub partials: u64,
    pub gradients: u64,
    pub squares: u64,
    pub losses: u64,
    pub scratch: u64,
    pub tokens: u64,
    pub targets: u64,
    pub barrier: u64,
}

impl Orders {
    /// The batch of a key's step, the first of those that follow: (seed, stream, step).
    pub fn new([seed, stream, step]: [u64; 3], batch: usize) -> Self {
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        Self { seed: halves(seed), stream: halves(stream), step: halves(step), batch: batch as i32, ..Self::default() }
    }
}
