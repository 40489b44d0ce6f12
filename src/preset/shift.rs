//! A preset on other tasks than its model was trained on, with the same weights.
//!
//! Owns what may be changed then: fields of the task that leave the weights their shapes.

use super::{Preset, SetError, set};
use crate::bounds;

impl Preset {
    /// The preset with fields of its task changed, and without claims, which are about the task as it was.
    pub fn shifted<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, SetError> {
        let refusal = |key: &str, value: &str, words: &str| {
            format!("--set {}: {words}", bounds::line(&bounds::shortened(&format!("{key}={value}"), 200)))
        };
        if let Some((key, value)) = settings.clone().into_iter().find(|(key, _)| !key.starts_with("task.")) {
            let words = "what is learnt stays as it is: only fields of the task can change, such as task.range";
            return Err(SetError::Usage(refusal(key, value, words)));
        }
        let mut shifted = Self { claims: Vec::new(), ..self.clone() };
        for (key, value) in settings {
            shifted = set(&shifted, [(key, value)])?;
            // A model of another size could not take the weights.
            if (shifted.parameters(), shifted.widths()) != (self.parameters(), self.widths()) {
                let words = "this changes the shapes of the weights: train with it, `innerloop train --set …`";
                return Err(SetError::Value(refusal(key, value, words)));
            }
        }
        Ok(shifted)
    }

    /// d and d_out.
    fn widths(&self) -> (usize, usize) {
        let shape = self.task.shape();
        (shape.dim, shape.outputs)
    }
}
