//! A block of weights in which a network's answers are linear, and the equations of a batch for it.
//!
//! Because the answers are affine in the block, their derivative by it does not depend on its values: it is found by
//! running the network with other values in their place. With an identity matrix in place of a read-out the answers are
//! the features that it reads; with a single 1 in place of a factor the answers are the derivative by that weight.

use anyhow::{Result, anyhow};
use dfdx::prelude::HasShape;
use nalgebra::DMatrix;

use crate::nn::model::LinearBlock;
use crate::nn::{Device, DeviceResult, Net, Param, numbers};

/// A block, located in a network.
#[derive(Clone, Debug)]
pub struct Block {
    form: LinearBlock,
    /// Of each of its weights: its index among the network's parameters, and its shape.
    params: Vec<(usize, (usize, usize))>,
    /// The index of the weight that takes a factor's norm.
    scale: Option<usize>,
    /// d_out.
    outputs: usize,
}

/// The answers of a network on a batch: (B, w), with as many numbers as the network's read-out has.
pub type Answers<'a, D, N> = &'a dyn Fn(&N) -> DeviceResult<Vec<f32>, D>;

/// The equations of a batch for a block.
pub struct BlockEquations {
    /// Jᵀ: the derivative of the answers by each unknown, (unknowns, n). Of a read-out, whose unknowns are the same for
    /// each output, n is B; else B · d_out.
    pub rows: DMatrix<f64>,
    /// What the answers would be if the block were zero, (B, d_out) row-major; `None`: nothing.
    pub offset: Option<Vec<f32>>,
}

impl Block {
    /// Finds a block in a network.
    ///
    /// # Errors
    /// The network has no weight of one of its names.
    pub fn locate<D: Device>(form: LinearBlock, net: &impl Net<D>, outputs: usize) -> Result<Self> {
        let params = net.params();
        let find = |name: &String| {
            let index = params.iter().position(|param| param.name == *name);
            index.ok_or_else(|| anyhow!("the model has no weight {name}, which its linear block names"))
        };
        let shaped = |name| find(name).map(|index| (index, *params[index].value.shape()));
        let located = form.weights().iter().map(shaped).collect::<Result<_>>()?;
        let scale = match &form {
            LinearBlock::Factor { scale, .. } => Some(find(scale)?),
            LinearBlock::ReadOut(_) | LinearBlock::ReadOutRows(_) => None,
        };
        Ok(Self { params: located, scale, form, outputs })
    }

    /// "Wo, bo".
    pub fn name(&self) -> String {
        self.form.name()
    }

    /// Right-hand sides of the equations: each output of a read-out has weights of its own.
    pub fn sides(&self) -> usize {
        match self.form {
            LinearBlock::ReadOut(_) | LinearBlock::ReadOutRows(_) => self.outputs,
            LinearBlock::Factor { .. } => 1,
        }
    }

    /// Unknown weights of each side.
    pub fn unknowns(&self) -> usize {
        let of_weight = |(_, (rows, columns)): &(usize, (usize, usize))| match self.form {
            LinearBlock::ReadOut(_) => *rows,
            LinearBlock::ReadOutRows(_) => *columns,
            LinearBlock::Factor { .. } => rows * columns,
        };
        self.params.iter().map(of_weight).sum()
    }

    /// Passes through the network that the equations of one task take.
    pub fn passes(&self) -> usize {
        match self.probes() {
            Probes::Widened => self.params.len(),
            Probes::Entries(many) => self.unknowns().div_ceil(many),
        }
    }

    fn probes(&self) -> Probes {
        match &self.form {
            LinearBlock::ReadOut(_) if self.params.iter().all(|(_, shape)| shape.1 == self.outputs) => Probes::Widened,
            LinearBlock::ReadOut(_) | LinearBlock::ReadOutRows(_) => Probes::Entries(self.outputs),
            LinearBlock::Factor { .. } => Probes::Entries(1),
        }
    }

    /// Where each unknown of each side is, (unknowns, sides) row-major: the number of the weight in this block, and the
    /// place in it.
    fn places(&self) -> Vec<(usize, usize)> {
        let of_weight = |(number, (_, (rows, columns))): (usize, &(usize, (usize, usize)))| {
            let (rows, columns, outputs) = (*rows, *columns, self.outputs);
            let places: Vec<usize> = match self.form {
                LinearBlock::ReadOut(_) => {
                    let row = |i: usize| (columns - outputs..columns).map(move |k| i * columns + k);
                    (0..rows).flat_map(row).collect()
                }
                LinearBlock::ReadOutRows(_) => {
                    let column = |i: usize| (rows - outputs..rows).map(move |k| k * columns + i);
                    (0..columns).flat_map(column).collect()
                }
                LinearBlock::Factor { .. } => (0..rows * columns).collect(),
            };
            places.into_iter().map(move |place| (number, place))
        };
        self.params.iter().enumerate().flat_map(of_weight).collect()
    }

    /// The weights, (unknowns, sides).
    pub fn weights<D: Device>(&self, net: &impl Net<D>) -> DeviceResult<DMatrix<f64>, D> {
        let params = net.params();
        let values = self.params.iter().map(|(index, _)| numbers(&params[*index].value));
        let values = values.collect::<DeviceResult<Vec<_>, D>>()?;
        let entries = self.places().into_iter().map(|(number, place)| f64::from(values[number][place]));
        Ok(DMatrix::from_row_iterator(self.unknowns(), self.sides(), entries))
    }

