//! Solving for the blocks of weights in which the answers are linear, in turn: alternating least squares.

use anyhow::{Result, ensure};
use nalgebra::DMatrix;

use super::{Context, Gathering, Work};
use crate::nn::model::{Architecture, Model};
use crate::nn::{Device, DeviceResult};
use crate::optim::{Block, BlockEquations, MOST_UNKNOWNS, NormalEquations};
use crate::preset::Preset;
use crate::task::{Objective, StreamKey};
use crate::train::batch::TrainBatch;

/// How each block is solved for: the fields of [`Optimiser::Solve`](crate::optim::Optimiser::Solve).
pub struct Plan {
    pub equations: usize,
    pub least_tasks: usize,
    pub ridge: f64,
}

/// The blocks, solved for in their order.
pub struct Blocks {
    blocks: Vec<Block>,
    plan: Plan,
}

impl Blocks {
    /// # Errors
    /// The model lacks a weight that it declares to be linear, or a block has too many unknowns.
    pub fn of<D: Device>(preset: &Preset, model: &Model<D>, plan: Plan) -> Result<Self> {
        let outputs = preset.task.shape().outputs;
        let blocks = preset.model.linear_blocks().into_iter().map(|block| Block::locate(block, model, outputs));
        let blocks: Vec<Block> = blocks.collect::<Result<_>>()?;
        for block in &blocks {
            let (unknowns, _) = Self::size(block, preset.task.objective());
            ensure!(
                unknowns <= MOST_UNKNOWNS,
                "train.optimiser: Solve would solve for {unknowns} unknowns of {} at once, with a matrix of their \
                 number squared: at most {MOST_UNKNOWNS}; make the model smaller, or give Adam",
                block.name()
            );
        }
        Ok(Self { blocks, plan })
    }

    /// The block that a step solves for.
    pub fn block(&self, step: u64) -> &Block {
        &self.blocks[(step % self.blocks.len() as u64) as usize]
    }

    /// Of a read-out each output of a task is an equation for unknowns of its own, elsewhere all are for the same ones.
    fn tasks(&self, block: &Block, outputs: usize) -> usize {
        let unknowns = block.unknowns() * block.sides();
        (self.plan.equations * unknowns).div_ceil(outputs).max(self.plan.least_tasks)
    }

    /// Unknowns and right-hand sides of a block's equations. The curvature of a cross-entropy couples the outputs.
    fn size(block: &Block, objective: Objective) -> (usize, usize) {
        match objective {
            Objective::SquaredError => (block.unknowns(), block.sides()),
            Objective::CrossEntropy => (block.unknowns() * block.sides(), 1),
        }
    }

    /// What a step computes.
    pub fn work(&self, step: u64, preset: &Preset) -> Work {
        let (block, outputs) = (self.block(step), preset.task.shape().outputs);
        let (tasks, (unknowns, sides)) = (self.tasks(block, outputs), Self::size(block, preset.task.objective()));
        Work { tasks, passes: block.passes(), equations: tasks * outputs / sides, unknowns }
    }

    pub fn begin<D: Device>(&self, key: StreamKey, context: &Context<'_, D>) -> Gathering {
        let block = self.block(key.step);
        let (unknowns, sides) = Self::size(block, context.objective);
        let tasks = self.tasks(block, context.outputs);
        Gathering::new(key, NormalEquations::new(unknowns, sides), tasks, context.sampler, context.outputs)
    }

    pub fn add<D: Device>(
        &self,
        gathering: &mut Gathering,
        model: &Model<D>,
        batch: &TrainBatch,
        context: &Context<'_, D>,
    ) -> DeviceResult<(), D> {
        let block = self.block(gathering.key.step);
        let answers_of = |net: &Model<D>| context.answers(net, batch);
        let BlockEquations { rows, offset } = block.equations(model, gathering.has_offset, &answers_of)?;
        gathering.has_offset = offset.is_some();
        let weights = block.weights(model)?;
        // (B, d_out), row-major.
        let mut answers: Vec<f64> = match block.sides() {
            1 if rows.ncols() == batch.target().len() => (rows.tr_mul(&weights)).iter().copied().collect(),
            _ => weights.tr_mul(&rows).iter().copied().collect(),
        };
        if let Some(offset) = offset {
            answers.iter_mut().zip(offset).for_each(|(answer, offset)| *answer += f64::from(offset));
        }
        let rounded: Vec<f32> = answers.iter().map(|answer| *answer as f32).collect();
        gathering.loss += context.loss(&rounded, batch);
        let equations = &mut gathering.equations;
        match context.objective {
            Objective::SquaredError => {
                let residuals = batch.target().iter().zip(&answers).map(|(y, answer)| f64::from(*y) - answer);
                equations.add(&rows, &DMatrix::from_row_iterator(rows.ncols(), equations.sides(), residuals));
            }
            Objective::CrossEntropy => {
                let rows = if block.sides() == 1 { rows } else { joint(&rows, block.sides()) };
                add_logistic(equations, &rows, &answers, batch.target(), context.outputs);
            }
        }
        Ok(())
    }

    /// Moves the block towards the solution.
    pub fn solve<D: Device>(
        &self,
        gathering: &Gathering,
        model: &mut Model<D>,
        context: &Context<'_, D>,
    ) -> DeviceResult<(), D> {
        let block = self.block(gathering.key.step);
        let weights = block.weights(model)?;
        let (unknowns, sides) = (gathering.equations.unknowns(), gathering.equations.sides());
        let arranged = reshaped(&weights, unknowns, sides);
        // Weights that no answer depends on stay as they are.
        match gathering.equations.ridge_change(self.plan.ridge, &arranged) {
            Some(change) => {
                let moved = arranged + change * context.lr;
                block.set(model, &reshaped(&moved, weights.nrows(), weights.ncols()))
            }
            None => Ok(()),
        }
    }
}

/// Adds equations of the cross-entropy at these logits, (B, d_out) row-major.
pub fn add_logistic(
    equations: &mut NormalEquations,
    rows: &DMatrix<f64>,
    logits: &[f64],
    target: &[f32],
    outputs: usize,
) {
    let probabilities: Vec<f64> = logits.chunks(outputs).flat_map(softmax).collect();
    let residuals = target.iter().zip(&probabilities).map(|(y, p)| f64::from(*y) - p);
    let residuals = DMatrix::from_iterator(target.len(), 1, residuals);
    equations.add_logistic(rows, &probabilities, &residuals, outputs);
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The same numbers, row by row, in another shape.
fn reshaped(matrix: &DMatrix<f64>, rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_row_iterator(rows, columns, matrix.transpose().iter().copied())
}

/// The equations of a read-out, (h, B), as those of all its weights at once, (h · d_out, B · d_out).
fn joint(rows: &DMatrix<f64>, outputs: usize) -> DMatrix<f64> {
    rows.kronecker(&DMatrix::identity(outputs, outputs))
}
