//! The lexer on texts that parse, on texts that do not, and its time.

use super::*;

const TEXT: &str = r##"// dim: 1, ( "
#![enable(implicit_some)]
Preset(
    /* dim: /* nested ( */ 2 */ title: "dim: 3, \" (", raw: r#"x: ("#, mark: ',',
    task: Linear(dim: 10 /* ten */, outputs: Vector),
    list: [Gd(1), (a: -1.5e-3, b: [2, 3])],
    none: None)
"##;

#[test]
fn fields_are_found_outside_comments_and_strings() {
    let value = |path: &str| find(TEXT, path).map(|field| &TEXT[field.value]);
    assert_eq!(value("title"), Some(r#""dim: 3, \" (""#));
    assert_eq!(value("raw"), Some(r##"r#"x: ("#"##));
    assert_eq!(value("mark"), Some("','"));
    assert_eq!(value("task.dim"), Some("10"));
    assert_eq!(value("task"), Some("Linear(dim: 10 /* ten */, outputs: Vector)"));
    assert_eq!(value("list[1].a"), Some("-1.5e-3"));
    assert_eq!(value("list[1].b"), Some("[2, 3]"));
    assert_eq!(value("none"), Some("None"));
    assert_eq!(value("dim"), None);
}

#[test]
fn the_innermost_field_is_found() {
    let path = |word: &str| at(TEXT, TEXT.find(word).unwrap()).map(|field| field.path);
    assert_eq!(path("10").as_deref(), Some("task.dim"));
    assert_eq!(path("Linear").as_deref(), Some("task"));
    assert_eq!(path("Preset"), None);
}

/// In quadratic time these would take hours.
#[test]
fn lexing_takes_linear_time() {
    const SIZE: usize = 3 << 20;
    let long_name = format!("({}: [{}])", "a".repeat(SIZE / 2), "(),".repeat(SIZE / 6));
    let texts = ["'".repeat(SIZE), "'\\".repeat(SIZE / 2), "r#".repeat(SIZE / 2), "/*".repeat(SIZE / 2), long_name];
    for text in texts {
        assert_eq!(find(&text, "b"), None);
    }
}

#[test]
fn a_character_is_one_token() {
    for character in ["'a'", "'\\''", "'\\\\'", "'\\u{10FFFF}'", "'('"] {
        let text = format!("(a: {character}, b: 1)");
        assert_eq!(find(&text, "b").map(|field| &text[field.value]), Some("1"), "{character}");
    }
}

#[test]
fn places_go_there_and_back() {
    for (place_there, _) in TEXT.char_indices() {
        let (line, column) = line_column(TEXT, place_there);
        assert_eq!(place(TEXT, line, column), place_there);
    }
    assert_eq!(line_column("ä\nbc", 4), (2, 2));
    assert_eq!(place("ab", 9, 9), 2);
}

#[test]
fn a_kind_of_file_is_known_by_its_opening() {
    assert!(opens_with("// x\n#![enable(unwrap_newtypes)]\nSession (", "Session", "schema"));
    assert!(opens_with("(schema: 1", "Session", "schema"));
    for other in ["", "(", "Session", "Preset(schema: 1", "\"Session(\"", "// Session("] {
        assert!(!opens_with(other, "Session", "schema"), "{other}");
    }
}

#[test]
fn long_lines_are_wrapped_outside_strings() {
    let text = "(\n    a: [1.5, 2.5, 3.5, 4.5],\n    b: \"1, 2, 3, 4, 5, 6, 7\",\n)";
    let wrapped = wrapped(text, 20);
    assert_eq!(wrapped, "(\n    a: [1.5, 2.5,\n        3.5, 4.5],\n    b: \"1, 2, 3, 4, 5, 6, 7\",\n)");
}
