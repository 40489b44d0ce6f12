//! The terminal front end: gallery and lab.
//!
//! Event → [`Action`](action::Action) → [`App::update`](app::App::update) → [`Effect`](action::Effect)s, performed in one
//! place, the loop. Knows nothing of how models are trained: it gives the worker orders and shows its updates.
//!
//! | to change | look in |
//! |---|---|
//! | a key | [`keymap`]: one row |
//! | what a key does | [`app`] |
//! | what a pane shows | `pane`: one file each |
//! | a colour | [`theme`] |
//! | where things stand | [`layout`] |
//! | signals, suspending, leaving | `event_loop`, `terminal` |

pub mod action;
pub mod app;
pub mod keymap;
pub mod layout;
mod numbers;
mod pane;
pub mod theme;
pub mod view;
mod widget;
mod words;
