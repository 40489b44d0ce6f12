//! Layers that several models are made of, and the initial values of weights.

pub mod diagonal;
pub mod discretization;
pub mod glu;
pub mod hippo;
pub mod init;
pub mod linear;
pub mod norm;
