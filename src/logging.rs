//! `--log FILE`: a record of what the program does, to find out why it does not do what it should.
//!
//! A screen over SSH cannot print; a file can be read afterwards, or with `tail -f` meanwhile. Nothing is recorded
//! without the option.

use std::fs::File;
use std::panic;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing::Level;

use crate::bounds;

/// Appends events to a file from here on, each with its time in UTC.
///
/// # Errors
/// The file cannot be written.
pub fn to_file(path: &Path) -> Result<()> {
    let name = bounds::line(&path.display().to_string());
    let file = File::options().create(true).append(true).open(path).with_context(|| format!("--log {name}"))?;
    tracing_subscriber::fmt().with_writer(Mutex::new(file)).with_ansi(false).with_max_level(Level::DEBUG).init();
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    tracing::info!(
        version = env!("INNERLOOP_VERSION"),
        arguments = ?std::env::args_os().skip(1).collect::<Vec<_>>(),
        process = std::process::id(),
        system = std::env::consts::OS,
        processor = std::env::consts::ARCH,
        threads = rayon::current_num_threads(),
        term = variable("TERM"),
        colorterm = variable("COLORTERM"),
        "start"
    );
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "panic");
        print(panic);
    }));
    Ok(())
}
