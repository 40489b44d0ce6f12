//! A gated state-space model of a grid of cells, read at the query's cell in the middle.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | e_ij = [x; y] | token of a cell, [x_q; 0] of the query's | (w), w = d + d_out |
//! | `write_y` By, `write_x` Bx | input matrices: u_ij = (e_ij By) ⊙ (e_ij Bx) | (w, n), n = d_out · d |
//! | `Λ→`, `Λ←` | decay per cell, from cells before and after the query's | (1, n) each |
//! | `Λ↓`, `Λ↑` | decay per row, from rows above and below, of a scan along both axes | (1, n) each |
//! | `read` C | output matrix, whose result is read as (d_out, d) | (n, n) |
//! | `pick` D | projection of the query's token | (w, d) |
//!
//! ŷ = (S C) (e_q D) with S = Σ_ij λ_ij ⊙ u_ij. With Λ = 1 and weights that select y and x, S is Σ y xᵀ and ŷ one
//! step of gradient descent; the decays weigh each cell in it. They differ by [`ScanOrder`]:
//!
//! - along both axes λ_ij = Λ↕^|i − q| ⊙ Λ↔^|j − q|, the arrows by the side on which the cell lies. It is the sum of
//!   four recurrences h_ij = a h_{i−1,j} + b h_{i,j−1} − a b h_{i−1,j−1} + u_ij, one from each corner, and is computed
//!   as scans of every row, and one scan of their results;
//! - in raster order, row by row, both ways, λ_ij = Λ^k with k the tokens between: a cell above the query's is
//!   `columns` of them away, a cell beside it one.
//!
//! Sources: multidimensional recurrent networks, Graves et al. 2007 (0705.2011); separable state-space models of
//! images, S4ND (2210.06583) and 2-D SSM (2306.06635); decay by the distance along both axes, RMT (2309.11523). Here
//! one layer whose Λ do not depend on the token, as in [`super::gd_ssm`].

use anyhow::{Result, ensure};
use dfdx::prelude::{HasShape, Tape};
use serde::{Deserialize, Serialize};

use super::{Architecture, Configured, LinearBlock, Setting};
use crate::bounds;
use crate::nn::cost::matvec;
use crate::nn::graph::Sequence;
use crate::nn::layer::init::{normal, uniform};
use crate::nn::weights::{weight, weights};
use crate::nn::{Cost, Costs, Device, LayerStates, Net, Param, StateAt, Tensor3};
use crate::task::{Layout, Shape};

/// A state-space model of a grid in a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSsmSpec {
    pub scan: ScanOrder,
}

/// The order in which cells are read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ScanOrder {
    /// As one sequence, row by row, from both ends to the query.
    Raster,
    /// Along rows and along columns, from all four sides.
    Axes {
        #[serde(deserialize_with = "bounds::side")]
        rows: usize,
        #[serde(deserialize_with = "bounds::side")]
        columns: usize,
    },
}

impl Architecture for GridSsmSpec {
    type Net<D: Device> = GridSsm<D>;

    fn check(&self, shape: Shape, layout: Layout) -> Result<()> {
        let fits = layout == Layout::QueryMiddle;
        ensure!(
            fits,
            "layout: GridSsm reads the query in the middle of its cells, so it needs QueryMiddle, not {layout:?}"
        );
        if let ScanOrder::Axes { rows, columns } = self.scan {
            let cells = layout.tokens(shape);
            ensure!(rows * columns == cells, "model.scan: {rows} × {columns} are not {cells}, the cells of the task");
            ensure!(
                rows % 2 == 1 && columns % 2 == 1,
                "model.scan: rows and columns must be odd, with a cell in the middle"
            );
        }
        Ok(())
    }

    /// Both factors of u and u of every token, its parts in the order of the scans, and the readout.
    fn activations(&self, shape: Shape, layout: Layout) -> u128 {
        let n = (shape.outputs * shape.dim) as u128;
        8 * n * layout.tokens(shape) as u128 + 8 * n
    }

    /// By, Bx, C and D. The answer has powers of the decays.
    fn linear_blocks(&self) -> Vec<LinearBlock> {
        let factor =
            |weight: &str, scale: &str| LinearBlock::Factor { weight: weight.to_owned(), scale: scale.to_owned() };
        vec![factor("By", "C"), factor("Bx", "C"), factor("C", "D"), factor("D", "C")]
    }

