//! Digits that are read from the other end of a lecture hall: each point of a three by five letter is a block.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Points of a letter, across and down.
const SIZE: (u16, u16) = (3, 5);

/// The points of a character, from the top, three bits a row; `None` for a character that has none.
fn points(c: char) -> Option<[u8; 5]> {
    Some(match c {
        '0' => [0b111, 0b101, 0b101, 0b101, 0b111],
        '1' => [0b010, 0b110, 0b010, 0b010, 0b111],
        '2' => [0b111, 0b001, 0b111, 0b100, 0b111],
        '3' => [0b111, 0b001, 0b111, 0b001, 0b111],
        '4' => [0b101, 0b101, 0b111, 0b001, 0b001],
        '5' => [0b111, 0b100, 0b111, 0b001, 0b111],
        '6' => [0b111, 0b100, 0b111, 0b101, 0b111],
        '7' => [0b111, 0b001, 0b001, 0b010, 0b010],
        '8' => [0b111, 0b101, 0b111, 0b101, 0b111],
        '9' => [0b111, 0b101, 0b111, 0b001, 0b111],
        '%' => [0b101, 0b001, 0b010, 0b100, 0b101],
        'e' => [0b000, 0b111, 0b111, 0b100, 0b111],
        '-' | '–' | '−' => [0b000, 0b000, 0b111, 0b000, 0b000],
        '+' => [0b000, 0b010, 0b111, 0b010, 0b000],
        _ => return None,
    })
}

/// Points across that a character takes, with the gap after it.
fn advance(c: char) -> u16 {
    match c {
        ' ' | '.' => 2,
        _ => SIZE.0 + 1,
    }
}

/// Columns and rows of a text whose points are `scale` rows high and twice as many columns wide.
pub fn size(text: &str, scale: u16) -> (u16, u16) {
    let across: u16 = text.chars().map(advance).sum();
    (across.saturating_sub(1) * 2 * scale, SIZE.1 * scale)
}

/// Renders digits, points, signs and `%`; returns whether all of it fits. Where it does not, nothing is rendered: half a number is a
/// wrong number.
pub fn render(text: &str, scale: u16, style: Style, area: Rect, buffer: &mut Buffer) -> bool {
    let (width, height) = size(text, scale);
    if width > area.width || height > area.height {
        return false;
    }
    let mut point = |x: u16, y: u16| {
        let place = Rect::new(area.x + x * 2 * scale, area.y + y * scale, 2 * scale, scale);
        for position in place.intersection(area).positions() {
            if let Some(cell) = buffer.cell_mut(position) {
                cell.set_char('█').set_style(style);
            }
        }
    };
    let mut x = 0;
    for c in text.chars() {
        if c == '.' {
            point(x, SIZE.1 - 1);
        }
        for (y, row) in points(c).into_iter().flatten().enumerate() {
            (0..SIZE.0).filter(|i| row & (0b100 >> i) != 0).for_each(|i| point(x + i, y as u16));
        }
        x += advance(c);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::numbers::percent;

    #[test]
    fn every_character_of_a_percentage_has_its_points() {
        for value in [0.0123, 0.5, 12.0, 4e10, 1e-9, 0.0] {
            let text = percent(value);
            assert!(text.chars().all(|c| c == ' ' || c == '.' || points(c).is_some()), "{text}");
        }
        assert!(percent(f64::NAN).chars().all(|c| points(c).is_some()));
    }

    #[test]
    fn a_number_is_rendered_whole_or_not_at_all() {
        let area = Rect::new(0, 0, 14, 5);
        let mut buffer = Buffer::empty(area);
        assert!(render("41", 1, Style::new(), area, &mut buffer));
        let row = |y: u16| (0..14).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        assert_eq!([row(0), row(2)], ["██  ██    ██  ", "██████    ██  "]);
        let mut empty = Buffer::empty(area);
        assert!(!render("411", 1, Style::new(), area, &mut empty));
        assert_eq!(empty, Buffer::empty(area));
    }
}
