//! What commands print on standard output: lines for people, JSON for scripts.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use serde_json::Value;

/// Prints `value` as indented JSON, for `--json`.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => write(&text),
        Err(error) => write(&format!("{{\"error\":\"unprintable: {error}\"}}")),
    }
}

/// Prints one line for people; control characters in it are shown, not obeyed.
pub fn line(text: impl AsRef<str>) {
    write(&printable(text.as_ref()));
}

/// `text` with every control character but the line feed escaped.
///
/// Names, purposes and descriptions come from other people; a terminal must not take orders from them.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        let hides =
            matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (letter.is_control() && letter != '\n') || hides {
            let _ = write!(out, "{}", letter.escape_unicode());
        } else {
            out.push(letter);
        }
        out
    })
}

/// Rows in columns that are as wide as their widest cell; the last column runs free.
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let pad = |(cell, width): (&String, &usize)| format!("{cell:width$}");
    rows.iter()
        .map(|row| row.iter().zip(&widths).map(pad).collect::<Vec<_>>().join("  ").trim_end().to_owned())
        .collect()
}

/// A member's text for a table: strings bare, nothing as `-`, the rest as JSON.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A closed pipe (`| head`) is the reader's choice and no failure, so the result is dropped.
fn write(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\nc\\u{202e}d");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "long".into(), "x".into()], vec!["bbb".into(), "s".into()]];
        assert_eq!(columns(&rows), ["a    long  x", "bbb  s"]);
    }

    #[test]
    fn cells_are_plain() {
        assert_eq!(cell(&Value::Null), "-");
        assert_eq!(cell(&serde_json::json!("a")), "a");
        assert_eq!(cell(&serde_json::json!([1])), "[1]");
    }
}
