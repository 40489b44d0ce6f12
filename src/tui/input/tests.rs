//! Keys, pastes, clicks and reports, whole and split.

use super::*;

const NONE: KeyModifiers = KeyModifiers::NONE;

/// What comes of these bytes, one by one, and at once: the same.
fn parsed(bytes: &[u8]) -> Vec<Input> {
    let (mut one_by_one, mut at_once) = (InputParser::default(), InputParser::default());
    let mut inputs: Vec<Input> = bytes.iter().flat_map(|byte| one_by_one.push(&[*byte])).collect();
    inputs.extend(one_by_one.time_over());
    let mut others = at_once.push(bytes);
    others.extend(at_once.time_over());
    assert_eq!(inputs, others, "{bytes:?}");
    assert!(!one_by_one.is_waiting() && !at_once.is_waiting());
    inputs
}

fn keys(codes: &[KeyCode]) -> Vec<Input> {
    codes.iter().map(|code| key(*code, NONE)).collect()
}

#[test]
fn every_form_of_a_key_is_read_also_when_it_is_split() {
    for (bytes, code) in [
        ("\x1b[A", KeyCode::Up),
        ("\x1bOB", KeyCode::Down),
        ("\x1b[C", KeyCode::Right),
        ("\x1b[D", KeyCode::Left),
        ("\x1b[1~", KeyCode::Home),
        ("\x1bOF", KeyCode::End),
        ("\x1b[3~", KeyCode::Delete),
        ("\x1b[5~", KeyCode::PageUp),
        ("\x1b[6~", KeyCode::PageDown),
        ("\x1bOP", KeyCode::F(1)),
        ("\x1b[[B", KeyCode::F(2)),
        ("\x1b[15~", KeyCode::F(5)),
        ("\x1b[21~", KeyCode::F(10)),
        ("\x1b[24~", KeyCode::F(12)),
        ("\x1b[34~", KeyCode::F(17)),
        ("\r", KeyCode::Enter),
        ("\t", KeyCode::Tab),
        ("\x7f", KeyCode::Backspace),
        ("q", KeyCode::Char('q')),
        (" ", KeyCode::Char(' ')),
        ("й", KeyCode::Char('й')),
        ("漢", KeyCode::Char('漢')),
        ("\x1b[27u", KeyCode::Esc),
        ("\x1b[113u", KeyCode::Char('q')),
    ] {
        assert_eq!(parsed(bytes.as_bytes()), keys(&[code]), "{bytes:?}");
    }
    let with = |code, modifiers| vec![key(code, modifiers)];
    assert_eq!(parsed(b"\x1b[Z"), with(KeyCode::BackTab, KeyModifiers::SHIFT));
    assert_eq!(parsed(b"G"), with(KeyCode::Char('G'), KeyModifiers::SHIFT));
    assert_eq!(parsed(b"\x1b[1;5C"), with(KeyCode::Right, KeyModifiers::CONTROL));
    assert_eq!(parsed(b"\x1b[1;2R"), with(KeyCode::F(3), KeyModifiers::SHIFT));
    assert_eq!(parsed(b"\x1bq"), with(KeyCode::Char('q'), KeyModifiers::ALT));
    for (byte, c) in [(3, 'c'), (26, 'z'), (12, 'l'), (10, 'j'), (0x1c, '4'), (0, ' ')] {
        assert_eq!(parsed(&[byte]), with(KeyCode::Char(c), KeyModifiers::CONTROL));
    }
}

#[test]
fn esc_by_itself_is_esc_once_the_time_is_over() {
    let mut parser = InputParser::default();
    assert_eq!(parser.push(b"\x1b"), []);
    assert!(parser.is_waiting());
    assert_eq!(parser.time_over(), keys(&[KeyCode::Esc]));
    assert_eq!(parsed(b"\x1b["), keys(&[KeyCode::Esc, KeyCode::Char('[')]));
    assert_eq!(parsed(b"\x1b\x1b"), keys(&[KeyCode::Esc, KeyCode::Esc]));
    assert_eq!(parsed(b"\x1b\x1b[D"), keys(&[KeyCode::Esc, KeyCode::Left]));
}

