//! One number of each of sixteen sequences, and arithmetic on it.
//!
//! Every operation is a loop over sixteen independent lanes, which the compiler turns into vector instructions of
//! whatever width the processor has, without changing a single bit of the result. A loop around lanes calls
//! [`lanewise`] in each turn.

/// Sequences in a block.
pub const LANES: usize = 16;

/// One number of each sequence in a block.
pub type Lane = [f32; LANES];

pub const ZERO: Lane = [0.0; LANES];

/// A number of each sequence. As `std::array::from_fn`, but never a call.
#[inline(always)]
pub fn each<X: Copy + Default>(number: impl Fn(usize) -> X) -> [X; LANES] {
    let mut lane = [X::default(); LANES];
    for (l, value) in lane.iter_mut().enumerate() {
        *value = number(l);
    }
    lane
}

/// Has the compiler vectorise over the lanes, and not over the loop in which this is called.
///
/// LLVM unrolls sixteen lanes first and then finds the loop around them, which it turns into gathers and scatters
/// sixteen numbers apart: seven times slower in the window scan. It leaves a loop alone that holds something it
/// cannot see through; the straight code of sixteen lanes then becomes one or two vector instructions, if all lanes
/// are read before one is written (`*a = each(|l| …)`), so that the compiler need not prove that they do not overlap.
#[inline(always)]
pub fn lanewise() {
    std::hint::black_box(());
}

/// Cuts lanes into parts of these sizes, one after the other.
pub fn split<const PARTS: usize>(mut lanes: &[Lane], sizes: [usize; PARTS]) -> [&[Lane]; PARTS] {
    sizes.map(|size| {
        let (part, rest) = lanes.split_at(size);
        lanes = rest;
        part
    })
}

/// The same, to be written.
pub fn split_mut<const PARTS: usize>(mut lanes: &mut [Lane], sizes: [usize; PARTS]) -> [&mut [Lane]; PARTS] {
    sizes.map(|size| {
        let (part, rest) = std::mem::take(&mut lanes).split_at_mut(size);
        lanes = rest;
        part
    })
}

/// Σ a · b over all entries and all lanes, always in the same order.
#[inline(always)]
pub fn inner(a: &[Lane], b: &[Lane]) -> f32 {
    let mut sum = ZERO;
    a.iter().zip(b).for_each(|(a, b)| add_product(&mut sum, a, b));
    total(&sum)
}

/// Σ a · b over two rows of numbers, in sixteen sums side by side; always in the same order.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((lanes_a, a), (lanes_b, b)) = (a.as_chunks(), b.as_chunks());
    inner(lanes_a, lanes_b) + a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>()
}

/// The sum of all lanes, always in the same order: halves are added to each other until one number is left.
#[inline(always)]
pub fn total(lane: &Lane) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|l| lane[l] + lane[l + 8]);
    let four: [f32; 4] = std::array::from_fn(|l| eight[l] + eight[l + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// a += k · b.
#[inline(always)]
pub fn add_scaled(a: &mut Lane, k: f32, b: &Lane) {
    lanewise();
    *a = each(|l| a[l] + k * b[l]);
}

/// a += b · c.
#[inline(always)]
pub fn add_product(a: &mut Lane, b: &Lane, c: &Lane) {
    lanewise();
    *a = each(|l| a[l] + b[l] * c[l]);
}

/// M += Σ_t a_t b_tᵀ, for a matrix M of rows as wide as b_t is.
#[inline(always)]
pub fn add_outer(a: &[Lane], b: &[Lane], (rows, columns): (usize, usize), matrix: &mut [Lane]) {
    for (a, b) in a.chunks_exact(rows).zip(b.chunks_exact(columns)) {
        for (a, row) in a.iter().zip(matrix.chunks_exact_mut(columns)) {
            for (b, sum) in b.iter().zip(row) {
                add_product(sum, a, b);
            }
        }
    }
}

/// out_t += Mᵀ a_t for every a_t, with a square matrix M of this width.
#[inline(always)]
pub fn add_transposed_times(matrix: &[Lane], width: usize, a: &[Lane], out: &mut [Lane]) {
    for (a, out) in a.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for (a, row) in a.iter().zip(matrix.chunks_exact(width)) {
            for (m, out) in row.iter().zip(&mut *out) {
                add_product(out, a, m);
            }
        }
    }
}

/// out_t += M a_t for every a_t, with a square matrix M of this width.
#[inline(always)]
pub fn add_times(matrix: &[Lane], width: usize, a: &[Lane], out: &mut [Lane]) {
    for (a, out) in a.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        for (out, row) in out.iter_mut().zip(matrix.chunks_exact(width)) {
            let mut sum = *out;
            for (m, a) in row.iter().zip(a) {
                add_product(&mut sum, a, m);
            }
            *out = sum;
        }
    }
}

/// a + b.
#[inline(always)]
pub fn plus(a: &Lane, b: &Lane) -> Lane {
    std::array::from_fn(|l| a[l] + b[l])
}

/// a + k · b.
#[inline(always)]
pub fn plus_scaled(a: &Lane, k: f32, b: &Lane) -> Lane {
    each(|l| a[l] + k * b[l])
}

/// a + b · c.
#[inline(always)]
pub fn plus_product(a: &Lane, b: &Lane, c: &Lane) -> Lane {
    each(|l| a[l] + b[l] * c[l])
}

/// Σ a · b, lane by lane.
#[inline(always)]
pub fn dot_lanes(a: &[Lane], b: &[Lane]) -> Lane {
    let mut sum = ZERO;
    for (a, b) in a.iter().zip(b) {
        lanewise();
        sum = plus_product(&sum, a, b);
    }
    sum
}

/// b · c.
#[inline(always)]
pub fn product(b: &Lane, c: &Lane) -> Lane {
    each(|l| b[l] * c[l])
}
