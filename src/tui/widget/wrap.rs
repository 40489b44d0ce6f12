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

/// The text, or less of its words and all of the number at its end: half a number is a wrong number.
pub fn with_whole_number(text: &str, most: usize) -> String {
    let before = text.trim_end_matches(" %").rfind(' ').map(|at| text.split_at(at));
    match before {
        Some((words, number))
            if number.contains(|c: char| c.is_ascii_digit()) && width(text) > most && width(number) + 1 < most =>
        {
            format!("{}{number}", fit(words, most - width(number)))
        }
        Some(_) | None => fit(text, most),
    }
}

/// The first of the texts that fits; where none does, as much of the last as fits.
pub fn first_that_fits(texts: &[String], most: usize) -> String {
    let first = texts.iter().find(|text| width(text) <= most);
    first.cloned().unwrap_or_else(|| texts.last().map_or_else(String::new, |text| fit(text, most)))
}

/// As many of the parts between commas, colons and parentheses as fit; where not even the first does, as much of the
/// text as fits.
pub fn fit_parts(text: &str, most: usize) -> String {
    let ends = text.match_indices([',', ':', '(']).map(|(end, _)| text[..end].trim_end());
    let closed = |part: &&str| part.matches('(').count() == part.matches(')').count();
    let whole = ends.chain([text]).filter(closed).rfind(|part| width(part) <= most);
    whole.map_or_else(|| fit(text, most), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{fit, fit_parts, with_whole_number, wrap};

    #[test]
    fn a_title_loses_whole_parts() {
        let title = "Answers so far: token 11 of 11, 10 pairs read";
        let shown = [50, 40, 20, 10].map(|most| fit_parts(title, most));
        assert_eq!(shown, [title, "Answers so far: token 11 of 11", "Answers so far", "Answers s…"]);
        assert_eq!(fit_parts("Hidden state after token 25 of 25 (x₂₄, y₂₄)", 40), "Hidden state after token 25 of 25");
    }

    #[test]
    fn a_label_loses_words_before_digits() {
        assert_eq!(with_whole_number("least squares 0.1234", 13), "least… 0.1234");
        assert_eq!(with_whole_number("GD-1 by distance 15 %", 14), "GD-1 by… 15 %");
        assert_eq!(with_whole_number("GD-1 0.2061", 13), "GD-1 0.2061");
        assert_eq!(with_whole_number("least squares", 12), "least squar…");
        assert_eq!(with_whole_number("0.123456789", 5), "0.12…");
    }

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
