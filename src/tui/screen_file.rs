//! The present screen as a file: text, or SVG with the colours of the screen.
//!
//! In the SVG, dots and blocks are shapes, since many fonts lack them, and everything else is text that can be copied.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::capabilities::Background;
use crate::system::files::{self, Existing};

/// Pixels of a cell, and of its letters.
const CELL: (f64, f64) = (9.0, 18.0);
const LETTERS: f64 = 15.0;
/// Pixels from the top of a cell to the line on which its letters stand.
const BASELINE: f64 = 14.0;
/// Numbers that are tried after a name that exists.
const MOST: u32 = 10_000;

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenFormat {
    Text,
    Svg,
}

impl ScreenFormat {
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Svg => "svg",
        }
    }

    pub fn content(self, buffer: &Buffer, background: Background) -> String {
        match self {
            Self::Text => text(buffer),
            Self::Svg => svg(buffer, background),
        }
    }
}

/// Writes to a new file `name.svg`, or `name-2.svg` and so on where that exists; returns its path.
///
/// # Errors
/// The folder cannot be made or written.
pub fn write_new(folder: &Path, name: &str, format: ScreenFormat, content: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for number in 1..MOST {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{suffix}.{}", format.extension()));
        match files::write(&path, content, Existing::Keep) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, format!("{name} and {MOST} names like it exist")))
}

/// The characters, without spaces at the ends of lines.
fn text(buffer: &Buffer) -> String {
    let row = |cells: &[Cell]| cells.iter().map(Cell::symbol).collect::<String>().trim_end().to_owned() + "\n";
    buffer.content.chunks(usize::from(buffer.area.width).max(1)).map(row).collect()
}

type Rgb = (u8, u8, u8);

fn svg(buffer: &Buffer, background: Background) -> String {
    let (width, height) = (f64::from(buffer.area.width) * CELL.0, f64::from(buffer.area.height) * CELL.1);
    let default_back = colours(background).1;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"{LETTERS}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
        hex(default_back)
    );
    for (y, cells) in buffer.content.chunks(usize::from(buffer.area.width).max(1)).enumerate() {
        row(cells, y as f64 * CELL.1, background, &mut svg);
    }
    svg + "</svg>\n"
}

/// Backgrounds first, then shapes and letters; neighbours of one style are one element.
fn row(cells: &[Cell], top: f64, background: Background, svg: &mut String) {
    let default_back = colours(background).1;
    let styled: Vec<(Rgb, Rgb)> = cells.iter().map(|cell| cell_colours(cell, background)).collect();
    let mut start = 0;
    while start < cells.len() {
        let same = |i: &usize| styled[*i].1 == styled[start].1;
        let end = (start..cells.len()).find(|i| !same(i)).unwrap_or(cells.len());
        if styled[start].1 != default_back {
            let (x, width) = (start as f64 * CELL.0, (end - start) as f64 * CELL.0);
            rect((x, top), (width, CELL.1), styled[start].1, svg);
        }
        start = end;
    }
    let mut start = 0;
    while start < cells.len() {
        if shape(cells[start].symbol(), (start as f64 * CELL.0, top), styled[start].0, svg) {
            start += 1;
            continue;
        }
        let style = (styled[start].0, weight(&cells[start]));
        let part_of = |i: &usize| {
            let cell = &cells[*i];
            (styled[*i].0, weight(cell)) == style && !is_shape(cell.symbol()) && (*i == start || cell.symbol() != " ")
        };
        let end = (start..cells.len()).find(|i| !part_of(i)).unwrap_or(cells.len()).max(start + 1);
        letters(&cells[start..end], (start as f64 * CELL.0, top), style, svg);
        start = end;
    }
}

/// Letters in as many columns as they have on the screen, whatever the font.
fn letters(cells: &[Cell], (x, top): (f64, f64), (colour, bold): (Rgb, bool), svg: &mut String) {
    let text: String = cells.iter().map(Cell::symbol).collect();
    if text.trim().is_empty() {
        return;
    }
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{}\" fill=\"{}\"{weight} textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\">{escaped}</text>",
        top + BASELINE,
        hex(colour),
        cells.len() as f64 * CELL.0
    );
}

fn weight(cell: &Cell) -> bool {
    cell.modifier.contains(Modifier::BOLD)
}

fn is_shape(symbol: &str) -> bool {
    symbol.chars().next().is_some_and(|c| matches!(c, '\u{2801}'..='\u{28ff}' | '▀' | '▄' | '█'))
}

/// Writes dots and blocks as rectangles; returns whether the character is one of these.
fn shape(symbol: &str, (x, y): (f64, f64), colour: Rgb, svg: &mut String) -> bool {
    if !is_shape(symbol) {
        return false;
    }
    let half = CELL.1 / 2.0;
    match symbol.chars().next() {
        Some('▀') => rect((x, y), (CELL.0, half), colour, svg),
        Some('▄') => rect((x, y + half), (CELL.0, half), colour, svg),
        Some('█') => rect((x, y), CELL, colour, svg),
        Some(dots) => {
            // The bits of a Braille character, by column and row.
            const BITS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
            let bits = dots as u32 - 0x2800;
            let (across, down) = (CELL.0 / 2.0, CELL.1 / 4.0);
            let mut path = String::new();
            for (column, rows) in BITS.iter().enumerate() {
                for (row, _) in rows.iter().enumerate().filter(|(_, bit)| bits & **bit != 0) {
                    let (left, top) = (x + (column as f64 + 0.25) * across, y + (row as f64 + 0.25) * down);
                    let _ = write!(path, "M{left} {top}h{size}v{size}h-{size}z", size = across / 2.0);
                }
            }
            let _ = writeln!(svg, "<path d=\"{path}\" fill=\"{}\"/>", hex(colour));
        }
        None => {}
    }
    true
}

