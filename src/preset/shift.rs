//! A preset with other tasks than its model was trained on, for the same weights: only fields of the task may change,
//! and only such that the weights keep their shapes.

use super::overrides::LONGEST;
use super::{Preset, SetError, set};
use crate::bounds;

impl Preset {
    /// The preset with fields of its task changed, and without claims, which are about the task as it was.
    pub fn shifted<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<Self, SetError> {
        let message = |key: &str, value: &str, words: &str| {
            format!("--set {}: {words}", bounds::line(&bounds::shortened(&format!("{key}={value}"), LONGEST)))
        };
        if let Some((key, value)) = settings.clone().into_iter().find(|(key, _)| !key.starts_with("task.")) {
            let words = "the weights stay as they are: only fields of the task can change, such as task.range";
            return Err(SetError::Usage(message(key, value, words)));
        }
        let mut shifted = Self { claims: Vec::new(), ..self.clone() };
        for (key, value) in settings {
            shifted = set(&shifted, [(key, value)])?;
            // The weights do not fit a model of another size.
            if (shifted.parameters(), shifted.widths()) != (self.parameters(), self.widths()) {
                let words = "this changes the shapes of the weights: train with it, `innerloop train --set …`";
                return Err(SetError::Value(message(key, value, words)));
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
