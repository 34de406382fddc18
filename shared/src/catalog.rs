//! Catalogues: dated outside facts (end of support, builds, severities). Knows no source of them: a
//! catalogue is handed in as data, and its date travels with every verdict that rests on it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// All catalogues a judgement may use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// End of support.
    pub support: SupportCatalog,
}

/// End-of-support dates by product and cycle.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SupportCatalog {
    /// Version of the data file.
    pub version: String,
    /// When the data were compiled. Verdicts turn `unknown` when this is too old.
    pub compiled_at: Option<Timestamp>,
    /// Where the dates come from.
    pub source: String,
    /// Product (os-release `ID`, `windows`, `macos`, or a software key) to cycles.
    pub products: BTreeMap<String, Vec<SupportCycle>>,
}

/// One release cycle of a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupportCycle {
    /// Version prefix that selects it (`12`, `22.04`, `10.0.26100`).
    pub cycle: String,
    /// Edition it is limited to, where support differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// Last day with security updates for everyone.
    pub support_end: Option<Date>,
    /// Last day of extended or paid security updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_end: Option<Date>,
}
