//! Any fact as tables, kinds of a newer agent included: members of the body as rows, lists as tables.

use jiff::Timestamp;
use serde_json::Value;
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::{FactKind, reason, word};
use tenken_shared::inventory::Held;
use tenken_shared::text::Lang;

use super::frame::{Frame, status_title};
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
            tables: body.map(|b| tables(frame, b)).unwrap_or_default(),
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

/// Lists that are what a kind is about, where it has several.
const MAIN: &[&str] = &["items", "pending", "jobs", "products", "listening", "interfaces", "probes"];

/// Number of entries of the main list.
fn summary(frame: &Frame, body: &Value) -> Option<String> {
    let members = body.as_object()?;
    let main = MAIN.iter().find_map(|name| members.get(*name)?.as_array());
    let of_objects = |value: &Value| value.as_array().is_some_and(|list| list.iter().any(Value::is_object));
    let first = || members.iter().find(|(name, value)| *name != "sources" && of_objects(value));
    let count = main.or_else(|| first()?.1.as_array())?.len();
    Some(if frame.is_ja() { format!("{count} 件") } else { format!("{count} entries") })
}

fn tables(frame: &Frame, body: &Value) -> Vec<TableView> {
    let Value::Object(members) = body else {
        return vec![TableView { rows: vec![vec![cell(frame, "", body)]], total: 1, ..TableView::default() }];
    };
    let row = |name: &str, member: &str, value: &Value| {
        vec![word::member(name, frame.lang), cell(frame, member, value)]
    };
    let mut own = TableView::default();
    let mut lists = Vec::new();
    let mut sources = None;
    for (name, value) in members {
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => match name.as_str() {
                // What was read comes last: it explains the rest.
                "sources" => sources = Some(list(frame, name, items)),
                _ => lists.push(list(frame, name, items)),
            },
            Value::Array(items) if items.is_empty() => own.rows.push(row(name, name, &0.into())),
            Value::Object(inner) => {
                own.rows.extend(inner.iter().map(|(key, value)| row(&format!("{name}.{key}"), key, value)));
            }
            other => own.rows.push(row(name, name, other)),
        }
    }
    own.total = own.rows.len();
    let own = (own.total > 0).then_some(own);
    own.into_iter().chain(lists).chain(sources).collect()
}

fn list(frame: &Frame, title: &str, items: &[Value]) -> TableView {
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
        .map(|item| {
            columns.iter().map(|c| item.get(c).map_or_else(String::new, |v| cell(frame, c, v))).collect()
        })
        .collect();
    let columns = columns.iter().map(|c| word::member(c, frame.lang)).collect();
    TableView { title: word::member(title, frame.lang), columns, rows, total: items.len() }
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

/// One value as people read it; `member` is whose it is.
fn cell(frame: &Frame, member: &str, value: &Value) -> String {
    let text = match value {
        Value::Bool(yes) => {
            frame.t(if *yes { "はい" } else { "いいえ" }, if *yes { "yes" } else { "no" }).to_owned()
        }
        Value::Array(items) if items.iter().all(|i| !i.is_object() && !i.is_array()) => {
            items.iter().map(|item| cell(frame, member, item)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(_) if member == "reason" => serde_json::from_value::<Reason>(value.clone())
            .map_or_else(|_| plain(value), |reason| reason_text(&reason, frame.lang)),
        Value::String(text) => written(frame, member, text),
        other => plain(other),
    };
    if text.chars().count() > MAX_CELL {
        let mut short: String = text.chars().take(MAX_CELL).collect();
        short.push('…');
        return short;
    }
    text
}

/// Text of a fact: statuses and kinds in words, moments in the organisation's own time.
fn written(frame: &Frame, member: &str, text: &str) -> String {
    let status = || serde_json::from_value::<Status>(text.into()).ok();
    if member == "status"
        && let Some(status) = status()
    {
        return status_title(status).get(frame.lang).to_owned();
    }
    if member == "kind"
        && let Ok(kind) = text.parse::<FactKind>()
    {
        return kind.title().get(frame.lang).to_owned();
    }
    let is_moment = text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
    match is_moment.then(|| text.parse::<Timestamp>()) {
        Some(Ok(at)) => frame.time(&at),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn frame() -> Frame {
        Frame::outside(Lang::En, "/".into())
    }

    #[test]
    fn an_unknown_body_becomes_tables_with_sources_last() {
        let body = json!({"sources": [{"source": "x", "status": "known"}], "spin": 3, "deep": {"a": true},
            "items": [{"name": "a", "size": 1}, {"name": "b", "color": "red"}], "none": []});
        let all = tables(&frame(), &body);
        assert_eq!(all.iter().map(|t| t.title.as_str()).collect::<Vec<_>>(), ["", "items", "sources"]);
        assert_eq!(all[1].columns, ["name", "color", "size"]);
        assert_eq!(all[1].rows[1], ["b", "red", ""]);
        assert!(all[0].rows.contains(&vec!["deep / a".to_owned(), "yes".to_owned()]));
        assert!(all[0].rows.contains(&vec!["none".to_owned(), "0".to_owned()]));
    }

    #[test]
    fn values_are_put_in_words_and_what_is_unknown_stays() {
        let say = |member: &str, value: Value| cell(&frame(), member, &value);
        assert_eq!(
            say("reason", json!({"code": "not_present", "detail": "etc/x"})),
            "not present [not_present]: etc/x"
        );
        assert_eq!(say("reason", json!({"why": 1})), r#"{"why":1}"#);
        assert_eq!(
            (say("status", json!("timed_out")), say("status", json!("odd"))),
            ("Timed out".into(), "odd".into())
        );
        assert_eq!(say("booted_at", json!("2026-11-24T03:04:05Z")), "2026-11-24 03:04");
        for name in ["2026-13-45T99:99:99Z", "日本語の名前が長く続く機器TZ"] {
            assert_eq!(say("name", json!(name)), name);
        }
        assert_eq!(say("kind", json!("software")), FactKind::Software.title().en);
        assert_eq!(say("x", json!([true, "a", 3])), "yes, a, 3");
    }

    #[test]
    fn the_main_list_is_counted() {
        let body = json!({"admin_rules": ["x"], "items": [{"name": "a"}, {"name": "b"}], "sources": [{}]});
        assert_eq!(summary(&frame(), &body).as_deref(), Some("2 entries"));
        assert_eq!(summary(&frame(), &json!({"rules": ["x"], "sources": [{}]})), None);
    }

    #[test]
    fn long_lists_and_cells_are_cut_and_say_how_many_there_are() {
        let items: Vec<Value> = (0..500).map(|n| json!({"name": "x".repeat(n)})).collect();
        let table = list(&frame(), "items", &items);
        assert_eq!((table.rows.len(), table.total), (MAX_ROWS, 500));
        assert!(cell(&frame(), "name", &json!("x".repeat(1000))).chars().count() <= MAX_CELL + 1);
    }
}
