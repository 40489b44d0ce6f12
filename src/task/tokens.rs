//! How the pairs of a context and the query become tokens.

use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Batch, Shape};

/// The least number of tasks for which another thread encodes faster.
const TASKS_PER_THREAD: usize = 256;

/// The order in which (x₁,y₁,…,x_N,y_N,x_q) becomes a sequence of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// x₁, y₁, x₂, y₂, …, x_q: 2N+1 tokens of width d; a narrower y sits in the last coordinates of a zero vector.
    Interleaved,
    /// `[x₁;y₁], …, [x_N;y_N], [x_q;0]`: N+1 tokens of width d + d_out.
    Joined,
    /// `[y₁x₁ᵀ;x₂], …, [y_N x_Nᵀ;x_q]`: N tokens of width d_out·d + d, each product row-major. From the first version
    /// of the GD-SSM paper (2410.11687v1), which has d_out = 1.
    Product,
    /// x_q, x₁, y₁, …, x_N, y_N: as interleaved, but the query comes before the context.
    QueryFirst,
    /// `[x₁;y₁], …, [x_q;0], …, [x_N;y_N]`: as joined, but the query stands in the middle, after N/2 pairs (rounded
    /// down). Of the task `LinearGrid` the tokens are all cells, row by row.
    QueryMiddle,
}

/// The content of one token; pairs are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Input(usize),
    Target(usize),
    Pair(usize),
    /// y xᵀ of a pair, and the next input.
    Product(usize),
    /// y xᵀ of the last pair, and the query.
    LastProduct(usize),
    Query,
}

/// Offsets in a sequence (tokens, width), row-major: x_i and y_i (from 0) begin at `x + i · pair` and `y + i · pair`,
/// and x_q at `query`; all other entries are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    pub x: usize,
    pub y: usize,
    pub pair: usize,
    pub query: usize,
}

impl fmt::Display for Token {
    /// As in papers: x₃, y₃, (x₃, y₃), (y₃x₃, x₄), x_q.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(i) => write!(f, "x{}", subscript(*i)),
            Self::Target(i) => write!(f, "y{}", subscript(*i)),
            Self::Pair(i) => write!(f, "(x{0}, y{0})", subscript(*i)),
            Self::Product(i) => write!(f, "(y{0}x{0}, x{1})", subscript(*i), subscript(i + 1)),
            Self::LastProduct(i) => write!(f, "(y{0}x{0}, x_q)", subscript(*i)),
            Self::Query => f.write_str("x_q"),
        }
    }
}

fn subscript(number: usize) -> String {
    number.to_string().chars().filter_map(|c| char::from_u32(0x2080 + c.to_digit(10)?)).collect()
}

impl Layout {
    /// Tokens in a sequence.
    pub fn tokens(self, shape: Shape) -> usize {
        match self {
            Self::Interleaved | Self::QueryFirst => 2 * shape.context + 1,
            Self::Joined | Self::QueryMiddle => shape.context + 1,
            Self::Product => shape.context,
        }
    }

    /// Width of a token.
    pub fn width(self, shape: Shape) -> usize {
        match self {
            Self::Interleaved | Self::QueryFirst => shape.dim,
            Self::Joined | Self::QueryMiddle => shape.dim + shape.outputs,
            Self::Product => shape.outputs * shape.dim + shape.dim,
        }
    }

    /// The content of the token at this position (from 0).
    pub fn token(self, shape: Shape, place: usize) -> Token {
        let is_last = place + 1 >= self.tokens(shape);
        let query_last = !matches!(self, Self::QueryFirst | Self::QueryMiddle);
        let is_query = place == self.query_place(shape) || (is_last && query_last);
        match self {
            Self::Product if is_last => Token::LastProduct(shape.context),
            Self::Product => Token::Product(place + 1),
            Self::Interleaved | Self::Joined | Self::QueryFirst | Self::QueryMiddle if is_query => Token::Query,
            Self::Interleaved if place.is_multiple_of(2) => Token::Input(place / 2 + 1),
            Self::Interleaved => Token::Target(place / 2 + 1),
            Self::QueryFirst if place.is_multiple_of(2) => Token::Target((place / 2).min(shape.context)),
            Self::QueryFirst => Token::Input(place / 2 + 1),
            Self::Joined => Token::Pair(place + 1),
            Self::QueryMiddle => Token::Pair(place + usize::from(place < self.query_place(shape))),
        }
    }

    /// The pairs (from 0) of which all tokens are within this range of positions.
    pub fn pairs_in(self, shape: Shape, places: Range<usize>) -> Range<usize> {
        let (first, end) = match self {
            Self::Interleaved => (places.start.div_ceil(2), places.end / 2),
            Self::QueryFirst => (places.start / 2, places.end.saturating_sub(1) / 2),
            Self::Joined | Self::Product => (places.start, places.end),
            Self::QueryMiddle => {
                let pairs_before = |place: usize| place - usize::from(place > self.query_place(shape));
                (pairs_before(places.start), pairs_before(places.end))
            }
        };
        let end = end.min(shape.context);
        first.min(end)..end
    }