fn rect((x, y): (f64, f64), (width, height): (f64, f64), colour: Rgb, svg: &mut String) {
    let fill = hex(colour);
    let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>");
}

fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// The colours of text and background where the terminal's own are meant.
fn colours(background: Background) -> (Rgb, Rgb) {
    match background {
        Background::Light => ((32, 32, 32), (255, 255, 255)),
        Background::Dark | Background::Unknown => ((216, 216, 216), (18, 18, 18)),
    }
}

/// What is seen of a cell: the colour of its character, and the one behind it.
fn cell_colours(cell: &Cell, background: Background) -> (Rgb, Rgb) {
    let (text, default_back) = colours(background);
    let (mut front, mut back) = (rgb(cell.fg).unwrap_or(text), rgb(cell.bg).unwrap_or(default_back));
    if cell.modifier.contains(Modifier::DIM) {
        let mix = |a: u8, b: u8| ((3 * u16::from(a) + 2 * u16::from(b)) / 5) as u8;
        front = (mix(front.0, back.0), mix(front.1, back.1), mix(front.2, back.2));
    }
    if cell.modifier.contains(Modifier::REVERSED) {
        (front, back) = (back, front);
    }
    (front, back)
}

/// The usual values of a terminal's colours; `None` for its own text and background.
fn rgb(colour: Color) -> Option<Rgb> {
    const SIXTEEN: [Rgb; 16] = [
        (0, 0, 0),
        (205, 49, 49),
        (13, 150, 100),
        (190, 150, 16),
        (36, 114, 200),
        (188, 63, 188),
        (17, 150, 180),
        (204, 204, 204),
        (118, 118, 118),
        (241, 76, 76),
        (35, 209, 139),
        (245, 245, 67),
        (59, 142, 234),
        (214, 112, 214),
        (41, 184, 219),
        (255, 255, 255),
    ];
    let sixteen = |index: usize| Some(SIXTEEN[index]);
    match colour {
        Color::Reset => None,
        Color::Black => sixteen(0),
        Color::Red => sixteen(1),
        Color::Green => sixteen(2),
        Color::Yellow => sixteen(3),
        Color::Blue => sixteen(4),
        Color::Magenta => sixteen(5),
        Color::Cyan => sixteen(6),
        Color::Gray => sixteen(7),
        Color::DarkGray => sixteen(8),
        Color::LightRed => sixteen(9),
        Color::LightGreen => sixteen(10),
        Color::LightYellow => sixteen(11),
        Color::LightBlue => sixteen(12),
        Color::LightMagenta => sixteen(13),
        Color::LightCyan => sixteen(14),
        Color::White => sixteen(15),
        Color::Rgb(r, g, b) => Some((r, g, b)),
        Color::Indexed(index @ 0..16) => sixteen(usize::from(index)),
        Color::Indexed(index) => Some(super::theme::indexed_rgb(index)),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn buffer() -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "a < b ⠁▀", Style::new().fg(Color::Rgb(1, 2, 3)));
        buffer.set_string(0, 1, "end", Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD));
        buffer
    }

    #[test]
    fn a_screen_is_text_and_svg() {
        assert_eq!(ScreenFormat::Text.content(&buffer(), Background::Dark), "a < b ⠁▀\nend\n");
        let svg = ScreenFormat::Svg.content(&buffer(), Background::Dark);
        assert!(svg.contains("&lt;") && !svg.contains('⠁'), "{svg}");
        // One dot of a cell, at its upper left, and the upper half of another.
        assert!(svg.contains("<path d=\"M55.125 1.125h2.25v2.25h-2.25z\" fill=\"#010203\"/>"), "{svg}");
        assert!(svg.contains("<rect x=\"63\" y=\"0\" width=\"9\" height=\"9\" fill=\"#010203\"/>"), "{svg}");
        // Reversed: the background's colour on the text's.
        assert!(svg.contains("width=\"27\" height=\"18\" fill=\"#d8d8d8\"/>"), "{svg}");
        let (open, closed) = (svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(open == closed && open == 4, "{svg}");
    }

    #[test]
    fn no_file_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let write = |content: &str| write_new(&folder.path().join("new"), "x", ScreenFormat::Svg, content).unwrap();
        let paths = [write("1"), write("2"), write("3")];
        let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["x.svg", "x-2.svg", "x-3.svg"]);
        assert_eq!(std::fs::read_to_string(&paths[0]).unwrap(), "1");
        let file = paths[0].join("below");
        assert!(write_new(&file, "x", ScreenFormat::Text, "").is_err());
    }
}
