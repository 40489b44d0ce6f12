//! Steps that a GPU does while the processor measures.

use anyhow::Result;

use super::{Experiment, KEEP_EVERY};

impl Experiment {
    /// Begins the steps that the next call is likely to ask for, so that a device of its own does them while the
    /// processor measures the weights from before them.
    pub(super) fn begin_early(&mut self, left: u64) -> Result<()> {
        let train = &self.preset.train;
        let until = |every: u64| every - self.step % every;
        let limits =
            [until(train.measure_every), until(KEEP_EVERY), self.run.run.queue_limit(), self.queue_depth, left];
        let steps = limits.into_iter().fold(train.steps.saturating_sub(self.step), u64::min);
        if steps == 0 {
            return Ok(());
        }
        let lrs: Vec<f64> = (self.step..self.step + steps).map(|step| train.lr_at(step) * self.lr_factor).collect();
        let first = self.next_batch();
        self.run.attempt(|run| run.begin_early(first, &lrs))
    }
}
