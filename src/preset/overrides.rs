//! `--set KEY=VALUE`.
