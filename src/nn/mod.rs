//! Networks on dfdx tensors whose sizes are known only at run time.

pub mod model;
