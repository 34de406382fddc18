//! `criteria`: result per criterion, for the organisation or one host.

use clap::Args;
use serde_json::{Value, json};
use tenken_shared::control;
use tenken_shared::criterion::{self, CriterionResult, CriterionState, sentence};
use tenken_shared::finding::Finding;
use tenken_shared::text::{Lang, Text};

use super::common;
use super::door::{DoorArgs, part};
use super::{Format, output};
use crate::http::query_api::HostCriteria;

/// Arguments of `criteria`.
#[derive(Debug, Args)]
pub struct Criteria {
    #[command(flatten)]
    door: DoorArgs,
    /// One host alone, by id or name.
    #[arg(long)]
    host: Option<String>,
    /// Criteria that no control serves and nobody answered too.
    #[arg(long)]
    all: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Requirements whose criteria are always shown: the four items.
const FIRST: &[&str] = &["3-1-1", "4-4-4", "4-3-4", "4-1-9"];

fn is_shown(result: &CriterionResult) -> bool {
    let first = criterion::find(&result.criterion).is_some_and(|c| FIRST.contains(&c.requirement.as_str()));
    first || !result.controls.is_empty() || result.attestation.as_ref().is_some_and(|a| a.recorded)
}

impl Criteria {
    /// Runs the command.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let door = self.door.open(lang).await?;
        let Some(name) = &self.host else {
            let results = self.shown(door.get("/criteria").await?);
            return match self.format {
                Format::Json => output::json(&json!({"criteria": documents(&results)})),
                Format::Table => table(&results, lang),
            };
        };
        let found: HostCriteria = door.get(&format!("/hosts/{}/criteria", part(name))).await?;
        let (host, findings, results) = (found.host, found.findings, self.shown(found.criteria));
        if self.format == Format::Json {
            return output::json(&json!({
                "host": {"id": host.host, "hostname": host.name, "state": host.state,
                         "group": host.group, "last_report_at": host.last_report_at},
                "findings": findings.iter().map(finding).collect::<Vec<_>>(),
                "criteria": documents(&results),
            }));
        }
        table(&results, lang)?;
        failing(&findings, lang)
    }

    fn shown(&self, mut results: Vec<CriterionResult>) -> Vec<CriterionResult> {
        results.retain(|r| self.all || is_shown(r));
        results
    }
}

/// A criterion as JSON, with its words in both languages.
fn documents(results: &[CriterionResult]) -> Vec<Value> {
    let document = |result: &CriterionResult| {
        let mut value = serde_json::to_value(result).unwrap_or_default();
        let text = |lang| result.reasons.iter().map(|r| sentence(r, lang)).collect::<Vec<_>>();
        if let (Value::Object(map), Some(c)) = (&mut value, criterion::find(&result.criterion)) {
            map.insert("title".into(), json!({"ja": c.summary_ja, "en": c.summary_en}));
            map.insert("reason_text".into(), json!({"ja": text(Lang::Ja), "en": text(Lang::En)}));
        }
        value
    };
    results.iter().map(document).collect()
}

fn finding(finding: &Finding) -> Value {
    let mut value = serde_json::to_value(finding).unwrap_or_default();
    if let (Value::Object(map), Some(control)) = (&mut value, control::find(&finding.control)) {
        let text = |lang| control.sentence(&finding.verdict.message, lang);
        map.insert("title".into(), json!(control.title));
        map.insert("message_text".into(), json!({"ja": text(Lang::Ja), "en": text(Lang::En)}));
        map.insert("remediation".into(), json!(control.remediation));
        map.insert("severity".into(), json!(control.severity));
    }
    value
}

fn table(results: &[CriterionResult], lang: Lang) -> anyhow::Result<()> {
    let head = common::head(
        lang,
        &[
            Text::new("基準", "criterion"),
            Text::new("★", "★"),
            Text::new("状態", "state"),
            Text::new("内容", "what"),
            Text::new("理由", "why"),
        ],
    );
    let row = |r: &CriterionResult| {
        let found = criterion::find(&r.criterion);
        let what = found.map_or("", |c| match lang {
            Lang::Ja => c.summary_ja.as_str(),
            Lang::En => c.summary_en.as_str(),
        });
        let nothing =
            r.state == CriterionState::Attested && r.attestation.as_ref().is_some_and(|a| !a.recorded);
        let state = r.state.title().get(lang);
        let state = if nothing { format!("{state} *") } else { state.to_owned() };
        let why = r.reasons.iter().map(|m| sentence(m, lang)).collect::<Vec<_>>().join(" / ");
        vec![r.criterion.clone(), r.level.trim_start_matches("star").to_owned(), state, what.to_owned(), why]
    };
    output::table(&head, results.iter().map(row).collect())
}

/// What fails or is not known on the host, and what to do about it.
fn failing(findings: &[Finding], lang: Lang) -> anyhow::Result<()> {
    use tenken_shared::finding::Outcome;
    let head = common::head(
        lang,
        &[
            Text::new("判定", "outcome"),
            Text::new("項目", "control"),
            Text::new("内容", "finding"),
            Text::new("対処", "what to do"),
        ],
    );
    let open = findings.iter().filter(|f| matches!(f.verdict.outcome, Outcome::Fail | Outcome::Unknown));
    let row = |f: &Finding| {
        let control = control::find(&f.control);
        let said = control.map_or_else(String::new, |c| c.sentence(&f.verdict.message, lang));
        let cure = control.filter(|_| f.verdict.outcome == Outcome::Fail).map(|c| c.remediation.get(lang));
        let outcome = f.verdict.outcome.title().get(lang).to_owned();
        vec![outcome, f.control.clone(), said, cure.unwrap_or_default().to_owned()]
    };
    let mut rows: Vec<_> = open.collect();
    rows.sort_by_key(|f| (f.verdict.outcome != Outcome::Fail, &f.control));
    output::table(&head, rows.into_iter().map(row).collect())
}
