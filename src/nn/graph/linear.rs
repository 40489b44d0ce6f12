//! A graph that is linear in its tokens, run as one product with a matrix that is made from the weights alone.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | x | the tokens of a sequence, one after the other | (T·w) |
//! | y | the graph's result: y = x K | (m) |
//! | `matrix` K | | (T·w, m) |
//! | G | ∂K = Σ x ∂yᵀ over the batch | (T·w, m) |
//!
//! One layer of a linear recurrence that is read at the query is a convolution read at its last place, and K is its
//! kernel (S4 2111.00396, section 2.4). Here the steps make it, whatever they are: column o of K is what comes back
//! to the tokens of one sequence for ∂y = e_o. And since Σ ⟨∂y, P x⟩ over the batch is Σ_o ⟨e_o, P G_o⟩, the
//! gradients by the weights are those of the m sequences G_o, instead of those of the whole batch.
//!
//! So only m sequences go through the steps, often a single one. Sixteen lanes would do sixteen times the work for
//! one, so the steps have a form on one sequence for this: [`LinearStep`].

use std::ops::Range;

use super::{Node, Size, places};
use crate::nn::step::{AnyStep, Grads, LinearStep, NodeId, ParamId, Project, Step, TOKENS, Values};

/// A linear graph.
pub struct OneMatrix {
    nodes: Vec<Node>,
    /// Where the sequence of each node lies in memory.
    places: Vec<Range<usize>>,
}

impl OneMatrix {
    /// The graph in this form, if it is linear, and cheaper so for as many sequences. In operations: one sequence for
    /// each answer goes through the steps, and each of the batch is multiplied by the matrix; otherwise each of the
    /// batch goes through the steps. The way back costs twice as much either way.
    pub fn if_cheaper(nodes: &[Node], batch: usize) -> Option<Self> {
        let size = |node: Option<&Node>| node.map_or(0, |node| node.size.numbers());
        let (tokens, answers) = (size(nodes.first()), size(nodes.last()));
        let flops = flops(nodes)?;
        (answers * flops + batch * 2 * answers * tokens < batch * flops).then(|| Self::new(nodes))
    }

    pub fn new(nodes: &[Node]) -> Self {
        Self { nodes: nodes.to_vec(), places: places(nodes.iter().map(|node| node.size.numbers())) }
    }

    /// The graph that reads all tokens as one and multiplies them by this matrix.
    pub fn nodes(&self, matrix: ParamId) -> Vec<Node> {
        let sizes = (self.tokens(), self.answers().len());
        let step = AnyStep::from(Project { x: TOKENS, weight: matrix, bias: None, sizes });
        let size = |width| Size { length: 1, width };
        vec![Node { step: None, size: size(sizes.0) }, Node { step: Some(step), size: size(sizes.1) }]
    }

    /// Numbers of a sequence's tokens.
    fn tokens(&self) -> usize {
        self.places.first().map_or(0, Range::len)
    }

    fn answers(&self) -> Range<usize> {
        self.places.last().cloned().unwrap_or_default()
    }

    /// The steps, with where each writes.
    fn steps(&self) -> impl DoubleEndedIterator<Item = (&dyn LinearStep, &Range<usize>)> {
        let steps = self.nodes.iter().zip(&self.places);
        steps.filter_map(|(node, place)| Some((node.step.as_ref()?.linear()?, place)))
    }

    fn values<'a>(&'a self, params: &'a [Vec<f32>], memory: &'a [f32]) -> Values<'a, f32> {
        let tokens = &memory[..self.tokens()];
        Values { tokens, memory, places: &self.places, params, grad_target: None }
    }

    /// K; in `kept` the gradients by all sequences for each answer, which the way back reads again.
    pub fn forward(&self, params: &[Vec<f32>], kept: &mut Vec<Vec<f32>>) -> Vec<f32> {
        let answers = self.answers();
        let mut matrix = vec![0.0; self.tokens() * answers.len()];
        for (o, answer) in answers.clone().enumerate() {
            let mut grads = vec![0.0; answers.end];
            grads[answer] = 1.0;
            for (step, place) in self.steps().rev() {
                let (before, now) = grads.split_at_mut(place.start);
                let mut by = Grads { memory: before, places: &self.places, params: &mut [], sums: &mut [] };
                step.grad_x_one(params, &now[..place.len()], &mut by);
            }
            let column = matrix.iter_mut().skip(o).step_by(answers.len());
            column.zip(&grads).for_each(|(entry, grad)| *entry = *grad);
            kept.push(grads);
        }
        matrix
    }

    /// Adds the gradients by the weights, from G.
    pub fn backward(&self, params: &[Vec<f32>], kept: &[Vec<f32>], grad_matrix: &[f32], grads: &mut [Vec<f32>]) {
        let answers = self.answers();
        for (o, by) in kept.iter().enumerate() {
            let mut memory = vec![0.0; answers.end];
            let column = grad_matrix.iter().skip(o).step_by(answers.len());
            memory.iter_mut().zip(column).for_each(|(token, grad)| *token = *grad);
            for (step, place) in self.steps() {
                let (before, now) = memory.split_at_mut(place.start);
                step.forward_one(self.values(params, before), &mut now[..place.len()]);
            }
            for (step, place) in self.steps() {
                step.grad_weight_one(self.values(params, &memory), &by[place.clone()], grads);
            }
        }
    }
}

/// Operations of a linear graph on one sequence; `None` if it is not linear.
fn flops(nodes: &[Node]) -> Option<usize> {
    let numbers = |node: NodeId| nodes[node.0].size.numbers();
    let of = |node: &Node| match &node.step {
        None => Some(0),
        Some(step) => Some(step.linear()?.flops(&numbers, node.size.numbers())),
    };
    nodes.iter().map(of).sum()
}
