//! Printing: one JSON document, or tables in which text from outside is harmless.

use std::io::Write as _;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use tenken_shared::text::printable;

/// Prints one JSON document on stdout. A reader that went away (`| head`) is no error.
pub fn json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write(&text)
}

/// Prints text on stdout. A reader that went away is no error.
pub fn write(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Width of the terminal, else of a page.
fn width() -> u16 {
    const PAGE: u16 = 100;
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) {
        return size.ws_col.clamp(40, 400);
    }
    PAGE
}

/// A table whose cells are escaped with [`printable`], as wide as the terminal at most.
pub fn table<R>(header: &[&str], rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width());
    table.set_header(header.iter().map(|cell| printable(cell)));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| printable(&cell)));
    }
    format!("{table}\n")
}
