//! Printing: one JSON document, or a table in which nothing a machine told can act on the terminal.

use std::io::Write as _;

use serde::Serialize;
use tenken_shared::text::{Lang, Text, printable};

/// Prints text as it is.
pub fn text(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that went away (`| head`) is no error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints one JSON document.
pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Prints a table under headings in the reader's language; control characters in cells are escaped.
pub fn titled(lang: Lang, head: &[Text], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    let head: Vec<&str> = head.iter().map(|text| text.get(lang)).collect();
    table(&head, rows)
}

/// Prints a table; control characters in cells are escaped.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(head.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell).to_string()));
    }
    text(&format!("{table}\n"))
}
