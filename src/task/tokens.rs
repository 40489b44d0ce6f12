//! How the pairs of a context and the query become tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Batch, Shape};

/// A way to write (x₁,y₁,…,x_N,y_N,x_q) as a sequence of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// x₁, y₁, x₂, y₂, …, x_q: 2N+1 tokens of width d; a narrower y sits in the last coordinates of a zero vector.
    Interleaved,
    /// `[x₁;y₁], …, [x_N;y_N], [x_q;0]`: N+1 tokens of width d + d_out.
    Joined,
}

/// What one token holds; numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Input(usize),
    Target(usize),
    Pair(usize),
    Query,
}

impl fmt::Display for Token {
    /// In the words of the subject: x₃, y₃, (x₃, y₃), x_q.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(i) => write!(f, "x{}", subscript(*i)),
            Self::Target(i) => write!(f, "y{}", subscript(*i)),
            Self::Pair(i) => write!(f, "(x{0}, y{0})", subscript(*i)),
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
            Self::Interleaved => 2 * shape.context + 1,
            Self::Joined => shape.context + 1,
        }
    }

    /// Width of a token.
    pub fn width(self, shape: Shape) -> usize {
        match self {
            Self::Interleaved => shape.dim,
            Self::Joined => shape.dim + shape.outputs,
        }
    }

    /// What the token at a place (from 0) holds.
    pub fn token(self, shape: Shape, place: usize) -> Token {
        match self {
            _ if place + 1 >= self.tokens(shape) => Token::Query,
            Self::Interleaved if place.is_multiple_of(2) => Token::Input(place / 2 + 1),
            Self::Interleaved => Token::Target(place / 2 + 1),
            Self::Joined => Token::Pair(place + 1),
        }
    }

    /// Pairs that are complete once this many tokens have been read.
    pub fn pairs_read(self, shape: Shape, tokens: usize) -> usize {
        match self {
            Self::Interleaved => (tokens / 2).min(shape.context),
            Self::Joined => tokens.min(shape.context),
        }
    }

    /// The place (from 0) of the query's token.
    pub fn query_place(self, shape: Shape) -> usize {
        self.tokens(shape) - 1
    }

    /// Where x and y of pair i (from 0) begin in a sequence of (tokens, width), row-major.
    fn pair_offsets(self, shape: Shape, i: usize) -> (usize, usize) {
        let width = self.width(shape);
        match self {
            Self::Interleaved => (2 * i * width, (2 * i + 2) * width - shape.outputs),
            Self::Joined => (i * width, i * width + shape.dim),
        }
    }

    /// Writes a batch as tokens: (B, tokens, width), row-major.
    pub fn encode(self, batch: &Batch) -> Vec<f32> {
        let Shape { dim, outputs, context } = batch.shape;
        let length = self.tokens(batch.shape) * self.width(batch.shape);
        let query_at = self.query_place(batch.shape) * self.width(batch.shape);
        let mut tokens = vec![0.0; batch.size * length];
        for (b, sequence) in tokens.chunks_mut(length).enumerate() {
            for i in 0..context {
                let (x_at, y_at) = self.pair_offsets(batch.shape, i);
                sequence[x_at..][..dim].copy_from_slice(&batch.x[(b * context + i) * dim..][..dim]);
                sequence[y_at..][..outputs].copy_from_slice(&batch.y[(b * context + i) * outputs..][..outputs]);
            }
            sequence[query_at..][..dim].copy_from_slice(&batch.query[b * dim..][..dim]);
        }
        tokens
    }

    /// Picks the part of a gradient by the tokens, (B, tokens, width), that belongs to the queries: (B, d).
    pub fn query_part(self, shape: Shape, gradient: &[f32]) -> Vec<f32> {
        let length = self.tokens(shape) * self.width(shape);
        let query_at = self.query_place(shape) * self.width(shape);
        let parts: Vec<&[f32]> = gradient.chunks(length).map(|sequence| &sequence[query_at..][..shape.dim]).collect();
        parts.concat()
    }
}
