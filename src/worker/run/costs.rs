//! What the length of the context costs, measured one model and length after the other while training waits.

use super::RunLoop;
use crate::train::context_cost::{self, ContextCost, LENGTHS, ModelCost, PRESETS};

impl RunLoop<'_> {
    /// Starts to measure, the run's own model first; where that is under way, stops it.
    pub(super) fn order_context_costs(&mut self) {
        if !self.cost_jobs.is_empty() {
            self.cost_jobs.clear();
            return;
        }
        let own = self.experiment.name.clone();
        let others = PRESETS.iter().map(|name| (*name).to_owned()).filter(|name| *name != own);
        let names: Vec<String> = [own.clone()].into_iter().chain(others).collect();
        // All curves grow from the left together.
        self.cost_jobs = LENGTHS.iter().flat_map(|context| names.iter().map(|name| (name.clone(), *context))).collect();
    }

    /// Measures the next model; returns whether there was one. A model whose context cannot have this length is left
    /// out.
    pub(super) fn measure_next_cost(&mut self) -> bool {
        let Some((name, context)) = self.cost_jobs.pop_front() else { return false };
        let preset = match name == self.experiment.name {
            true => Ok((*self.experiment.preset).clone()),
            false => crate::preset::find(&name).map(|(_, preset)| preset),
        };
        let cost =
            preset.and_then(|preset| context_cost::with_context(&preset, context)).and_then(ContextCost::measure);
        self.pending.context_costs.extend(cost.ok().map(|cost| ModelCost { name, cost }));
        self.meter.clear();
        self.post();
        true
    }
}
