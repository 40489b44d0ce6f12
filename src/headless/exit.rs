//! How a command ends: its exit code, and what is said on standard error.

use std::fmt;
use std::io;
use std::process::ExitCode;

use anyhow::{Error, Result};

use super::tell;
use crate::bounds;
use crate::preset::SetError;

/// Characters of a message at most.
const LONGEST: usize = 4000;

/// The command cannot be what was meant: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Usage {
    /// A refused `--set` as an error of the command: mistyped, or understood and out of bounds.
    pub fn or_value(error: SetError) -> Error {
        match error {
            SetError::Usage(message) => Self(message).into(),
            SetError::Value(message) => Error::msg(message),
        }
    }
}

/// A signal ended the command: exit code 128+n.
#[derive(Debug)]
pub struct Stopped {
    /// n: 2 for INT, 15 for TERM.
    pub signal: u8,
    /// What was done before leaving.
    pub message: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stopped {}

/// Says what went wrong in a command, and turns it into an exit code.
pub fn code(result: Result<ExitCode>, command: Option<&str>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    tracing::error!(error = format!("{error:#}"), "end");
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        tell(&message(&stopped.message));
        return ExitCode::from(128 + stopped.signal);
    }
    if is_broken_pipe(&error) {
        // `innerloop presets | head` is no failure.
        return ExitCode::SUCCESS;
    }
    tell(&format!("error: {}", message(&format!("{error:#}"))));
    if error.is::<Usage>() {
        let command = command.map(|command| format!("{command} ")).unwrap_or_default();
        tell(&format!("see `innerloop {command}--help`"));
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}

/// A message that is safe to print and of bounded length.
fn message(text: &str) -> String {
    bounds::shortened(&bounds::printable(text), LONGEST)
}

fn is_broken_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_code() {
        let of = |error: Error| format!("{:?}", code(Err(error), None));
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(of(Error::msg("x")), is(1));
        assert_eq!(of(Usage("x".to_owned()).into()), is(2));
        assert_eq!(of(Stopped { signal: 15, message: "x".to_owned() }.into()), is(143));
        assert_eq!(of(io::Error::from(io::ErrorKind::BrokenPipe).into()), is(0));
    }
}
