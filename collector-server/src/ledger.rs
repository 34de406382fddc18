//! Reads the company's ledger of machines from CSV, as Excel writes it: UTF-8 with or without byte-order
//! mark, or Shift_JIS; commas, semicolons or tabs; headings in Japanese or English.

use std::collections::BTreeMap;

use encoding_rs::SHIFT_JIS;
use tenken_shared::text::Lang;

/// Largest file, bytes.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Most machines.
pub const MAX_ENTRIES: usize = 200_000;
/// Longest cell, characters.
const MAX_CELL: usize = 1_000;

/// One machine of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Number in the ledger; unique.
    pub asset_id: String,
    /// Host name.
    pub hostname: Option<String>,
    /// Serial.
    pub serial: Option<String>,
    /// All other columns by heading.
    pub data: BTreeMap<String, String>,
}

/// Why a ledger was not taken. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Over [`MAX_BYTES`] or [`MAX_ENTRIES`].
    #[error("the ledger is larger than {0}")]
    TooLarge(&'static str),
    /// Neither UTF-8 nor Shift_JIS.
    #[error("the ledger is neither UTF-8 nor Shift_JIS; an .xlsx file must be saved as CSV first")]
    Encoding,
    /// Not CSV.
    #[error("the ledger is not CSV: {0}")]
    Csv(#[from] csv::Error),
    /// No column that names machines.
    #[error("no column names the machines; needed is a serial number or a host name, found: {0}")]
    NoColumn(String),
    /// A row that names no machine, or one twice.
    #[error("line {line}: {what}")]
    Row {
        /// Line of the file.
        line: u64,
        /// What is wrong.
        what: RowSlip,
    },
    /// Rows but none with data.
    #[error("the ledger holds no machine")]
    Empty,
}

impl LedgerError {
    /// For people.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        match (self, lang) {
            (_, Lang::En) => self.to_string(),
            (Self::TooLarge(limit), Lang::Ja) => format!("台帳が大きすぎます(上限 {limit})"),
            (Self::Encoding, Lang::Ja) => {
                "台帳がUTF-8でもShift_JISでもありません。.xlsxはCSVで保存し直してください".into()
            }
            (Self::Csv(what), Lang::Ja) => format!("台帳をCSVとして読めません: {what}"),
            (Self::NoColumn(found), Lang::Ja) => {
                format!(
                    "機器を示す列がありません。シリアル番号かホスト名の列が必要です。見つかった列: {found}"
                )
            }
            (Self::Row { line, what: RowSlip::Nameless }, Lang::Ja) => {
                format!("{line}行目: 機器を示す値がありません")
            }
            (Self::Row { line, what: RowSlip::Twice(id) }, Lang::Ja) => {
                format!("{line}行目: 「{id}」が二度出てきます")
            }
            (Self::Empty, Lang::Ja) => "台帳に機器がありません".into(),
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowSlip {
    /// Content, but no machine.
    #[error("names no machine")]
    Nameless,
    /// A machine that stands above already.
    #[error("{0:?} appears twice")]
    Twice(String),
}

const ASSET: &[&str] =
    &["asset_id", "asset", "assetno", "assetnumber", "資産番号", "管理番号", "資産id", "機器番号", "番号"];
const HOST: &[&str] = &[
    "hostname",
    "host",
    "computername",
    "name",
    "ホスト名",
    "コンピュータ名",
    "コンピューター名",
    "pc名",
    "機器名",
    "端末名",
];
const SERIAL: &[&str] = &[
    "serial",
    "serialnumber",
    "serialno",
    "s/n",
    "sn",
    "シリアル番号",
    "シリアル",
    "シリアルno",
    "製造番号",
    "シリアルナンバー",
];

fn decode(bytes: &[u8]) -> Result<String, LedgerError> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.trim_start_matches('\u{feff}').to_owned());
    }
    let (text, _, broken) = SHIFT_JIS.decode(bytes);
    if broken { Err(LedgerError::Encoding) } else { Ok(text.into_owned()) }
}

/// A heading without what people vary: case, blanks, full-width forms of blank and punctuation.
fn plain(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-' | '.' | '(' | ')' | '．' | '・'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn column(headings: &csv::StringRecord, names: &[&str]) -> Option<usize> {
    let wanted: Vec<String> = names.iter().map(|n| plain(n)).collect();
    wanted.iter().find_map(|name| headings.iter().position(|h| plain(h) == *name))
}

