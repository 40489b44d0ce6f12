//! Escape sequences after their first byte: `[A`, `OA`, `[5~`, `[1;5A`, `[<0;10;5M`, `[0n`.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::Input;

/// What bytes after Esc are.
pub enum Sequence {
    Incomplete,
    /// So many of them are this; `None`: nothing that has a meaning here.
    Input(usize, Option<Input>),
    /// So many of them begin a paste.
    Paste(usize),
}

/// Reads a sequence, which begins with `[` or `O`, of at most so many bytes.
pub fn parse(bytes: &[u8], longest: usize) -> Sequence {
    let (rest, linux) = match bytes {
        [b'O', last, ..] => {
            let known = matches!(last, b'A'..=b'D' | b'F' | b'H' | b'P'..=b'S');
            return Sequence::Input(2, if known { key(*last, &[]) } else { None });
        }
        // Coordinates as bytes: a terminal that does not know the later forms.
        [b'[', b'M', button, x, y, ..] => {
            let number = |byte: &u8| u32::from(byte.saturating_sub(32));
            return Sequence::Input(5, mouse(number(button), number(x), number(y)));
        }
        [b'[', b'M', ..] => return Sequence::Incomplete,
        // The function keys of the Linux console.
        [b'[', b'[', rest @ ..] => (rest, 1),
        _ => (&bytes[1..], 0),
    };
    let Some(length) = rest.iter().position(|byte| !(0x20..=0x3f).contains(byte)) else {
        return if bytes.len() <= longest { Sequence::Incomplete } else { Sequence::Input(bytes.len(), None) };
    };
    let before = 1 + linux;
    let (parameters, last) = (&rest[..length], rest[length]);
    if !(0x40..=0x7e).contains(&last) {
        // Broken off; the byte belongs to what follows.
        return Sequence::Input(before + length, None);
    }
    let whole = before + length + 1;
    if (parameters, last) == (b"200", b'~') {
        return Sequence::Paste(whole);
    }
    let input = match (linux, parameters.first()) {
        (1, _) => (b'A'..=b'E').contains(&last).then(|| pressed(KeyCode::F(last - b'A' + 1), KeyModifiers::NONE)),
        (_, Some(b'<')) => match (&numbers(&parameters[1..])[..], last) {
            ([button, x, y], b'M') => mouse(*button, *x, *y),
            _ => None,
        },
        // Answers to questions that are not asked here.
        (_, Some(b'=' | b'>' | b'?')) => None,
        _ => key(last, &numbers(parameters)),
    };
    Sequence::Input(whole, input)
}

/// "1;5" as numbers; what follows a colon is left out, and what is no number is 0.
fn numbers(parameters: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(parameters);
    let first = |parameter: &str| parameter.split(':').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    if text.is_empty() { Vec::new() } else { text.split(';').map(first).collect() }
}

/// The input whose sequence ends with this byte, and has these numbers before.
fn key(last: u8, numbers: &[u32]) -> Option<Input> {
    let number = |i: usize| numbers.get(i).copied().unwrap_or(0);
    let code = match (last, number(0)) {
        (b'A', _) => KeyCode::Up,
        (b'B', _) => KeyCode::Down,
        (b'C', _) => KeyCode::Right,
        (b'D', _) => KeyCode::Left,
        (b'H', _) | (b'~', 1 | 7) => KeyCode::Home,
        (b'F', _) | (b'~', 4 | 8) => KeyCode::End,
        (b'Z', _) => return Some(pressed(KeyCode::BackTab, KeyModifiers::SHIFT)),
        (b'P'..=b'S', _) => KeyCode::F(last - b'P' + 1),
        (b'~', 2) => KeyCode::Insert,
        (b'~', 3) => KeyCode::Delete,
        (b'~', 5) => KeyCode::PageUp,
        (b'~', 6) => KeyCode::PageDown,
        (b'~', n @ 11..=15) => KeyCode::F(n as u8 - 10),
        (b'~', n @ 17..=21) => KeyCode::F(n as u8 - 11),
        (b'~', n @ 23..=26) => KeyCode::F(n as u8 - 12),
        (b'~', n @ 28..=29) => KeyCode::F(n as u8 - 15),
        (b'~', n @ 31..=34) => KeyCode::F(n as u8 - 17),
        // A key as the number of its character.
        (b'u', 9) => KeyCode::Tab,
        (b'u', 13) => KeyCode::Enter,
        (b'u', 27) => KeyCode::Esc,
        (b'u', 127) => KeyCode::Backspace,
        (b'u', character) => KeyCode::Char(char::from_u32(character).filter(|c| !c.is_control())?),
        (b'I', _) => return Some(Input::Event(Event::FocusGained)),
        (b'O', _) => return Some(Input::Event(Event::FocusLost)),
        // Well, or a malfunction; both are reports.
        (b'n', _) => return Some(Input::StatusReport),
        (b'M', _) => return mouse(number(0).saturating_sub(32), number(1), number(2)),
        _ => return None,
    };
    let mask = number(1).saturating_sub(1);
    let held = [(1, KeyModifiers::SHIFT), (2, KeyModifiers::ALT), (4, KeyModifiers::CONTROL)];
    let modifiers = held.into_iter().filter(|(bit, _)| mask & bit != 0).map(|(_, modifier)| modifier).collect();
    Some(pressed(code, modifiers))
}

fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Input {
    Input::Event(Event::Key(KeyEvent::new(code, modifiers)))
}

/// What this program reacts to: the left button and the wheel. `x` and `y` count from 1.
fn mouse(button: u32, x: u32, y: u32) -> Option<Input> {
    // Without the bits for Shift, Alt and Ctrl.
    let kind = match button & !0b1_1100 {
        0 => MouseEventKind::Down(MouseButton::Left),
        64 => MouseEventKind::ScrollUp,
        65 => MouseEventKind::ScrollDown,
        _ => return None,
    };
    let from_zero = |place: u32| u16::try_from(place.saturating_sub(1)).unwrap_or(u16::MAX);
    let (column, row) = (from_zero(x), from_zero(y));
    Some(Input::Event(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })))
}
