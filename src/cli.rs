//! The command line: what can be said, not what happens then.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::headless::{check, completions, eval, presets, sweep, train, verify};
use crate::train::DeviceChoice;
use crate::tui::theme::{BackgroundChoice, ColorChoice};

/// Watch sequence models learn gradient descent inside their forward pass.
///
/// Without a command the lab opens on its gallery.
#[derive(Debug, Parser)]
#[command(name = "innerloop", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 128+n ended by signal n.")]
pub struct Cli {
    #[command(flatten)]
    pub lab: Lab,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Every command there is. A new one is a file in `headless` and a variant here.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open the lab on a preset or a session, and train
    Run {
        /// A preset's name, or the path of a preset or a session; without it, the gallery
        #[arg(value_name = "PRESET|SESSION")]
        what: Option<String>,
        #[command(flatten)]
        lab: Lab,
    },
    Train(train::Options),
    Eval(eval::Options),
    Sweep(sweep::Options),
    Presets(presets::Options),
    Check(check::Options),
    Verify(verify::Options),
    Completions(completions::Options),
    /// Print the manual page
    Man,
}

/// How the lab runs.
#[derive(Args, Clone, Debug)]
pub struct Lab {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// The folder of saved sessions
    #[arg(long, value_name = "DIR", env = "INNERLOOP_SAVES", default_value = "saves")]
    pub saves: PathBuf,
    /// How many colours to use: auto, truecolor, 256, 16 or none
    #[arg(long, value_name = "COLORS", default_value = "auto")]
    pub color: ColorChoice,
    /// What the terminal's background is, for heatmaps: auto, dark or light
    #[arg(long, value_name = "BACKGROUND", default_value = "auto")]
    pub background: BackgroundChoice,
}
