//! The page that says what is known of a Windows machine (`shared/docs/windows.md`): its table is what the
//! tests compare the programs with, so it is the one list of expected statuses.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tenken_shared::fact::FactKind;

use crate::workspace;

/// The page in English and Japanese.
pub const PAGES: [&str; 2] = ["shared/docs/windows.md", "shared/docs/windows.ja.md"];

/// Where the program was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The running system, under Wine.
    Wine,
    /// The made machine's files.
    Folder,
}

/// Kind, and the cell of a place: status and, where there is one, the code of its reason.
pub type Row = (String, String);

/// The cells of a place by kind, in the order of the page.
pub fn rows(page: &str, place: Place) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(workspace::root().join(page)).with_context(|| page.to_owned())?;
    let column = match place {
        Place::Wine => 3,
        Place::Folder => 4,
    };
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Some((cells.get(1)?.replace('`', ""), cells.get(column)?.replace('`', "")))
    };
    Ok(lines.filter_map(row).collect())
}

/// What a program gave (`inventory --format json`), in the form of [`rows`].
pub fn given(inventory: &Value) -> Result<Vec<Row>> {
    let facts = inventory["facts"].as_array().with_context(|| format!("no facts: {inventory}"))?;
    let cell = |kind: &FactKind| {
        let fact = facts.iter().find(|fact| fact["kind"] == kind.as_str());
        let word = |pointer: &str| fact.and_then(|f| f.pointer(pointer)).and_then(Value::as_str);
        let status = word("/status").unwrap_or("-");
        let code = word("/reason/code").map_or_else(String::new, |code| format!(" {code}"));
        (kind.as_str().to_owned(), format!("{status}{code}"))
    };
    Ok(FactKind::ALL.iter().map(cell).collect())
}

/// Compares both pages with what a program gave.
pub fn agrees(inventory: &Value, place: Place) -> Result<()> {
    let given = given(inventory)?;
    for page in PAGES {
        let said = rows(page, place)?;
        let differ: Vec<_> = given.iter().filter(|row| !said.contains(row)).collect();
        ensure!(
            differ.is_empty() && said.len() == given.len(),
            "{page} has {} rows for {} kinds; it must say of {place:?}: {differ:#?}",
            said.len(),
            given.len()
        );
    }
    Ok(())
}
