//! Weights for PyTorch, JAX and all that reads safetensors.

use std::collections::HashMap;

use anyhow::Result;
use safetensors::tensor::{Dtype, TensorView};

use crate::preset;
use crate::session::Session;

/// Every parameter as a tensor of rows × columns. The metadata holds the preset's name, the preset as RON, the seed,
/// the step and the version of this program.
pub fn weights(session: &Session, version: &str) -> Result<Vec<u8>> {
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = session
        .checkpoint
        .parameters
        .iter()
        .map(|parameter| {
            let bytes = parameter.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (parameter.name.as_str(), vec![parameter.shape.0, parameter.shape.1], bytes)
        })
        .collect();
    let mut tensors = Vec::with_capacity(bytes.len());
    for (name, shape, bytes) in &bytes {
        tensors.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?));
    }
    let metadata = [
        ("name", session.name.clone()),
        ("preset", preset::pretty(&session.preset)?),
        ("seed", session.checkpoint.seed.to_string()),
        ("step", session.checkpoint.step.to_string()),
        ("innerloop", version.to_owned()),
    ];
    let metadata: HashMap<String, String> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(safetensors::serialize(tensors, Some(metadata))?)
}