fn delimiter(text: &str) -> u8 {
    let first = text.lines().next().unwrap_or_default();
    [b',', b'\t', b';'].into_iter().max_by_key(|d| first.bytes().filter(|b| b == d).count()).unwrap_or(b',')
}

fn cell(record: &csv::StringRecord, column: Option<usize>) -> Option<String> {
    let text = record.get(column?)?.trim();
    (!text.is_empty()).then(|| text.chars().take(MAX_CELL).collect())
}

/// Reads a ledger. Rows without any content are left out; a row that has content and names no machine is
/// an error, because a machine that is silently missing from the ledger would look covered.
pub fn parse(bytes: &[u8]) -> Result<Vec<Machine>, LedgerError> {
    if bytes.len() > MAX_BYTES {
        return Err(LedgerError::TooLarge("32 MiB"));
    }
    let text = decode(bytes)?;
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter(&text)).flexible(true).from_reader(text.as_bytes());
    let headings = reader.headers()?.clone();
    let (asset, host, serial) =
        (column(&headings, ASSET), column(&headings, HOST), column(&headings, SERIAL));
    if host.is_none() && serial.is_none() {
        return Err(LedgerError::NoColumn(headings.iter().collect::<Vec<_>>().join(", ")));
    }
    let mut entries: Vec<Machine> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.iter().all(|c| c.trim().is_empty()) {
            continue;
        }
        let (hostname, serial_text) = (cell(&record, host), cell(&record, serial));
        let id = cell(&record, asset).or_else(|| serial_text.clone()).or_else(|| hostname.clone());
        let wrong = |what: RowSlip| LedgerError::Row { line, what };
        let asset_id = id.ok_or_else(|| wrong(RowSlip::Nameless))?;
        if !seen.insert(asset_id.clone()) {
            return Err(wrong(RowSlip::Twice(asset_id)));
        }
        let known = [asset, host, serial];
        let data = headings.iter().enumerate().filter(|(i, _)| !known.contains(&Some(*i)));
        let data = data.filter_map(|(i, h)| Some((h.trim().to_owned(), cell(&record, Some(i))?))).collect();
        entries.push(Machine { asset_id, hostname, serial: serial_text, data });
        if entries.len() > MAX_ENTRIES {
            return Err(LedgerError::TooLarge("200,000 machines"));
        }
    }
    if entries.is_empty() { Err(LedgerError::Empty) } else { Ok(entries) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_excel_writes_in_japan_is_read() {
        let text =
            "管理番号,PC名,シリアル番号,部署\r\nA-1,PC-01,5CD123,経理部\r\n,,,\r\nA-2,,PF0ABC,営業部\r\n";
        let (sjis, _, _) = SHIFT_JIS.encode(text);
        for bytes in [text.as_bytes().to_vec(), format!("\u{feff}{text}").into_bytes(), sjis.into_owned()] {
            let entries = parse(&bytes).unwrap();
            assert_eq!(entries.len(), 2);
            assert_eq!(entries[0].hostname.as_deref(), Some("PC-01"));
            assert_eq!(entries[0].data["部署"], "経理部");
            assert_eq!((entries[1].asset_id.as_str(), entries[1].serial.as_deref()), ("A-2", Some("PF0ABC")));
        }
    }

    #[test]
    fn headings_vary_and_semicolons_and_tabs_separate() {
        let entries = parse(b"Serial Number;Host Name\nX1;a\n").unwrap();
        assert_eq!((entries[0].asset_id.as_str(), entries[0].hostname.as_deref()), ("X1", Some("a")));
        assert_eq!(parse(b"name\tnote\nb\tz\n").unwrap()[0].asset_id, "b");
    }

    #[test]
    fn a_ledger_that_would_lose_machines_is_refused() {
        assert!(matches!(parse(b"owner,room\nx,y\n"), Err(LedgerError::NoColumn(_))));
        assert!(matches!(parse(b"serial,room\n,y\n"), Err(LedgerError::Row { line: 2, .. })));
        assert!(matches!(parse(b"serial\nX\nX\n"), Err(LedgerError::Row { line: 3, .. })));
        assert!(matches!(parse(b"serial\n"), Err(LedgerError::Empty)));
        assert!(matches!(parse(b"PK\x03\x04\x81\xff\xff"), Err(LedgerError::Encoding)));
    }
}