    /// The position (from 0) of the query's token, at which the answer is read.
    pub fn query_place(self, shape: Shape) -> usize {
        match self {
            Self::QueryFirst => 0,
            Self::QueryMiddle => shape.context / 2,
            Self::Interleaved | Self::Joined | Self::Product => self.tokens(shape) - 1,
        }
    }

    /// The offset of x_q in a sequence (tokens, width), row-major.
    fn query_offset(self, shape: Shape) -> usize {
        let within = if self == Self::Product { shape.outputs * shape.dim } else { 0 };
        self.query_place(shape) * self.width(shape) + within
    }

    /// The offsets of pairs and query. `None` where tokens hold products instead of x and y, and where pairs are not
    /// equally far apart.
    pub fn strides(self, shape: Shape) -> Option<Strides> {
        let (width, query) = (self.width(shape), self.query_offset(shape));
        match self {
            Self::Interleaved | Self::QueryFirst => {
                let x = if self == Self::QueryFirst { width } else { 0 };
                Some(Strides { x, y: x + 2 * width - shape.outputs, pair: 2 * width, query })
            }
            Self::Joined => Some(Strides { x: 0, y: shape.dim, pair: width, query }),
            Self::Product | Self::QueryMiddle => None,
        }
    }

    /// Whether [`write`](Self::write) sets every entry of a sequence, so that none has to be zeroed before.
    pub(super) fn fills_all(self, shape: Shape) -> bool {
        match self {
            Self::Interleaved | Self::QueryFirst => shape.outputs == shape.dim,
            Self::Joined | Self::QueryMiddle => false,
            Self::Product => true,
        }
    }

    /// Writes all pairs, x (N, d) and y (N, d_out), and the query, (d), into a sequence (tokens, width) of zeros. An
    /// entry is a number or a SIMD lane; `product` multiplies two.
    pub(super) fn write<X: Copy>(
        self,
        shape: Shape,
        (x, y, query): (&[X], &[X], &[X]),
        product: impl Fn(&X, &X) -> X,
        sequence: &mut [X],
    ) {
        let Shape { dim, outputs, .. } = shape;
        let (width, first) = (self.width(shape), usize::from(self == Self::QueryFirst));
        for (i, (x, y)) in x.chunks_exact(dim).zip(y.chunks_exact(outputs)).enumerate() {
            let mut write = |at: usize, values: &[X]| sequence[at..][..values.len()].copy_from_slice(values);
            match self {
                Self::Interleaved | Self::QueryFirst => {
                    write((2 * i + first) * width, x);
                    write((2 * i + first + 2) * width - outputs, y);
                }
                Self::Joined | Self::QueryMiddle => {
                    let place = i + usize::from(self == Self::QueryMiddle && i >= self.query_place(shape));
                    write(place * width, x);
                    write(place * width + dim, y);
                }
                Self::Product => {
                    if i > 0 {
                        write(i * width - dim, x);
                    }
                    for (row, y) in sequence[i * width..].chunks_exact_mut(dim).zip(y) {
                        row.iter_mut().zip(x).for_each(|(place, x)| *place = product(y, x));
                    }
                }
            }
        }
        sequence[self.query_offset(shape)..][..dim].copy_from_slice(query);
    }

    /// Writes a batch as tokens: (B, tokens, width), row-major.
    pub fn encode(self, batch: &Batch) -> Vec<f32> {
        let Shape { dim, outputs, context } = batch.shape;
        let length = self.tokens(batch.shape) * self.width(batch.shape);
        let mut tokens = vec![0.0; batch.size * length];
        tokens.par_chunks_mut(length).enumerate().with_min_len(TASKS_PER_THREAD).for_each(|(b, sequence)| {
            let (x, y) = (&batch.x[b * context * dim..], &batch.y[b * context * outputs..]);
            let pairs = (&x[..context * dim], &y[..context * outputs], &batch.query[b * dim..][..dim]);
            self.write(batch.shape, pairs, |y, x| y * x, sequence);
        });
        tokens
    }

