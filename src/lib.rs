//! innerloop: a terminal lab where sequence models are seen to learn gradient descent inside their forward pass.
//!
//! | to find | look in |
//! |---|---|
//! | what is learnt in context, and how it becomes tokens | [`task`] |
//! | the textbook algorithms that models are held against | [`reference`] |
//! | architectures and the operations they are made of | [`nn`] |
//! | optimisers and learning-rate schedules | [`optim`] |
//! | one experiment as a file | [`preset`] |
//! | training, measuring, looking inside | [`train`] |
//! | a run on disk | [`session`] |
//! | the thread around a run | [`worker`] |
//! | commands without a screen | [`headless`] |
//! | the lab itself | [`tui`] |
//!
//! Dependencies point one way, and `tests/architecture.rs` holds them to it:
//! `cli → {tui, headless} → {worker, session} → train → preset → {optim → nn, task, reference} → {series, bounds}`.

pub mod bounds;
pub mod nn;
pub mod optim;
pub mod preset;
pub mod reference;
pub mod series;
pub mod session;
pub mod task;
pub mod train;
pub mod tui;
pub mod worker;
