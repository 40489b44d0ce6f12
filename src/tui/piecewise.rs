//! A frame on a slow link: only as much of what has changed as its bytes allow, the status and the footer first.
//!
//! What is left for later stays on the screen as it was. Knows nothing of what is rendered.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Color;

/// Rows at the top that are sent first: the status, and what the run has come to. So is the last row, the footer.
const FIRST: u16 = 4;

/// Bytes that surround the cells of a frame: a synchronised update, the hidden cursor, the last colours, a request.
const AROUND: usize = 40;

/// What is on the screen.
#[derive(Default)]
pub struct Piecewise {
    shown: Option<Buffer>,
    /// The index of the cell from which on the rows that can wait are sent.
    next: usize,
}

impl Piecewise {
    /// Takes back what does not fit into `budget` bytes; returns whether there is such a part.
    pub fn hold_back(&mut self, frame: &mut Buffer, budget: usize) -> bool {
        // A screen of another size was cleared.
        let cleared = Buffer::empty(frame.area);
        let shown = self.shown.as_ref().filter(|shown| shown.area == frame.area).unwrap_or(&cleared);
        let (width, cells) = (usize::from(frame.area.width), frame.content.len());
        let (top, footer) = (cells.min(usize::from(FIRST) * width), cells.saturating_sub(width));
        let start = if (top..footer).contains(&self.next) { self.next } else { top };
        let urgent = (0..top).chain(footer.max(top)..cells);
        let mut bytes = Bytes::new(AROUND, width);
        let mut first_held = None;
        for i in urgent.chain(start..footer).chain(top..start) {
            let (old, new) = (&shown.content[i], &mut frame.content[i]);
            if old == new {
                continue;
            }
            if first_held.is_none() {
                bytes.add(i, new);
                if bytes.count <= budget {
                    continue;
                }
                first_held = Some(i);
            }
            *new = old.clone();
        }
        self.next = first_held.filter(|first| (top..footer).contains(first)).unwrap_or(start);
        first_held.is_some()
    }

    /// This is on the screen now.
    pub fn shown(&mut self, frame: &Buffer) {
        match &mut self.shown {
            Some(shown) if shown.area == frame.area => shown.content.clone_from(&frame.content),
            _ => self.shown = Some(frame.clone()),
        }
    }

    /// The screen was cleared.
    pub fn cleared(&mut self) {
        self.shown = None;
    }
}

/// Counts the bytes of cells as crossterm writes them, or some more.
struct Bytes {
    count: usize,
    /// Cells in a row.
    width: usize,
    /// The index and the style of the cell before.
    before: Option<(usize, Cell)>,
}

impl Bytes {
    fn new(count: usize, width: usize) -> Self {
        Self { count, width, before: None }
    }

    fn add(&mut self, index: usize, cell: &Cell) {
        let plain = Cell::EMPTY;
        let (place, style) = self.before.as_ref().map_or((None, &plain), |(place, style)| (Some(*place), style));
        if place.is_none_or(|place| place + 1 != index) || index.is_multiple_of(self.width) {
            self.count += "\x1b[100;100H".len();
        }
        if (style.fg, style.bg) != (cell.fg, cell.bg) {
            self.count += "\x1b[;m".len() + colour(cell.fg) + colour(cell.bg);
        }
        if style.modifier != cell.modifier {
            self.count += "\x1b[22m\x1b[1m".len();
        }
        self.count += cell.symbol().len();
        self.before = Some((index, cell.clone()));
    }
}