    /// Replaces the weights; a factor is scaled to norm 1, and the weight that it multiplies takes its norm.
    pub fn set<D: Device>(&self, net: &mut impl Net<D>, weights: &DMatrix<f64>) -> DeviceResult<(), D> {
        let norm = weights.norm();
        let scale = self.scale.filter(|_| norm > 0.0);
        let unit = if scale.is_some() { norm } else { 1.0 };
        let mut params = net.params_mut();
        let mut values = Vec::new();
        for (index, _) in &self.params {
            values.push(numbers(&params[*index].value)?);
        }
        let entries =
            weights.row_iter().flat_map(|row| row.iter().map(|entry| (entry / unit) as f32).collect::<Vec<_>>());
        for ((number, place), entry) in self.places().into_iter().zip(entries) {
            values[number][place] = entry;
        }
        for ((index, shape), values) in self.params.iter().zip(values) {
            write(params[*index], *shape, values)?;
        }
        if let Some(index) = scale {
            let shape = *params[index].value.shape();
            let scaled =
                numbers(&params[index].value)?.into_iter().map(|entry| (f64::from(entry) * norm) as f32).collect();
            write(params[index], shape, scaled)?;
        }
        Ok(())
    }

    /// The equations of a batch, from the answers of networks that differ from `net` in this block. Where the answers
    /// are known to be zero without the block, `has_offset` is false.
    pub fn equations<D: Device, N: Net<D> + Clone>(
        &self,
        net: &N,
        has_offset: bool,
        answers: Answers<D, N>,
    ) -> DeviceResult<BlockEquations, D> {
        match self.probes() {
            Probes::Widened => Ok(BlockEquations { rows: self.widened(net, answers)?, offset: None }),
            Probes::Entries(many) => self.by_entries(net, has_offset, many, answers),
        }
    }

    /// Features: the answers where one weight of the read-out is an identity and the others are zero.
    fn widened<D: Device, N: Net<D> + Clone>(&self, net: &N, answers: Answers<D, N>) -> DeviceResult<DMatrix<f64>, D> {
        let mut parts = Vec::new();
        for (chosen, (_, (features, _))) in self.params.iter().enumerate() {
            let mut changed = net.clone();
            let mut params = changed.params_mut();
            for (number, (index, (rows, _))) in self.params.iter().enumerate() {
                let identity = |i: usize| f32::from(u8::from(number == chosen && i / features == i % features));
                write(params[*index], (*rows, *features), (0..rows * features).map(identity).collect())?;
            }
            let found = answers(&changed)?;
            parts.push(DMatrix::from_iterator(*features, found.len() / features, found.into_iter().map(f64::from)));
        }
        let batch = parts.first().map_or(0, DMatrix::ncols);
        let mut rows = DMatrix::zeros(self.unknowns(), batch);
        let mut first = 0;
        for part in &parts {
            rows.rows_mut(first, part.nrows()).copy_from(part);
            first += part.nrows();
        }
        Ok(rows)
    }

    /// The answers where a few entries are 1, less those where the block is zero. An unknown of a read-out is tried at
    /// a different output each, so that one pass measures as many as there are outputs.
    fn by_entries<D: Device, N: Net<D> + Clone>(
        &self,
        net: &N,
        has_offset: bool,
        many: usize,
        answers: Answers<D, N>,
    ) -> DeviceResult<BlockEquations, D> {
        let (places, unknowns, sides) = (self.places(), self.unknowns(), self.sides());
        let answered = |ones: &[(usize, usize)]| -> DeviceResult<Vec<f32>, D> {
            let mut changed = net.clone();
            let mut params = changed.params_mut();
            for (number, (index, shape)) in self.params.iter().enumerate() {
                let mut values = vec![0.0; shape.0 * shape.1];
                ones.iter().filter(|one| one.0 == number).for_each(|one| values[one.1] = 1.0);
                write(params[*index], *shape, values)?;
            }
            answers(&changed)
        };
        let offset = has_offset.then(|| answered(&[])).transpose()?.filter(|offset| offset.iter().any(|o| *o != 0.0));
        let mut rows = DMatrix::zeros(0, 0);
        for first in (0..unknowns).step_by(many) {
            let tried = many.min(unknowns - first);
            // Unknown `first + k` at output k.
            let ones: Vec<_> = (0..tried).map(|k| places[(first + k) * sides + k.min(sides - 1)]).collect();
            let mut found: Vec<f64> = answered(&ones)?.into_iter().map(f64::from).collect();
            if let Some(offset) = &offset {
                found.iter_mut().zip(offset).for_each(|(found, offset)| *found -= f64::from(*offset));
            }
            if first == 0 {
                rows = DMatrix::zeros(unknowns, found.len() / many);
            }
            for (equation, found) in found.chunks(many).enumerate() {
                rows.view_mut((first, equation), (tried, 1)).copy_from_slice(&found[..tried]);
            }
        }
        Ok(BlockEquations { rows, offset })
    }
}

/// How the derivative is found.
enum Probes {
    /// The read-out becomes as wide as its features are many.
    Widened,
    /// So many entries at a time are 1, and the others zero.
    Entries(usize),
}

fn write<D: Device>(param: &mut Param<D>, shape: (usize, usize), values: Vec<f32>) -> DeviceResult<(), D> {
    param.value = param.value.device().try_tensor_from_vec(values, shape)?;
    Ok(())
}
