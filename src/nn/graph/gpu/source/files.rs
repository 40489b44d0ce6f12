//! The files of the kernel's text.

/// A file of the kernel's text: its path and what is in it.
pub type Text = (&'static str, &'static str);

/// A file below `src/`.
macro_rules! text {
    ($path:literal) => {
        (concat!("src/", $path), include_str!(concat!("../../../../", $path)))
    };
}

pub const FRAME: Text = text!("nn/graph/gpu/frame.cu");
pub const STEPS: [Text; 15] = [
    text!("nn/step/project.cu"),
    text!("nn/step/entrywise.cu"),
    text!("nn/step/norm.cu"),
    text!("nn/step/softmax_attend.cu"),
    text!("nn/step/convolution.cu"),
    text!("nn/step/diagonal_scan.cu"),
    text!("nn/step/selective_scan.cu"),
    text!("nn/step/window_scan.cu"),
    text!("nn/step/linear_attention.cu"),
    text!("nn/step/recurrent.cu"),
    text!("nn/step/contract.cu"),
    text!("nn/step/ridge.cu"),
    text!("nn/step/scale_vectors.cu"),
    text!("nn/step/fast_weights.cu"),
    text!("nn/step/mesa.cu"),
];
pub const DERIVED: Text = text!("nn/step/derived.cu");
pub const SAMPLER: Text = text!("nn/graph/gpu/sampler.cu");
pub const LOSS: Text = text!("nn/graph/gpu/loss.cu");
pub const OPTIMISER: Text = text!("nn/graph/gpu/optimiser.cu");
pub const KERNEL: Text = text!("nn/graph/gpu/kernel.cu");
