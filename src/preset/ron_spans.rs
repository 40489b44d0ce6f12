//! The position of each field in a RON text.
//!
//! A lexer that cannot fail: it recognises comments, strings and brackets, and accepts anything else. So it finds
//! fields in texts that the parser rejects, and fields whose values are wrong only together.

use std::ops::{ControlFlow, Range};

/// A field `name: value`, with its byte ranges in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// `task.dim`, `checkpoint.parameters[2].shape`. Names of variants are not part of it.
    pub path: String,
    pub key: Range<usize>,
    pub value: Range<usize>,
}

/// Every field of a text, inner fields before the field that contains them.
pub fn fields(text: &str) -> Vec<Field> {
    let mut found = Vec::new();
    let _ = visit::<()>(text, |field| {
        found.push(field);
        ControlFlow::Continue(())
    });
    found
}

/// The first field with this path.
pub fn find(text: &str, path: &str) -> Option<Field> {
    let matching =
        |field: Field| if field.path == path { ControlFlow::Break(field) } else { ControlFlow::Continue(()) };
    visit(text, matching).break_value()
}

/// The innermost field around a byte.
pub fn at(text: &str, place: usize) -> Option<Field> {
    let around = |field: &Field| field.key.start <= place && (place < field.value.end || place == field.value.start);
    visit(text, |field| if around(&field) { ControlFlow::Break(field) } else { ControlFlow::Continue(()) })
        .break_value()
}

/// Whether the text's value is named `name`, or is a struct without a name whose first field is `field`.
pub fn opens_with(text: &str, name: &str, field: &str) -> bool {
    let mut lexer = Lexer { text, at: 0 };
    let mut first = lexer.next();
    // Attributes: #![enable(…)].
    while first.as_ref().is_some_and(|token| &text[token.range.clone()] == "#") {
        lexer.find(|token| &text[token.range.clone()] == "]");
        first = lexer.next();
    }
    let Some(first) = first else { return false };
    let word = |token: Option<Token>| token.map(|token| &text[token.range]);
    match &text[first.range] {
        "(" => word(lexer.next()) == Some(field),
        found => found == name && word(lexer.next()) == Some("("),
    }
}

/// Breaks lines that are longer than `width` columns after commas, outside strings.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let (mut copied, mut column, mut indent, mut after_comma) = (0, 0, 0, false);
    for token in (Lexer { text, at: 0 }) {
        let gap = &text[copied..token.range.start];
        let word = &text[token.range.clone()];
        if let Some((_, line)) = gap.rsplit_once('\n') {
            (column, indent) = (line.chars().count(), line.len());
            out.push_str(gap);
        } else if after_comma && column + gap.len() + word.len() >= width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent + 4));
            column = indent + 4;
        } else {
            column += gap.chars().count();
            out.push_str(gap);
        }
        column += word.chars().count();
        out.push_str(word);
        after_comma = word == ",";
        copied = token.range.end;
    }
    out.push_str(&text[copied..]);
    out
}

/// Line and column of a byte, counted from 1, columns in characters.
pub fn line_column(text: &str, place: usize) -> (usize, usize) {
    let before = text.get(..place).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The byte at a line and a column.
pub fn place(text: &str, line: usize, column: usize) -> usize {
    let line_start =
        if line <= 1 { 0 } else { text.match_indices('\n').nth(line - 2).map_or(text.len(), |(i, _)| i + 1) };
    let rest = &text[line_start..];
    line_start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(i, _)| i)
}

/// The first byte from `from` on that is neither white space nor comment.
pub fn next_word(text: &str, from: usize) -> usize {
    let mut lexer = Lexer { text, at: from };
    lexer.skip_blank();
    lexer.at
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    /// One character of punctuation: a bracket, a comma, a colon.
    Mark(u8),
    /// A string, a number, or anything else.
    Other,
}

struct Token {
    kind: Kind,
    range: Range<usize>,
}

/// Characters of a character literal at most, without its first quote: `\u{10FFFF}'`.
const LONGEST_CHARACTER: usize = 11;