    /// u and its sum; for the answer S C, e D and their product. What comes after the query is read towards it, so a
    /// new token restarts that way: there is no step form.
    fn costs(&self, shape: Shape, layout: Layout, tokens: usize) -> Costs {
        let (n, width) = (shape.outputs * shape.dim, layout.width(shape));
        let flops = 2 * matvec(width, n) + 3 * n + matvec(n, n) + matvec(width, shape.dim) + 2 * n;
        Costs { step: None, whole: Some(Cost::new(tokens * n, flops)) }
    }

    /// Cells have places, so none can be left out.
    fn reads(&self, pairs: usize, context: usize) -> bool {
        pairs == context
    }
}

weights! {
    /// The network.
    pub struct GridSsm<D>(config: Configured<GridSsmSpec>) {
        let Configured { spec: GridSsmSpec { scan }, setting: Setting { shape, layout, .. } } = config;
        let (n, w) = (shape.outputs * shape.dim, layout.width(shape));
        let std = (1.0 / w as f32).sqrt();
        let both_axes = matches!(scan, ScanOrder::Axes { .. });
        let along = |symbols| AxisConfig { symbols, n };
        weights {
            write_y: Param<D> = weight("By", (w, n), normal(std)),
            write_x: Param<D> = weight("Bx", (w, n), normal(std)),
            along: Axis<D> = along(["Λ→", "Λ←"]),
            across: Option<Axis<D>> = both_axes.then_some(along(["Λ↓", "Λ↑"])),
            read: Param<D> = weight("C", (n, n), normal(0.1 / n as f32)),
            pick: Param<D> = weight("D", (w, shape.dim), normal(std)),
        }
        constants {
            scan: ScanOrder = scan,
            shape: Shape = shape,
            /// The position of the query's cell among the tokens.
            query: usize = layout.query_place(shape),
        }
    }
}

/// What an axis is built from.
struct AxisConfig {
    /// Of the decays from before and after the middle.
    symbols: [&'static str; 2],
    n: usize,
}

weights! {
    /// The decays of both directions along an axis.
    struct Axis<D>(config: AxisConfig) {
        let AxisConfig { symbols: [before, after], n } = config;
        weights {
            before: Param<D> = weight(before, (1, n), uniform(0.5, 0.9)),
            after: Param<D> = weight(after, (1, n), uniform(0.5, 0.9)),
        }
    }
}

impl<D: Device> Axis<D> {
    /// Σ_t λ^|t − middle| ⊙ v_t, one token, by a scan from each end.
    fn gather<'p, T: Tape<f32, D>>(&self, tokens: Sequence<'p, D, T>, middle: usize) -> Sequence<'p, D, T> {
        let length = tokens.length();
        let mut sum = tokens.slice(middle..middle + 1);
        if middle > 0 {
            let before = tokens.slice(0..middle).decay_scan(self.before.taped());
            sum = sum.plus(before.times_row(self.before.taped()));
        }
        if middle + 1 < length {
            let after = tokens.slice(middle + 1..length).reverse().decay_scan(self.after.taped());
            sum = sum.plus(after.times_row(self.after.taped()));
        }
        sum
    }

    /// The same of tokens that are sequences of their own.
    fn gather_all<'p, T: Tape<f32, D>>(&self, tokens: &[Sequence<'p, D, T>]) -> Option<Sequence<'p, D, T>> {
        let (before, rest) = tokens.split_at(tokens.len() / 2);
        let (middle, after) = rest.split_first()?;
        let scan = |decay: &Param<D>, far: Sequence<'p, D, T>, near: &Sequence<'p, D, T>| {
            near.plus(far.times_row(decay.taped()))
        };
        let scanned = |decay: &Param<D>, sum: Sequence<'p, D, T>, tokens: Vec<&Sequence<'p, D, T>>| {
            let all = tokens.into_iter().copied().reduce(|far, near| scan(decay, far, &near));
            all.map_or(sum, |far| scan(decay, far, &sum))
        };
        let sum = scanned(&self.before, *middle, before.iter().collect());
        Some(scanned(&self.after, sum, after.iter().rev().collect()))
    }

    /// λ^|offset|, (n).
    fn power(&self, offset: isize) -> Vec<f32> {
        let decay = if offset < 0 { &self.before } else { &self.after };
        decay.value.as_vec().into_iter().map(|decay| decay.powi(offset.unsigned_abs() as i32)).collect()
    }
}

