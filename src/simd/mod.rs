//! SIMD packing: arithmetic on sixteen sequences at once.
//!
//! A processor has vector instructions that do the same operation on 8 or 16 numbers at once. A model's matrices are
//! small and of any size (10 × 10, 3 × 3), which does not fit such vectors; but a batch has many sequences, and the
//! same is done to each. So sixteen sequences form a *block*, and in a block the same number of all sixteen lies side
//! by side in memory: a [`Lane`]. A batch in this order is *packed* ([`PackedBatch`]). Kernels are then written as if
//! for one sequence, with a `Lane` in the place of a number.
//!
//! Tasks are sampled in this order and training reads them in this order, so a batch is never rearranged on the way.

pub mod gemm;
mod lane;
pub mod math;
mod pack;
mod pool;

pub use lane::{
    LANES, Lane, ZERO, add_outer, add_product, add_scaled, add_times, add_transposed_times, dot, dot_lanes, each,
    inner, lanewise, plus, plus_product, plus_scaled, product, split, split_mut, total,
};
pub use pack::{PackedBatch, unpack, unpack_add};
pub use pool::{Buffer, release};
