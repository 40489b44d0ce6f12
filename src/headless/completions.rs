//! `innerloop completions` and `innerloop man`: the command line, told to shells and to man.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use super::print;

/// Print a completion script for a shell
#[derive(Args, Debug)]
pub struct Options {
    pub shell: Shell,
}

/// Prints the completion script of `command`.
pub fn run(options: &Options, mut command: Command) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "innerloop", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page of `command`.
pub fn man(command: Command) -> Result<ExitCode> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))
}
