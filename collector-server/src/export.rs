//! Tables for people and programs: CSV and JSON of the same rows, harmless in a spreadsheet.
//!
//! CSV starts with a byte-order mark so that Excel reads Japanese; a cell that a spreadsheet would take
//! for a formula (`= + - @`, tab, carriage return at its start) gets an apostrophe before it; control and
//! bidirectional characters are shown as `\u{..}`. A table that was cut short says so in a last row.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tenken_shared::text::{Text, printable};

/// Said of a table that a cap cut short.
pub const CUT: Text =
    Text::new("先頭の{}行だけです。続きがあります。", "Only the first {} rows; there are more.");

/// Rows under named columns. Values are `null`, booleans, numbers and strings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Table {
    /// Column names, in order.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<Value>>,
    /// Whether a cap cut the rows short.
    pub truncated: bool,
}

/// What to write a table as.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Aligned columns for a terminal.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// CSV with byte-order mark.
    Csv,
}

impl Table {
    /// Rows of typed values, by their serialised members. `columns` fixes order and choice.
    #[must_use]
    pub fn of<T: Serialize>(columns: &[&str], items: &[T]) -> Self {
        let rows = items
            .iter()
            .map(|item| match serde_json::to_value(item) {
                Ok(Value::Object(map)) => {
                    columns.iter().map(|c| map.get(*c).cloned().unwrap_or(Value::Null)).collect()
                }
                _ => vec![Value::Null; columns.len()],
            })
            .collect();
        Self { columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows, truncated: false }
    }

    /// The rows of another one of the same columns after these.
    pub fn append(&mut self, other: Self) {
        self.columns = other.columns;
        self.rows.extend(other.rows);
        self.truncated |= other.truncated;
    }

    /// CSV text.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = String::from("\u{feff}");
        push_row(&mut out, self.columns.iter().map(|c| cell(c)));
        for row in &self.rows {
            push_row(&mut out, row.iter().map(csv_value));
        }
        if self.truncated {
            let said = format!("# {} {}", CUT.ja, CUT.en).replace("{}", &self.rows.len().to_string());
            let empty = std::iter::repeat_n(String::new(), self.columns.len().saturating_sub(1));
            push_row(&mut out, std::iter::once(said).chain(empty));
        }
        out
    }

    /// One JSON object per row.
    #[must_use]
    pub fn to_objects(&self) -> Vec<Map<String, Value>> {
        self.rows.iter().map(|row| self.columns.iter().cloned().zip(row.iter().cloned()).collect()).collect()
    }

    /// Aligned text for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(self.columns.iter().map(|c| printable(c)));
        for row in &self.rows {
            table.add_row(row.iter().map(|value| printable(&plain(value))));
        }
        let mut text = table.to_string();
        text.push('\n');
        text
    }
}

/// The text of one value, `null` as nothing.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv_value(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => cell(&plain(other)),
    }
}

/// One harmless CSV cell, not yet quoted.
fn cell(text: &str) -> String {
    let safe = printable(text);
    let formula =
        text.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
            || text.starts_with(['\t', '\r', '\n']);
    if formula { format!("'{safe}") } else { safe }
}

fn push_row(out: &mut String, cells: impl Iterator<Item = String>) {
    for (index, text) in cells.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if text.contains([',', '"', '\'', ' ']) {
            out.push('"');
            out.push_str(&text.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&text);
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(value: Value) -> String {
        let table = Table { columns: vec!["c".into()], rows: vec![vec![value]], truncated: false };
        table.to_csv().lines().nth(1).unwrap().to_owned()
    }

    #[test]
    fn formulas_are_defused_and_numbers_stay_numbers() {
        for hostile in ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "  =1", "＝1", "\t=1", "\r=1"] {
            let text = one(json!(hostile));
            assert!(text.trim_start_matches('"').starts_with('\''), "{hostile:?} became {text:?}");
        }
        assert_eq!(one(json!(-5)), "-5");
        assert_eq!(one(json!("plain")), "plain");
        assert_eq!(one(Value::Null), "");
    }

    #[test]
    fn quotes_breaks_and_direction_marks_cannot_leave_the_cell() {
        assert_eq!(one(json!("a\",\"b")), "\"a\"\",\"\"b\"");
        assert_eq!(one(json!("a\nb\u{202e}c")), "a\\u{a}b\\u{202e}c");
    }

    #[test]
    fn a_table_cut_short_says_so_in_its_last_row() {
        let columns = vec!["a".into(), "b".into()];
        let mut table = Table { columns, rows: vec![vec![json!(1), json!(2)]; 3], truncated: true };
        let last = |table: &Table| {
            let text = table.to_csv();
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            reader.records().map(Result::unwrap).last().unwrap()
        };
        assert!(last(&table)[0].contains("3 rows") && last(&table)[0].contains("3行"), "{:?}", last(&table));
        table.truncated = false;
        assert_eq!(last(&table), vec!["1", "2"]);
    }

    #[test]
    fn csv_reads_back() {
        let table = Table {
            columns: vec!["name".into(), "n".into()],
            rows: vec![vec![json!("経理, \"主\""), json!(3)], vec![json!("'quoted'"), Value::Null]],
            truncated: false,
        };
        let text = table.to_csv();
        let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(&rows[0][0], "経理, \"主\"");
        assert_eq!(&rows[1][0], "'quoted'");
    }
}