/// The longest form of a colour of this kind.
fn colour(colour: Color) -> usize {
    match colour {
        Color::Rgb(..) => "38;2;255;255;255".len(),
        Color::Reset => "39".len(),
        Color::Indexed(_)
        | Color::Black
        | Color::Red
        | Color::Green
        | Color::Yellow
        | Color::Blue
        | Color::Magenta
        | Color::Cyan
        | Color::Gray
        | Color::DarkGray
        | Color::LightRed
        | Color::LightGreen
        | Color::LightYellow
        | Color::LightBlue
        | Color::LightMagenta
        | Color::LightCyan
        | Color::White => "38;5;255".len(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::CrosstermBackend;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::{Color, Modifier, Style};
    use ratatui::{TerminalOptions, Viewport};

    use super::{AROUND, Bytes, Piecewise};

    const AREA: Rect = Rect::new(0, 0, 100, 20);

    fn full_of(letter: &str) -> Buffer {
        let mut buffer = Buffer::empty(AREA);
        for row in 0..AREA.height {
            buffer.set_string(0, row, letter.repeat(100), Style::new());
        }
        buffer
    }

    #[test]
    fn a_frame_arrives_in_pieces_and_first_its_status_and_footer() {
        let mut pieces = Piecewise::default();
        pieces.shown(&full_of("a"));
        let (wanted, mut frames) = (full_of("b"), 0);
        loop {
            let mut frame = wanted.clone();
            let held_back = pieces.hold_back(&mut frame, 700);
            if frames == 0 {
                let rows = [0, 3, 4, 18, 19].map(|row| frame[(0, row)].symbol().to_owned());
                assert_eq!(rows, ["b", "b", "b", "a", "b"], "five rows and the footer fit");
            }
            pieces.shown(&frame);
            frames += 1;
            if !held_back {
                assert_eq!(frame, wanted);
                break;
            }
        }
        assert_eq!(frames, 4, "2,000 cells and what surrounds them in pieces of 700 bytes");
    }

    #[test]
    fn what_always_changes_does_not_keep_the_rest_from_being_sent() {
        let mut pieces = Piecewise::default();
        pieces.shown(&full_of("a"));
        for i in 0..30 {
            // The status and rows 5 and 6 change in every frame.
            let mut frame = full_of("b");
            for row in [0, 5, 6] {
                frame.set_string(0, row, ["c", "d"][i % 2].repeat(100), Style::new());
            }
            pieces.hold_back(&mut frame, 300);
            pieces.shown(&frame);
        }
        let shown = pieces.shown.unwrap();
        let settled = (1..20).filter(|row| ![5, 6].contains(row));
        assert!(settled.into_iter().all(|row| (0..100).all(|x| shown[(x, row)].symbol() == "b")));
    }

    #[test]
    fn a_cleared_screen_and_one_of_another_size_are_sent_anew() {
        let mut pieces = Piecewise::default();
        pieces.shown(&full_of("a"));
        assert!(!pieces.hold_back(&mut full_of("a"), 100));
        pieces.cleared();
        let mut frame = full_of("a");
        assert!(pieces.hold_back(&mut frame, 100));
        assert_eq!(frame[(99, 19)].symbol(), " ");
        let mut small = Buffer::with_lines(["ab", "cd"]);
        assert!(!pieces.hold_back(&mut small, 100));
        assert_eq!(small, Buffer::with_lines(["ab", "cd"]));
    }

    /// The estimate is held to what ratatui and crossterm write.
    #[test]
    fn the_bytes_are_counted_as_they_are_written_or_a_few_more() {
        crossterm::style::force_color_output(true);
        let mut frame = Buffer::empty(AREA);
        for row in 0..AREA.height {
            for x in (row % 3..AREA.width).step_by(1 + usize::from(row % 4)) {
                let (r, g) = (200 + (x % 50) as u8, 100 + row as u8);
                let fg = if row < 10 { Color::Rgb(r, g, 250) } else { Color::Indexed(r) };
                let style = Style::new().fg(fg).bg(Color::Rgb(g, r, 111));
                let bold = if x % 10 < 5 { Modifier::BOLD } else { Modifier::empty() };
                frame.set_string(x, row, "▀", style.add_modifier(bold));
            }
        }
        let mut bytes = Bytes::new(AROUND, usize::from(AREA.width));
        let changed = frame.content.iter().enumerate().filter(|(_, cell)| **cell != ratatui::buffer::Cell::EMPTY);
        changed.for_each(|(i, cell)| bytes.add(i, cell));
        let mut written = Vec::new();
        let viewport = Viewport::Fixed(AREA);
        let mut terminal =
            Terminal::with_options(CrosstermBackend::new(&mut written), TerminalOptions { viewport }).unwrap();
        terminal.draw(|target| *target.buffer_mut() = frame.clone()).unwrap();
        drop(terminal);
        let (counted, real) = (bytes.count as f64, written.len() as f64);
        assert!(real <= counted && counted < 1.2 * real, "{counted} counted, {real} written");
    }
}