    /// The queries' part (B, d) of a gradient by the tokens (B, tokens, width).
    pub fn query_part(self, shape: Shape, gradient: &[f32]) -> Vec<f32> {
        let length = self.tokens(shape) * self.width(shape);
        let query_at = self.query_offset(shape);
        let parts: Vec<&[f32]> = gradient.chunks(length).map(|sequence| &sequence[query_at..][..shape.dim]).collect();
        parts.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { dim: 2, outputs: 1, context: 2 };
    const LAYOUTS: [Layout; 5] =
        [Layout::Interleaved, Layout::Joined, Layout::Product, Layout::QueryFirst, Layout::QueryMiddle];

    /// Two tasks; the second is zero.
    fn batch() -> Batch {
        let mut batch = Batch::zeros(2, SHAPE);
        batch.x[..4].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
        batch.y[..2].copy_from_slice(&[5.0, 6.0]);
        batch.query[..2].copy_from_slice(&[7.0, 8.0]);
        batch
    }

    fn labels(layout: Layout) -> String {
        let names: Vec<_> = (0..layout.tokens(SHAPE)).map(|place| layout.token(SHAPE, place).to_string()).collect();
        names.join(" ")
    }

    #[test]
    fn tokens_are_in_the_order_of_their_labels() {
        let tokens = |layout: Layout| layout.encode(&batch())[..layout.tokens(SHAPE) * layout.width(SHAPE)].to_vec();
        assert_eq!(tokens(Layout::Interleaved), [1.0, 2.0, 0.0, 5.0, 3.0, 4.0, 0.0, 6.0, 7.0, 8.0]);
        assert_eq!(labels(Layout::Interleaved), "x₁ y₁ x₂ y₂ x_q");
        assert_eq!(tokens(Layout::Joined), [1.0, 2.0, 5.0, 3.0, 4.0, 6.0, 7.0, 8.0, 0.0]);
        assert_eq!(labels(Layout::Joined), "(x₁, y₁) (x₂, y₂) x_q");
        assert_eq!(tokens(Layout::Product), [5.0, 10.0, 3.0, 4.0, 18.0, 24.0, 7.0, 8.0]);
        assert_eq!(labels(Layout::Product), "(y₁x₁, x₂) (y₂x₂, x_q)");
        assert_eq!(tokens(Layout::QueryFirst), [7.0, 8.0, 1.0, 2.0, 0.0, 5.0, 3.0, 4.0, 0.0, 6.0]);
        assert_eq!(labels(Layout::QueryFirst), "x_q x₁ y₁ x₂ y₂");
        assert_eq!(tokens(Layout::QueryMiddle), [1.0, 2.0, 5.0, 7.0, 8.0, 0.0, 3.0, 4.0, 6.0]);
        assert_eq!(labels(Layout::QueryMiddle), "(x₁, y₁) x_q (x₂, y₂)");
    }

    #[test]
    fn strides_are_the_offsets_of_pairs_and_query() {
        let shape = Shape { dim: 3, outputs: 2, context: 4 };
        let count = |each: usize, first: f32| (0..each).map(|i| first + i as f32).collect();
        let (x, y, query) = (count(12, 1.0), count(8, 101.0), count(3, 201.0));
        let batch = Batch { x, y, query, ..Batch::zeros(1, shape) };
        for layout in LAYOUTS {
            let Some(strides) = layout.strides(shape) else {
                assert!(matches!(layout, Layout::Product | Layout::QueryMiddle));
                continue;
            };
            let mut tokens = vec![0.0; layout.tokens(shape) * layout.width(shape)];
            for i in 0..4 {
                tokens[strides.x + i * strides.pair..][..3].copy_from_slice(&batch.x[3 * i..][..3]);
                tokens[strides.y + i * strides.pair..][..2].copy_from_slice(&batch.y[2 * i..][..2]);
            }
            tokens[strides.query..][..3].copy_from_slice(&batch.query);
            assert_eq!(tokens, layout.encode(&batch), "{layout:?}");
        }
    }

    #[test]
    fn the_product_of_vectors_is_a_matrix_in_row_major_order() {
        let mut batch = Batch::zeros(1, Shape { dim: 2, outputs: 2, context: 1 });
        (batch.x, batch.y, batch.query) = (vec![1.0, 2.0], vec![3.0, 5.0], vec![7.0, 8.0]);
        assert_eq!(Layout::Product.encode(&batch), [3.0, 6.0, 5.0, 10.0, 7.0, 8.0]);
        assert_eq!(batch.accumulator(0, 0..1), [3.0, 6.0, 5.0, 10.0]);
    }

    #[test]
    fn query_part_returns_the_query() {
        for layout in LAYOUTS {
            let query = layout.query_part(SHAPE, &layout.encode(&batch()));
            assert_eq!(query, [7.0, 8.0, 0.0, 0.0], "{layout:?}");
            let at_query = layout.token(SHAPE, layout.query_place(SHAPE));
            assert!(matches!(at_query, Token::Query | Token::LastProduct(_)), "{layout:?}");
        }
    }

    #[test]
    fn pairs_in_contains_exactly_the_pairs_with_all_tokens_in_range() {
        // The pair (from 1) of each position, and 0 for the query.
        for layout in LAYOUTS {
            let tokens = layout.tokens(SHAPE);
            let pair = |place: usize| match layout.token(SHAPE, place) {
                Token::Input(i) | Token::Target(i) | Token::Pair(i) | Token::Product(i) | Token::LastProduct(i) => i,
                Token::Query => 0,
            };
            for start in 0..=tokens {
                for end in start..=tokens {
                    let within = |i: usize| {
                        let mut places = (0..tokens).filter(|place| pair(*place) == i);
                        places.all(|place| (start..end).contains(&place))
                    };
                    let expected: Vec<usize> = (0..2).filter(|i| within(i + 1)).collect();
                    let found: Vec<usize> = layout.pairs_in(SHAPE, start..end).collect();
                    assert_eq!(found, expected, "{layout:?} {start}..{end}");
                }
            }
        }
    }
}