#[test]
fn a_status_report_is_found_among_keys_wherever_it_is_split() {
    let (report, q) = (Input::StatusReport, key(KeyCode::Char('q'), NONE));
    assert_eq!(parsed(b"\x1b[0n"), std::slice::from_ref(&report));
    assert_eq!(
        parsed(b"q\x1b[0nq\x1b[0n\x1b[A"),
        [q.clone(), report.clone(), q.clone(), report.clone(), key(KeyCode::Up, NONE)]
    );
    let bytes = b"q\x1b[0nq";
    for split in 0..bytes.len() {
        let mut parser = InputParser::default();
        let mut inputs = parser.push(&bytes[..split]);
        // The pieces are further apart than those of a key, except after Esc alone.
        if !parser.is_waiting() {
            assert_eq!(parser.paste, None);
        }
        inputs.extend(parser.push(&bytes[split..]));
        assert_eq!(inputs, [q.clone(), report.clone(), q.clone()], "{split}");
    }
    // A report of which more than two bytes have come is not taken for keys, however long its end takes.
    let mut parser = InputParser::default();
    assert_eq!(parser.push(b"\x1b[0"), []);
    assert!(!parser.is_waiting());
    assert_eq!(parser.push(b"n"), [report]);
}

#[test]
fn what_has_no_meaning_is_dropped_and_what_follows_is_read() {
    for unknown in [
        "\x1b[99~",
        "\x1bOn",
        "\x1bOM",
        "\x1b[?64;1c",
        "\x1b[>0;276;0c",
        "\x1b[?2026;2$y",
        "\x1b[1;1;1X",
        "\x1b[<35;1;1M",
    ] {
        assert_eq!(parsed(format!("{unknown}q").as_bytes()), keys(&[KeyCode::Char('q')]), "{unknown:?}");
    }
    assert_eq!(parsed(b"\xff\xc3(q"), keys(&[KeyCode::Char('('), KeyCode::Char('q')]));
    assert_eq!(parsed(b"\x1b[1;\x1b[A"), keys(&[KeyCode::Up]));
    let long = format!("\x1b[{}", "1;".repeat(50));
    let mut parser = InputParser::default();
    assert_eq!(parser.push(long.as_bytes()), []);
    assert_eq!(parser.push(b"q"), keys(&[KeyCode::Char('q')]));
}

#[test]
fn pasted_text_is_never_keys() {
    let paste = |text: &str| Input::Event(Event::Paste(text.to_owned()));
    let bytes = "\x1b[200~qqy\x1b[0nй\r\x1b[201~q".as_bytes();
    let expected = [paste("qqy\x1b[0nй\r"), key(KeyCode::Char('q'), NONE)];
    for split in 0..bytes.len() {
        let mut parser = InputParser::default();
        let mut inputs = parser.push(&bytes[..split]);
        inputs.extend(parser.push(&bytes[split..]));
        assert_eq!(inputs, expected, "{split}");
    }
    assert_eq!(parsed(bytes), expected);
    let mut parser = InputParser::default();
    parser.push(b"\x1b[200~");
    for _ in 0..100 {
        assert_eq!(parser.push(&[b'q'; 4096]), []);
    }
    let [Input::Event(Event::Paste(text))] = &parser.push(PASTE_END)[..] else { panic!("no paste") };
    assert!(text.len() <= LONGEST_PASTE + 8 && parser.held.is_empty());
}

#[test]
fn clicks_and_the_wheel_are_read_in_every_form() {
    use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
    let at = |kind| [Input::Event(Event::Mouse(MouseEvent { kind, column: 9, row: 4, modifiers: NONE }))];
    let click = at(MouseEventKind::Down(MouseButton::Left));
    assert_eq!(parsed(b"\x1b[<0;10;5M"), click);
    assert_eq!(parsed(b"\x1b[32;10;5M"), click);
    assert_eq!(parsed(b"\x1b[M *%"), click);
    assert_eq!(parsed(b"\x1b[<64;10;5M"), at(MouseEventKind::ScrollUp));
    assert_eq!(parsed(b"\x1b[<65;10;5M"), at(MouseEventKind::ScrollDown));
    assert_eq!(parsed(b"\x1b[<0;10;5m"), [], "the button is let go");
}
