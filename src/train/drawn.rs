//! Training batches, drawn where no device is needed: on any core, before their step.

use anyhow::Result;

use super::draw::OnDevice;
use super::host::told;
use crate::nn::Device;
use crate::preset::Preset;
use crate::task::{Layout, Place, Task};

/// What batches are drawn from.
#[derive(Debug)]
pub struct Source {
    pub task: Task,
    pub layout: Layout,
    /// Tasks in a batch.
    pub size: usize,
}

impl Source {
    pub fn of(preset: &Preset) -> Self {
        Self { task: preset.task.clone(), layout: preset.layout, size: preset.train.batch }
    }
}

/// The tasks of one step as a network reads them, still on the host.
#[derive(Debug)]
pub struct Drawn {
    pub place: Place,
    size: usize,
    /// Tokens, and their width.
    grid: (usize, usize),
    tokens: Vec<f32>,
    target: Vec<f32>,
}

impl Drawn {
    pub fn new(source: &Source, place: Place) -> Self {
        let (shape, layout) = (source.task.shape(), source.layout);
        let (tokens, target) = source.task.sample_tokens(layout, source.size, place);
        Self { place, size: source.size, grid: (layout.tokens(shape), layout.width(shape)), tokens, target }
    }

    /// Tokens, (B, tokens, width), and targets, (B, d_out), on a device.
    pub fn on<D: Device>(self, device: &D) -> Result<OnDevice<D>> {
        let outputs = self.target.len() / self.size;
        let tokens = device.try_tensor_from_vec(self.tokens, (self.size, self.grid.0, self.grid.1)).map_err(told)?;
        let target = device.try_tensor_from_vec(self.target, (self.size, outputs)).map_err(told)?;
        Ok((tokens, target))
    }
}
