//! Keys whose escape sequence a slow link has split after its first byte, which crossterm takes for the Esc key.
//!
//! Esc is held back for [`SPLIT_WITHIN`]: what follows in this time and continues a sequence makes it one key. Knows no
//! clock; the caller says when the time is over.

use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

/// The longest time between two pieces of one escape sequence.
pub const SPLIT_WITHIN: Duration = Duration::from_millis(50);

/// Bytes of a sequence at most: longer ones are no keys.
const LONGEST: usize = 16;

/// Joins split escape sequences.
#[derive(Default)]
pub struct EscapeJoiner {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Ready,
    /// Esc and these characters have come.
    Held(String),
    /// A paste whose beginning was split: its text must not be read as keys.
    InPaste,
}

/// What the characters after Esc are.
enum Sequence {
    Incomplete,
    Key(KeyCode),
    Paste,
    /// A complete sequence of no key that is known.
    Unknown,
    /// These characters belong to no sequence.
    NotOne,
}

impl EscapeJoiner {
    /// Whether events are held back, so that [`Self::time_over`] is to be called.
    pub fn is_waiting(&self) -> bool {
        !matches!(self.state, State::Ready)
    }

    /// Takes an event; returns those that are to be handled now.
    pub fn push(&mut self, event: Event) -> Vec<Event> {
        match (std::mem::take(&mut self.state), character(&event)) {
            (State::Ready, _) => self.first(event),
            (State::InPaste, _) => {
                self.state = State::InPaste;
                vec![]
            }
            (State::Held(held), Some(c)) => {
                let sequence = format!("{held}{c}");
                match read(&sequence) {
                    Sequence::Incomplete => {
                        self.state = State::Held(sequence);
                        vec![]
                    }
                    Sequence::Key(code) => vec![Event::Key(code.into())],
                    Sequence::Unknown => vec![],
                    Sequence::Paste => {
                        self.state = State::InPaste;
                        vec![]
                    }
                    Sequence::NotOne => events(&sequence),
                }
            }
            (State::Held(held), None) => {
                let mut all = events(&held);
                all.extend(self.first(event));
                all
            }
        }
    }

    /// Nothing has come for [`SPLIT_WITHIN`]: what was held back are keys by themselves.
    pub fn time_over(&mut self) -> Vec<Event> {
        match std::mem::take(&mut self.state) {
            State::Held(held) => events(&held),
            State::Ready | State::InPaste => vec![],
        }
    }

    fn first(&mut self, event: Event) -> Vec<Event> {
        let is_esc = |event: &Event| event.as_key_press_event().is_some_and(|key| key == KeyCode::Esc.into());
        if is_esc(&event) {
            self.state = State::Held(String::new());
            return vec![];
        }
        vec![event]
    }
}

/// The character of a key without Ctrl and Alt.
fn character(event: &Event) -> Option<char> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press && (key.modifiers - KeyModifiers::SHIFT).is_empty() => {
            key.code.as_char()
        }
        Event::Key(_)
        | Event::Paste(_)
        | Event::Mouse(_)
        | Event::Resize(..)
        | Event::FocusGained
        | Event::FocusLost => None,
    }
}

/// Esc and characters as keys by themselves.
fn events(held: &str) -> Vec<Event> {
    let characters = held.chars().map(KeyCode::Char);
    [KeyCode::Esc].into_iter().chain(characters).map(|code| Event::Key(code.into())).collect()
}

/// Reads the characters after Esc: `[A`, `OA`, `[5~`, `[1;5A`.
fn read(sequence: &str) -> Sequence {
    let Some(rest) = sequence.strip_prefix(['[', 'O']) else { return Sequence::NotOne };
    let (parameters, last) = match rest.char_indices().last() {
        Some((at, last)) if !(last.is_ascii_digit() || last == ';') => (&rest[..at], last),
        _ if sequence.len() <= LONGEST => return Sequence::Incomplete,
        _ => return Sequence::NotOne,
    };
    let first = parameters.split(';').next().unwrap_or_default();
    match (last, first) {
        ('A', _) => Sequence::Key(KeyCode::Up),
        ('B', _) => Sequence::Key(KeyCode::Down),
        ('C', _) => Sequence::Key(KeyCode::Right),
        ('D', _) => Sequence::Key(KeyCode::Left),
        ('H', _) | ('~', "1" | "7") => Sequence::Key(KeyCode::Home),
        ('F', _) | ('~', "4" | "8") => Sequence::Key(KeyCode::End),
        ('Z', _) => Sequence::Key(KeyCode::BackTab),
        ('P', _) => Sequence::Key(KeyCode::F(1)),
        ('~', "5") => Sequence::Key(KeyCode::PageUp),
        ('~', "6") => Sequence::Key(KeyCode::PageDown),
        ('~', "21") => Sequence::Key(KeyCode::F(10)),
        ('~', "200") => Sequence::Paste,
        ('~' | 'a'..='z' | 'A'..='Z', _) => Sequence::Unknown,
        _ => Sequence::NotOne,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(codes: &[KeyCode]) -> Vec<Event> {
        codes.iter().map(|code| Event::Key((*code).into())).collect()
    }

    /// What comes of Esc and these characters, each by itself.
    fn joined(characters: &str) -> Vec<Event> {
        let mut joiner = EscapeJoiner::default();
        let mut out: Vec<Event> = events(characters).into_iter().flat_map(|event| joiner.push(event)).collect();
        out.extend(joiner.time_over());
        assert!(!joiner.is_waiting());
        out
    }

    #[test]
    fn a_split_arrow_is_an_arrow_and_not_esc() {
        for (characters, code) in [
            ("[A", KeyCode::Up),
            ("OB", KeyCode::Down),
            ("[1;5C", KeyCode::Right),
            ("[D", KeyCode::Left),
            ("[5~", KeyCode::PageUp),
            ("[1~", KeyCode::Home),
            ("[Z", KeyCode::BackTab),
        ] {
            assert_eq!(joined(characters), keys(&[code]), "{characters}");
        }
        assert_eq!(joined("[99~"), []);
    }

    #[test]
    fn esc_by_itself_is_esc_once_the_time_is_over() {
        assert_eq!(joined(""), keys(&[KeyCode::Esc]));
        assert_eq!(joined("q"), keys(&[KeyCode::Esc, KeyCode::Char('q')]));
        assert_eq!(joined("["), keys(&[KeyCode::Esc, KeyCode::Char('[')]));
        let mut joiner = EscapeJoiner::default();
        assert_eq!(joiner.push(Event::Key(KeyCode::Esc.into())), []);
        assert!(joiner.is_waiting());
        assert_eq!(joiner.push(Event::Key(KeyCode::Esc.into())), keys(&[KeyCode::Esc]));
        assert_eq!(joiner.push(Event::Key(KeyCode::Left.into())), keys(&[KeyCode::Esc, KeyCode::Left]));
    }

    #[test]
    fn the_text_of_a_split_paste_is_not_read_as_keys() {
        assert_eq!(joined("[200~qqy"), []);
    }
}