impl<D: Device> GridSsm<D> {
    /// λ of the cell at this place, (n): the definition.
    fn decay(&self, place: usize) -> Vec<f32> {
        let offset = |place: usize, middle: usize| place as isize - middle as isize;
        match (self.scan, &self.across) {
            (ScanOrder::Axes { columns, .. }, Some(across)) => {
                let of_row = across.power(offset(place / columns, self.query / columns));
                let of_column = self.along.power(offset(place % columns, self.query % columns));
                of_row.into_iter().zip(of_column).map(|(row, column)| row * column).collect()
            }
            (ScanOrder::Axes { .. } | ScanOrder::Raster, _) => self.along.power(offset(place, self.query)),
        }
    }

    /// The definition: Σ λ ⊙ u over the first 1, 2, … cells of one sequence, (n) each.
    fn define(&self, sequence: &[f32], width: usize) -> Vec<Vec<f32>> {
        let [write_y, write_x] = [&self.write_y, &self.write_x].map(|weight| weight.value.as_vec());
        let n = write_y.len() / width;
        let project = |token: &[f32], weight: &[f32], k: usize| -> f32 {
            token.iter().enumerate().map(|(i, e)| e * weight[i * n + k]).sum()
        };
        let mut state = vec![0.0; n];
        let after = |(place, token): (usize, &[f32])| {
            for (k, (s, decay)) in state.iter_mut().zip(self.decay(place)).enumerate() {
                *s += decay * project(token, &write_y, k) * project(token, &write_x, k);
            }
            state.clone()
        };
        sequence.chunks(width).enumerate().map(after).collect()
    }

    /// What a state makes of an input: S C times the rows of D for x, (d_out, d).
    fn implied(&self, state: &[f32]) -> Vec<f32> {
        let (read, pick) = (self.read.value.as_vec(), self.pick.value.as_vec());
        let (n, dim) = (state.len(), self.shape.dim);
        let map = |k: usize| state.iter().enumerate().map(|(i, s)| s * read[i * n + k]).sum::<f32>();
        let entry =
            |output: usize, input: usize| (0..dim).map(|j| map(output * dim + j) * pick[input * dim + j]).sum::<f32>();
        (0..n).map(|k| entry(k / dim, k % dim)).collect()
    }
}

