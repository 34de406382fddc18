//! Any fact as tables, kinds of a newer agent included: members of the body as rows, lists as tables.

use jiff::Timestamp;
use serde_json::Value;
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::{reason, word};
use tenken_shared::inventory::Held;
use tenken_shared::text::Lang;

use super::frame::Frame;
use crate::export::plain;

/// Rows of one list on a page at most.
const MAX_ROWS: usize = 100;
/// Columns of one list at most.
const MAX_COLUMNS: usize = 12;
/// Characters of one cell at most.
const MAX_CELL: usize = 300;

/// One fact as a page shows it.
#[derive(Debug)]
pub(super) struct FactView {
    pub(super) kind: String,
    pub(super) title: String,
    /// A kind of a newer agent: kept, not judged.
    pub(super) unknown: bool,
    pub(super) status: Status,
    pub(super) source: String,
    pub(super) reason: Option<String>,
    pub(super) collected_at: Timestamp,
    pub(super) confirmed_at: Timestamp,
    pub(super) summary: Option<String>,
    pub(super) older: Option<String>,
    pub(super) tables: Vec<TableView>,
    pub(super) open: bool,
}

/// One table of a fact. Without columns, rows are name and value.
#[derive(Debug, Default)]
pub(super) struct TableView {
    pub(super) title: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) total: usize,
}

impl FactView {
    pub(super) fn of(frame: &Frame, kind: &tenken_shared::fact::KindName, held: &Held) -> Self {
        let content = &held.record.content;
        let title = kind.known().map_or_else(|| kind.to_string(), |k| k.title().get(frame.lang).to_owned());
        let older = held.last_known.as_ref().map(|last| {
            let at = frame.time(&last.collected_at);
            match frame.lang {
                Lang::Ja => format!("{at} に取得した以前の内容があります。現在の判定には使いません。"),
                Lang::En => format!("An earlier answer of {at} is kept. No verdict rests on it."),
            }
        });
        let body = content.body.as_ref();
        Self {
            kind: kind.to_string(),
            title,
            unknown: kind.known().is_none(),
            status: content.status,
            source: content.source.clone(),
            reason: content.reason.as_ref().map(|r| reason_text(r, frame.lang)),
            collected_at: held.record.collected_at,
            confirmed_at: held.confirmed_at,
            summary: body.and_then(|b| summary(frame, b)),
            older,
            tables: body.map(|b| in_words(tables(b), frame.lang)).unwrap_or_default(),
            open: false,
        }
    }
}

fn reason_text(reason: &Reason, lang: Lang) -> String {
    let words = reason::in_words(&reason.code, lang);
    let code = if words == reason.code { String::new() } else { format!(" [{}]", reason.code) };
    match &reason.detail {
        Some(detail) => format!("{words}{code}: {detail}"),
        None => format!("{words}{code}"),
    }
}

/// Number of entries of the main list.
fn summary(frame: &Frame, body: &Value) -> Option<String> {
    let list = body.as_object()?.iter().find(|(name, value)| *name != "sources" && value.is_array())?;
    let count = list.1.as_array()?.len();
    Some(if frame.is_ja() { format!("{count} 件") } else { format!("{count} entries") })
}

/// Puts words in the place of member names.
fn in_words(mut tables: Vec<TableView>, lang: Lang) -> Vec<TableView> {
    let put = |name: &mut String| *name = word::member(name, lang);
    for table in &mut tables {
        put(&mut table.title);
        table.columns.iter_mut().for_each(put);
        if table.columns.is_empty() {
            table.rows.iter_mut().filter(|row| row.len() == 2).for_each(|row| put(&mut row[0]));
        }
    }
    tables
}

fn tables(body: &Value) -> Vec<TableView> {
    let Value::Object(members) = body else {
        return vec![TableView { rows: vec![vec![cell(body)]], total: 1, ..TableView::default() }];
    };
    let mut own = TableView::default();
    let mut lists = Vec::new();
    for (name, value) in members {
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => lists.push(list(name, items)),
            Value::Array(items) if items.is_empty() => own.rows.push(vec![name.clone(), "0".into()]),
            Value::Object(inner) => {
                own.rows.extend(inner.iter().map(|(key, value)| vec![format!("{name}.{key}"), cell(value)]));
            }
            other => own.rows.push(vec![name.clone(), cell(other)]),
        }
    }
    own.total = own.rows.len();
    // What was read comes last: it explains the rest.
    lists.sort_by_key(|table| table.title == "sources");
    let mut all = Vec::new();
    if own.total > 0 {
        all.push(own);
    }
    all.extend(lists);
    all
}

fn list(title: &str, items: &[Value]) -> TableView {
    let mut columns: Vec<String> = Vec::new();
    for item in items.iter().take(MAX_ROWS).filter_map(Value::as_object) {
        for name in item.keys() {
            if columns.len() < MAX_COLUMNS && !columns.iter().any(|c| c == name) {
                columns.push(name.clone());
            }
        }
    }
    columns.sort_by_key(|c| (rank(c), c.clone()));
    let rows = items
        .iter()
        .take(MAX_ROWS)
        .map(|item| columns.iter().map(|c| item.get(c).map_or_else(String::new, cell)).collect())
        .collect();
    TableView { title: title.to_owned(), columns, rows, total: items.len() }
}

/// Names first, then the rest by the alphabet.
fn rank(column: &str) -> usize {
    const FIRST: &[&str] = &[
        "name",
        "id",
        "package",
        "product",
        "class",
        "mount",
        "source",
        "version",
        "installed",
        "candidate",
        "status",
    ];
    FIRST.iter().position(|c| *c == column).unwrap_or(FIRST.len())
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => plain(other),
    };
    if text.chars().count() > MAX_CELL {
        let mut short: String = text.chars().take(MAX_CELL).collect();
        short.push('…');
        return short;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_body_becomes_tables_with_sources_last() {
        let body = json!({"sources": [{"source": "x", "status": "known"}], "spin": 3, "deep": {"a": true},
            "items": [{"name": "a", "size": 1}, {"name": "b", "color": "red"}], "none": []});
        let all = tables(&body);
        assert_eq!(all.iter().map(|t| t.title.as_str()).collect::<Vec<_>>(), ["", "items", "sources"]);
        assert_eq!(all[1].columns, ["name", "color", "size"]);
        assert_eq!(all[1].rows[1], ["b", "red", ""]);
        assert!(all[0].rows.contains(&vec!["deep.a".to_owned(), "true".to_owned()]));
    }

    #[test]
    fn long_lists_and_cells_are_cut_and_say_how_many_there_are() {
        let items: Vec<Value> = (0..500).map(|n| json!({"name": "x".repeat(n)})).collect();
        let table = list("items", &items);
        assert_eq!((table.rows.len(), table.total), (MAX_ROWS, 500));
        assert!(cell(&json!("x".repeat(1000))).chars().count() <= MAX_CELL + 1);
    }
}
