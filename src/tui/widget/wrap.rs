//! Text in lines of a width. Wrapped before it is rendered, so that its lines can be counted and scrolled.

use ratatui::text::Span;

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Words in lines at most `most` columns wide; a word that is wider is broken.
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let most = most.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > most {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if !line.is_empty() && width(&line) + width(c.encode_utf8(&mut [0; 4])) > most {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The text, or as much of it as fits and an ellipsis.
pub fn fit(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if width(&short) + width(c.encode_utf8(&mut [0; 4])) + 1 > most {
            break;
        }
        short.push(c);
    }
    if most > 0 { format!("{}…", short.trim_end()) } else { short }
}

#[cfg(test)]
mod tests {
    use super::{fit, wrap};

    #[test]
    fn lines_break_between_words_and_inside_only_where_they_must() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("  a\n b ", 7), ["a b"]);
        assert_eq!(wrap("saves/broken.ron", 6), ["saves/", "broken", ".ron"]);
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrap("", 5), [] as [&str; 0]);
    }

    #[test]
    fn cut_text_ends_in_an_ellipsis() {
        assert_eq!([fit("linear", 6), fit("linear attention", 8), fit("ab", 0)], ["linear", "linear…", ""]);
    }
}
