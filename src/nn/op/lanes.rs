//! A batch regrouped so that the processor's vector units work on many sequences at once.
//!
//! Sixteen sequences are a block; within a block the same number of all sixteen stands side by side. Every arithmetic
//! operation is then one loop over sixteen independent lanes, which compilers turn into vector instructions of any
//! width without changing a single bit of the result, whatever d is.

/// Sequences in a block.
pub const LANES: usize = 16;

/// One number of each sequence in a block.
pub type Lane = [f32; LANES];

pub const ZERO: Lane = [0.0; LANES];

/// Gathers a block of rows, each of `width` numbers, into lanes: `width` lanes. Missing sequences are zero.
pub fn gather(rows: &[f32], width: usize) -> Vec<Lane> {
    let mut lanes = vec![ZERO; width];
    for (l, row) in rows.chunks(width).enumerate() {
        for (lane, value) in lanes.iter_mut().zip(row) {
            lane[l] = *value;
        }
    }
    lanes
}

/// Writes lanes back as rows, adding to what is there.
pub fn scatter_add(lanes: &[Lane], rows: &mut [f32]) {
    for (l, row) in rows.chunks_mut(lanes.len()).enumerate() {
        for (value, lane) in row.iter_mut().zip(lanes) {
            *value += lane[l];
        }
    }
}

/// Sum over a lane, always in the same order.
pub fn total(lane: &Lane) -> f32 {
    lane.iter().sum()
}

/// a += k · b.
#[inline(always)]
pub fn add_scaled(a: &mut Lane, k: f32, b: &Lane) {
    for l in 0..LANES {
        a[l] += k * b[l];
    }
}

/// a += b · c.
#[inline(always)]
pub fn add_product(a: &mut Lane, b: &Lane, c: &Lane) {
    for l in 0..LANES {
        a[l] += b[l] * c[l];
    }
}
