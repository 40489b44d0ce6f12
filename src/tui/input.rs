//! Bytes from the terminal as keys, pastes, clicks and status reports.
//!
//! crossterm's types, but not its reader, for two reasons. It takes the first byte of a sequence that a slow link has
//! split for the Esc key; here Esc waits for [`SPLIT_WITHIN`]. And it drops a status report (`ESC [ 0 n`), but does not
//! return from reading before a key comes. Source of the sequences: xterm's ctlseqs. Knows no clock and no file; the
//! caller says when the time is over.

mod sequence;

use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use sequence::Sequence;

/// The longest time between two pieces of one escape sequence.
pub const SPLIT_WITHIN: Duration = Duration::from_millis(50);

/// Bytes of a sequence at most: longer ones are no keys.
const LONGEST: usize = 64;
/// Bytes of a paste that are kept: more than any text that can be typed here.
const LONGEST_PASTE: usize = 64 << 10;
const PASTE_END: &[u8] = b"\x1b[201~";

const ESC: u8 = 0x1b;

/// What the terminal has sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Event(Event),
    /// It reports its status, because it was asked to.
    StatusReport,
}

/// Joins bytes to inputs.
#[derive(Default)]
pub struct InputParser {
    /// The beginning of a sequence that is not complete.
    held: Vec<u8>,
    /// The text of a paste that has not ended.
    paste: Option<Vec<u8>>,
}

/// What a number of bytes begin with.
enum Parsed {
    /// They can be the beginning of several things.
    Incomplete,
    /// So many of them are this; `None`: nothing that has a meaning here.
    Input(usize, Option<Input>),
    /// So many of them begin a paste.
    Paste(usize),
}

impl InputParser {
    /// Whether [`Self::time_over`] is to be called after [`SPLIT_WITHIN`]: whether what is held back can be keys by
    /// themselves. More of a sequence is never typed by hand, and waits for its end.
    pub fn is_waiting(&self) -> bool {
        self.paste.is_none() && (1..=2).contains(&self.held.len())
    }

    /// Takes bytes; returns what is complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Input> {
        self.held.extend_from_slice(bytes);
        let mut inputs = Vec::new();
        loop {
            if let Some(text) = &mut self.paste {
                text.append(&mut self.held);
                let Some(end) = text.windows(PASTE_END.len()).position(|window| window == PASTE_END) else {
                    // The last bytes can be a part of the end.
                    let kept = text.len().saturating_sub(PASTE_END.len() - 1);
                    self.held = text.split_off(kept);
                    text.truncate(LONGEST_PASTE);
                    return inputs;
                };
                self.held = text.split_off(end + PASTE_END.len());
                text.truncate(end);
                inputs.push(Input::Event(Event::Paste(String::from_utf8_lossy(text).into_owned())));
                self.paste = None;
            }
            match parse(&self.held) {
                Parsed::Incomplete => return inputs,
                Parsed::Input(count, input) => {
                    self.held.drain(..count);
                    inputs.extend(input);
                }
                Parsed::Paste(count) => {
                    self.held.drain(..count);
                    self.paste = Some(Vec::new());
                }
            }
        }
    }

    /// Nothing has come for [`SPLIT_WITHIN`]: what is held back are keys by themselves.
    pub fn time_over(&mut self) -> Vec<Input> {
        let held = std::mem::take(&mut self.held);
        let (escapes, rest) = held.split_at(usize::from(held.first() == Some(&ESC)));
        let mut inputs: Vec<_> = escapes.iter().map(|_| key(KeyCode::Esc, KeyModifiers::NONE)).collect();
        inputs.extend(rest.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| character(char::from(*byte))));
        inputs
    }
}

/// Reads what is first.
fn parse(bytes: &[u8]) -> Parsed {
    match bytes {
        [] | [ESC] => Parsed::Incomplete,
        [ESC, b'[' | b'O', ..] => match sequence::parse(&bytes[1..], LONGEST) {
            Sequence::Incomplete => Parsed::Incomplete,
            Sequence::Input(count, input) => Parsed::Input(count + 1, input),
            Sequence::Paste(count) => Parsed::Paste(count + 1),
        },
        [ESC, ESC, ..] => Parsed::Input(1, Some(key(KeyCode::Esc, KeyModifiers::NONE))),
        [ESC, rest @ ..] => match plain(rest) {
            Parsed::Input(count, Some(Input::Event(Event::Key(pressed)))) => {
                Parsed::Input(count + 1, Some(key(pressed.code, pressed.modifiers | KeyModifiers::ALT)))
            }
            Parsed::Input(count, other) => Parsed::Input(count + 1, other),
            other @ (Parsed::Incomplete | Parsed::Paste(_)) => other,
        },
        _ => plain(bytes),
    }
}

/// Reads a key that is one character; there is at least one byte, and it is not Esc.
fn plain(bytes: &[u8]) -> Parsed {
    let first = bytes[0];
    let control = |c: u8| key(KeyCode::Char(char::from(c)), KeyModifiers::CONTROL);
    let input = match first {
        b'\r' => key(KeyCode::Enter, KeyModifiers::NONE),
        b'\t' => key(KeyCode::Tab, KeyModifiers::NONE),
        0x7f => key(KeyCode::Backspace, KeyModifiers::NONE),
        0 => control(b' '),
        1..=0x1a => control(first - 1 + b'a'),
        0x1b..=0x1f => control(first - 0x1b + b'3'),
        0x20.. => return utf8(bytes),
    };
    Parsed::Input(1, Some(input))
}

fn utf8(bytes: &[u8]) -> Parsed {
    let bytes = &bytes[..bytes.len().min(4)];
    let (valid, error) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(), Some(error)),
    };
    match (valid.chars().next(), error.and_then(|error| error.error_len())) {
        (Some(c), _) => Parsed::Input(c.len_utf8(), Some(character(c))),
        (None, Some(invalid)) => Parsed::Input(invalid, None),
        (None, None) => Parsed::Incomplete,
    }
}

fn character(c: char) -> Input {
    key(KeyCode::Char(c), if c.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE })
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Event(Event::Key(KeyEvent::new(code, modifiers)))
}

#[cfg(test)]
mod tests;
