//! The program of the state-space model of a grid.

use std::ops::Range;

use super::Builder;
use crate::nn::graph::gpu::program::{Kernel, NodeId, Size, WeightId};
use crate::nn::model::ScanOrder;
use crate::task::Shape;

impl Builder {
    /// Neighbouring tokens.
    fn part(&mut self, x: NodeId, tokens: Range<usize>) -> NodeId {
        let width = self.size(x).width;
        self.push(Kernel::Part { x, first: tokens.start * width, factor: 1.0 }, tokens.len(), width)
    }

    /// The tokens around one in the middle, each times its decay so many times: one token.
    fn gather(&mut self, x: NodeId, middle: usize, [before, after]: [WeightId; 2]) -> NodeId {
        let Size { length, width } = self.size(x);
        let mut sum = self.part(x, middle..middle + 1);
        for (tokens, decay, backwards) in [(0..middle, before, false), (middle + 1..length, after, true)] {
            if tokens.is_empty() {
                continue;
            }
            let mut side = self.part(x, tokens.clone());
            if backwards {
                side = self.push(Kernel::Reverse(side), tokens.len(), width);
            }
            let side = self.push(Kernel::DecayScan { x: side, decay }, 1, width);
            let side = self.push(Kernel::TimesRow(side, decay), 1, width);
            sum = self.plus(sum, side);
        }
        sum
    }

    /// The same of single tokens.
    fn gather_all(&mut self, tokens: &[NodeId], [before, after]: [WeightId; 2]) -> NodeId {
        let middle = tokens.len() / 2;
        let mut sum = tokens[middle];
        let sides = [tokens[..middle].to_vec(), tokens[middle + 1..].iter().rev().copied().collect()];
        for (side, decay) in sides.into_iter().zip([before, after]) {
            let mut far: Option<NodeId> = None;
            for near in side.into_iter().chain([sum]) {
                far = Some(far.map_or(near, |far| {
                    let faded = self.same(Kernel::TimesRow(far, decay), far);
                    self.plus(near, faded)
                }));
            }
            sum = far.unwrap_or(sum);
        }
        sum
    }

    pub(super) fn grid_ssm(&mut self, scan: ScanOrder, query: usize, shape: Shape) {
        let (states, width) = (shape.outputs * shape.dim, self.size(0).width);
        let [write_y, write_x] = [(); 2].map(|()| self.param(width, states));
        let along = [(); 2].map(|()| self.param(1, states));
        let [of_y, of_x] = [write_y, write_x].map(|weight| self.project(0, weight));
        let u = self.times(of_y, of_x);
        let state = match scan {
            ScanOrder::Raster => self.gather(u, query, along),
            ScanOrder::Axes { rows, columns } => {
                let across = [(); 2].map(|()| self.param(1, states));
                let mut gathered = Vec::new();
                for row in 0..rows {
                    let cells = self.part(u, row * columns..(row + 1) * columns);
                    gathered.push(self.gather(cells, columns / 2, along));
                }
                self.gather_all(&gathered, across)
            }
        };
        let (read, pick) = (self.param(states, states), self.param(width, shape.dim));
        let map = self.project(state, read);
        let asked = self.part(0, query..query + 1);
        let asked = self.project(asked, pick);
        self.push(Kernel::MatrixTimes([map, asked]), 1, shape.outputs);
    }
}
