//! The frame of a page: style, sections, tables.

use std::fmt::Write;

/// Readable on paper, on white and on black.
const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2rem; }
svg { max-width: 100%; height: auto; } figure { margin: 0; } figcaption, .muted { color: #808080; }
.answer { font-size: 1.15rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; white-space: nowrap; padding: 0.2rem 1.2rem 0.2rem 0; border-bottom: 1px solid #80808040; }
.table { overflow-x: auto; } pre { overflow-x: auto; font-size: 0.85rem; }
.held { color: #189e86; } .failed { color: #de3e4f; }
";

/// A page that is being written.
pub struct Page {
    text: String,
}

impl Page {
    pub fn new(title: &str) -> Self {
        let title = escaped(title);
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        Self { text }
    }

    pub fn section(&mut self, title: &str) {
        let _ = writeln!(self.text, "<h2>{}</h2>", escaped(title));
    }

    pub fn paragraph(&mut self, class: &str, text: &str) {
        let _ = writeln!(self.text, "<p class=\"{class}\">{}</p>", escaped(text));
    }

    /// A picture, as SVG, with a line below it.
    pub fn figure(&mut self, svg: &str, caption: &str) {
        let _ = writeln!(self.text, "<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>", escaped(caption));
    }

    /// The first row is the head.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        self.text += "<div class=\"table\"><table>\n";
        for (i, row) in rows.iter().enumerate() {
            let tag = if i == 0 { "th" } else { "td" };
            let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
            let _ = writeln!(self.text, "<tr>{cells}</tr>");
        }
        self.text += "</table></div>\n";
    }

    /// Text that is shown on request.
    pub fn details(&mut self, title: &str, text: &str) {
        let _ = writeln!(
            self.text,
            "<details><summary>{}</summary>\n<pre>{}</pre>\n</details>",
            escaped(title),
            escaped(text)
        );
    }

    pub fn finish(self) -> String {
        self.text + "</body>\n</html>\n"
    }
}

/// Text within HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            other => out.push(other),
        }
    }
    out
}
