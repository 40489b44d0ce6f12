//! Solving for weights instead of descending to them: least squares on the equations of many tasks.
//!
//! | to find | look in |
//! |---|---|
//! | sums over equations, and their solution | `normal_equations.rs` |
//! | the equations of one block in which the answers are linear | `block.rs` |
//! | the equations of all weights, linearised | `jacobian.rs` |
//! | how the damping of Levenberg–Marquardt changes | `damping.rs` |

mod block;
mod damping;
mod jacobian;
mod normal_equations;

pub use block::{Block, BlockEquations};
pub use damping::Damping;
pub use jacobian::Jacobian;
pub use normal_equations::NormalEquations;

/// Weights that are solved for at once, at most: their normal equations take memory with the square of their number,
/// and time with its cube (about a second for as many).
pub const MOST_UNKNOWNS: usize = 2000;