impl<D: Device> Net<D> for GridSsm<D> {
    fn record<'g, T: Tape<f32, D>>(&self, tokens: Sequence<'g, D, T>) -> Sequence<'g, D, T> {
        let u = tokens.project(self.write_y.taped()).times(tokens.project(self.write_x.taped()));
        let state = match (self.scan, &self.across) {
            (ScanOrder::Axes { rows, columns }, Some(across)) => {
                let row = |row: usize| self.along.gather(u.slice(row * columns..(row + 1) * columns), columns / 2);
                across.gather_all(&(0..rows).map(row).collect::<Vec<_>>()).unwrap_or(u)
            }
            (ScanOrder::Axes { .. } | ScanOrder::Raster, _) => self.along.gather(u, self.query),
        };
        let query = tokens.slice(self.query..self.query + 1).project(self.pick.taped());
        state.project(self.read.taped()).times_vector(query)
    }

    /// S from the first cells on, row by row, and the weights that it implies for a query.
    fn states(&self, tokens: &Tensor3<D>) -> Vec<LayerStates> {
        let Shape { dim, outputs, .. } = self.shape;
        let (_, length, width) = *tokens.shape();
        let sequences: Vec<_> =
            tokens.as_vec().chunks(length * width).map(|sequence| self.define(sequence, width)).collect();
        let time_steps = StateAt::of_histories(&sequences, |t| t + 1, |state| self.implied(state));
        vec![LayerStates::of_maps("state S", (outputs, dim), time_steps)]
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Cpu, TensorFromVec};

    use super::super::tests::{answers, build};
    use super::*;
    use crate::nn::check::{Random, assert_close};

    const AXES: ScanOrder = ScanOrder::Axes { rows: 3, columns: 5 };
    const SHAPE: Shape = Shape { dim: 2, outputs: 2, context: 14 };

    #[test]
    fn the_forward_pass_equals_the_definition() {
        for scan in [ScanOrder::Raster, AXES] {
            let (net, device) = (build(&GridSsmSpec { scan }, SHAPE, Layout::QueryMiddle), Cpu::default());
            let mut sequence = Random::new(9).tensor3(&device, (1, 15, 4)).as_vec();
            sequence[30..32].fill(0.0); // the y of the query's token
            let map = net.implied(net.define(&sequence, 4).last().unwrap());
            let expected: Vec<f32> = map.chunks(2).map(|row| row[0] * sequence[28] + row[1] * sequence[29]).collect();
            let tokens = device.tensor_from_vec(sequence, (1, 15, 4));
            assert_close(&answers(&net, tokens), &expected, 1e-5);
        }
    }

    /// h of the corner of a part of the grid that ends at its last cell.
    fn corner(u: impl Fn(usize, usize) -> f32, (rows, columns): (usize, usize), [a, b]: [f32; 2]) -> f32 {
        let mut h = vec![vec![0.0; columns + 1]; rows + 1];
        for i in 0..rows {
            for j in 0..columns {
                h[i + 1][j + 1] = a * h[i][j + 1] + b * h[i + 1][j] - a * b * h[i][j] + u(i, j);
            }
        }
        h[rows][columns]
    }

    #[test]
    fn along_both_axes_it_is_a_recurrence_from_each_corner() {
        let shape = Shape { dim: 1, outputs: 1, ..SHAPE };
        let net = build(&GridSsmSpec { scan: AXES }, shape, Layout::QueryMiddle);
        let sequence = Random::new(3).tensor3(&Cpu::default(), (1, 15, 2)).as_vec();
        let [write_y, write_x] = [&net.write_y, &net.write_x].map(|weight| weight.value.as_vec());
        let u = |i: usize, j: usize| {
            let token = &sequence[2 * (5 * i + j)..][..2];
            let project = |weight: &[f32]| token[0] * weight[0] + token[1] * weight[1];
            project(&write_y) * project(&write_x)
        };
        let across = net.across.as_ref().unwrap();
        let [down, up, right, left] =
            [&across.before, &across.after, &net.along.before, &net.along.after].map(|decay| decay.value.as_vec()[0]);
        // The middle row and column belong to the parts that come from above and from the left.
        let sum = corner(u, (2, 3), [down, right])
            + left * corner(|i, j| u(i, 4 - j), (2, 2), [down, left])
            + up * corner(|i, j| u(2 - i, j), (1, 3), [up, right])
            + up * left * corner(|i, j| u(2 - i, 4 - j), (1, 2), [up, left]);
        assert_close(net.define(&sequence, 2).last().unwrap(), &[sum], 1e-5);
    }

    #[test]
    fn a_raster_scan_weighs_a_cell_above_as_one_so_many_tokens_away() {
        let shape = Shape { dim: 1, outputs: 1, ..SHAPE };
        let weight = |scan, place| build(&GridSsmSpec { scan }, shape, Layout::QueryMiddle).decay(place)[0];
        let (beside, above) = (weight(ScanOrder::Raster, 6), weight(ScanOrder::Raster, 2));
        assert!((above - beside.powi(5)).abs() < 1e-6);
        let net = build(&GridSsmSpec { scan: AXES }, shape, Layout::QueryMiddle);
        assert_eq!(net.decay(2), net.across.as_ref().unwrap().before.value.as_vec());
        assert_eq!(net.decay(7), [1.0]);
    }

    #[test]
    fn cells_and_layout_must_fit() {
        let refused = |scan, layout| GridSsmSpec { scan }.check(SHAPE, layout).unwrap_err().to_string();
        assert!(refused(ScanOrder::Raster, Layout::Joined).starts_with("layout: "));
        let wide = ScanOrder::Axes { rows: 5, columns: 5 };
        assert!(refused(wide, Layout::QueryMiddle).starts_with("model.scan: 5 × 5 are not 15"));
        assert!(GridSsmSpec { scan: AXES }.check(SHAPE, Layout::QueryMiddle).is_ok());
    }
}