/// Splits a text into tokens of at least one byte.
struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Skips characters as long as they match.
    fn pass(&mut self, fits: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !fits(c)).unwrap_or(rest.len());
    }

    /// Skips everything up to and including `end`, or to the end of the text.
    fn pass_until(&mut self, end: &str) {
        let rest = self.rest();
        self.at += rest.find(end).map_or(rest.len(), |i| i + end.len());
    }

    fn skip_blank(&mut self) {
        loop {
            self.pass(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.pass_until("\n");
            } else if self.rest().starts_with("/*") {
                self.skip_block_comment();
            } else {
                return;
            }
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest().starts_with("/*") {
                (depth, self.at) = (depth + 1, self.at + 2);
            } else if self.rest().starts_with("*/") {
                (depth, self.at) = (depth - 1, self.at + 2);
            } else {
                self.at += self.rest().chars().next().map_or(0, char::len_utf8);
            }
            if depth == 0 || self.rest().is_empty() {
                return;
            }
        }
    }

    /// Skips the rest of a string after its opening quote.
    fn pass_string(&mut self) {
        let mut escaped = false;
        let end = self.rest().find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        self.at += end.map_or(self.rest().len(), |i| i + 1);
    }

    /// Skips a raw string r#"…"#, if there is one here.
    fn pass_raw_string(&mut self) -> bool {
        let Some(after) = self.rest().strip_prefix("br").or(self.rest().strip_prefix('r')) else { return false };
        let hashes = after.len() - after.trim_start_matches('#').len();
        if !after[hashes..].starts_with('"') {
            return false;
        }
        self.at += self.rest().len() - after.len() + hashes + 1;
        self.pass_until(&format!("\"{}", "#".repeat(hashes)));
        true
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let start = self.at;
        let first = self.rest().chars().next()?;
        let kind = if self.pass_raw_string() {
            Kind::Other
        } else {
            self.at += first.len_utf8();
            match first {
                '"' => {
                    self.pass_string();
                    Kind::Other
                }
                '\'' => {
                    // A stray quote affects only what a character could be, so that lexing takes linear time.
                    let end = self.rest().char_indices().take(LONGEST_CHARACTER).find(|(_, c)| *c == '\n');
                    let end = end.or_else(|| self.rest().char_indices().nth(LONGEST_CHARACTER));
                    let inside = end.map_or(self.rest(), |(end, _)| &self.rest()[..end]);
                    let from = inside.chars().next().map_or(0, |c| c.len_utf8() + usize::from(c == '\\'));
                    self.at += inside.get(from..).and_then(|s| s.find('\'')).map_or(0, |i| from + i + 1);
                    Kind::Other
                }
                '0'..='9' | '+' | '-' | '.' => {
                    self.pass(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'));
                    Kind::Other
                }
                c if c.is_alphabetic() || c == '_' => {
                    self.pass(|c| c.is_alphanumeric() || c == '_');
                    Kind::Name
                }
                c if c.is_ascii() => Kind::Mark(first as u8),
                _ => Kind::Other,
            }
        };
        Some(Token { kind, range: start..self.at })
    }
}

/// An open bracket, and the field in it that is being read.
struct Frame {
    path: String,
    /// The index of the list element that is being read.
    element: Option<usize>,
    field: Option<Field>,
}

impl Frame {
    /// The path of what is being read in this bracket.
    fn path(&self) -> String {
        match (&self.field, self.element) {
            (Some(field), _) => field.path.clone(),
            (None, Some(element)) => format!("{}[{element}]", self.path),
            (None, None) => self.path.clone(),
        }
    }
}

/// Bytes of a field's name that are part of its path: paths are copied for each bracket.
const LONGEST_NAME: usize = 64;

/// The end of what is kept of a name that begins at `start`.
fn longest_name(text: &str, start: usize) -> usize {
    (start + LONGEST_NAME..text.len()).find(|&end| text.is_char_boundary(end)).unwrap_or(text.len())
}

/// Deeper brackets are skipped: no preset or session nests so deeply.
const DEEPEST: usize = 64;

/// Calls `see` with each field when it ends.
fn visit<B>(text: &str, mut see: impl FnMut(Field) -> ControlFlow<B>) -> ControlFlow<B> {
    let root = Frame { path: String::new(), element: None, field: None };
    let mut frames = vec![root];
    let mut tokens = (Lexer { text, at: 0 }).peekable();
    let mut too_deep = 0usize;
    let mut end = 0;
    while let Some(token) = tokens.next() {
        let depth = frames.len();
        let Some(frame) = frames.last_mut() else { break };
        match token.kind {
            Kind::Mark(b'(' | b'[' | b'{') if depth > DEEPEST => too_deep += 1,
            Kind::Mark(b')' | b']' | b'}') if too_deep > 0 => too_deep -= 1,
            Kind::Mark(_) | Kind::Name | Kind::Other if too_deep > 0 => {}
            Kind::Mark(open @ (b'(' | b'[' | b'{')) => {
                let inside = Frame { path: frame.path(), element: (open == b'[').then_some(0), field: None };
                frames.push(inside);
            }
            Kind::Mark(b')' | b']' | b'}') if depth > 1 => {
                if let Some(field) = frame.field.take() {
                    see(ended(field, end))?;
                }
                frames.pop();
            }
            Kind::Mark(b',') => {
                if let Some(field) = frame.field.take() {
                    see(ended(field, end))?;
                }
                frame.element = frame.element.map(|element| element + 1);
            }
            Kind::Name if frame.field.is_none() && depth > 1 && colon_follows(&mut tokens) => {
                let name = &text[token.range.start..token.range.end.min(longest_name(text, token.range.start))];
                let path = if frame.path.is_empty() { name.to_owned() } else { format!("{}.{name}", frame.path) };
                let start = next_word(text, tokens.next().map_or(text.len(), |colon| colon.range.end));
                frame.field = Some(Field { path, key: token.range.clone(), value: start..start });
            }
            Kind::Mark(_) | Kind::Name | Kind::Other => {}
        }
        end = token.range.end;
    }
    for field in frames.into_iter().rev().filter_map(|frame| frame.field) {
        see(ended(field, text.len()))?;
    }
    ControlFlow::Continue(())
}

fn ended(field: Field, end: usize) -> Field {
    Field { value: field.value.start..end.max(field.value.start), ..field }
}

fn colon_follows<'a>(tokens: &mut std::iter::Peekable<Lexer<'a>>) -> bool {
    tokens.peek().is_some_and(|token| token.kind == Kind::Mark(b':'))
}

#[cfg(test)]
mod tests;
