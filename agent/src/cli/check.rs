//! `check`: judges this machine, or the one under a folder, with no collector.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};
use tenken_shared::control::HostLabel;
use tenken_shared::criterion::{self, CriterionResult};
use tenken_shared::fact::FactRecord;
use tenken_shared::finding::Outcome;
use tenken_shared::policy::Policy;
use tenken_shared::text::{Lang, Text};

use super::common::Common;
use super::{Context, Format, host_json, inventory, output};
use crate::check::{Judged, LocalHistory, read_policy};
use crate::disk;
use crate::probe::ProbeConfig;
use crate::probe::runner::Runner;

/// Requirements shown even where no control serves them yet.
const FIRST_ITEMS: [&str; 4] = ["3-1-1-", "4-4-4-", "4-3-4-", "4-1-9-"];

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Judge the machine whose files lie under this folder
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Judge that machine by the clock of this time (RFC 3339)
    #[arg(long, value_name = "TIME", requires = "root")]
    as_of: Option<Timestamp>,
    /// Policy file (JSON or TOML); else the collector's last one, else the built-in one
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// History file; a machine under a folder has none unless named
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let sys = inventory::open(args.root.as_deref(), args.as_of)?;
    let policy = policy(args, common)?;
    let history_file = history_file(args, common)?;
    let mut local = history_file.as_deref().map(LocalHistory::load).transpose()?.unwrap_or_default();
    let config = ProbeConfig { policy: policy.clone(), ..ProbeConfig::default() };
    let given = Runner::beside(sys.clone(), Some(common.paths()?.probe_state())).run(&config, None);
    let records: Vec<FactRecord> = given.into_iter().map(|c| c.record).collect();
    let host = host_json(&sys, &records);
    let name = host.get("hostname").and_then(Value::as_str).unwrap_or_default().to_owned();
    let label = HostLabel { id: "", name: &name, group: None };
    let judged = local.judge(records, &policy, label, sys.now());
    if let Some(file) = &history_file {
        local.save(file)?;
    }
    match args.format {
        Format::Json => output::json(&document(&host, &judged, context.lang))?,
        Format::Table => output::write(&tables(&judged, context.lang))?,
    }
    Ok(ExitCode::from(judged.exit_code()))
}

fn policy(args: &Args, common: &Common) -> anyhow::Result<Policy> {
    if let Some(file) = &args.policy {
        return Ok(read_policy(file)?);
    }
    let received = common.paths()?.policy();
    // Without the right to read the agent's folder this is not the enrolled agent's check.
    match received.try_exists() {
        Ok(true) => Ok(read_policy(&received)?),
        _ => Ok(Policy::default()),
    }
}

/// Where the history is kept; `None` for a root folder, and where the folder cannot be used, with a warning.
fn history_file(args: &Args, common: &Common) -> anyhow::Result<Option<PathBuf>> {
    if args.history.is_some() || args.root.is_some() {
        return Ok(args.history.clone());
    }
    let paths = common.paths()?;
    match disk::private_folder(paths.data()) {
        Ok(()) => Ok(Some(paths.history())),
        Err(error) => {
            tracing::warn!(%error, "No history is kept: how long something has been so cannot be told next time.");
            Ok(None)
        }
    }
}

fn document(host: &Value, judged: &Judged, lang: Lang) -> Value {
    let findings: Vec<Value> = judged
        .findings
        .iter()
        .map(|(control, finding)| {
            json!({
                "control": control.id,
                "control_version": control.version,
                "title": control.title.get(lang),
                "criteria": finding.criteria,
                "outcome": finding.verdict.outcome,
                "severity": control.severity,
                "message": control.sentence(&finding.verdict.message, lang),
                "code": finding.verdict.message.code,
                "evidence": finding.verdict.evidence,
                "valid_until": finding.verdict.valid_until,
                "first_seen": finding.first_seen,
                "last_seen": finding.last_seen,
                "remediation": control.remediation.get(lang),
            })
        })
        .collect();
    json!({"host": host, "findings": findings, "criteria": judged.criteria})
}

const FINDING_HEADER: [Text; 4] = [
    Text::new("結果", "Outcome"),
    Text::new("評価基準", "Criteria"),
    Text::new("項目", "Control"),
    Text::new("理由", "Why"),
];
const CRITERION_HEADER: [Text; 4] = [
    Text::new("評価基準", "Criterion"),
    Text::new("段階", "Level"),
    Text::new("状態", "State"),
    Text::new("内容・理由", "Subject and reason"),
];
const WHAT_TO_DO: Text = Text::new("対応が必要な項目", "What to do");

fn tables(judged: &Judged, lang: Lang) -> String {
    let rows =
        judged.findings.iter().filter(|(_, f)| f.verdict.outcome != Outcome::NotApplicable).map(|(c, f)| {
            [
                f.verdict.outcome.title().get(lang).to_owned(),
                f.criteria.join(" "),
                c.title.get(lang).to_owned(),
                c.sentence(&f.verdict.message, lang),
            ]
        });
    let findings = output::table(&FINDING_HEADER.map(|t| t.get(lang)), rows);
    let shown = judged.criteria.iter().filter(|c| is_shown(c));
    let criteria =
        output::table(&CRITERION_HEADER.map(|t| t.get(lang)), shown.map(|c| criterion_row(c, lang)));
    let mut todo = String::new();
    for (control, finding) in &judged.findings {
        if finding.verdict.outcome == Outcome::Fail {
            todo.push_str(&format!("- {}: {}\n", control.title.get(lang), control.remediation.get(lang)));
        }
    }
    if !todo.is_empty() {
        todo = format!("\n{}\n{todo}", WHAT_TO_DO.get(lang));
    }
    format!("{findings}\n{criteria}{todo}")
}

fn is_shown(result: &CriterionResult) -> bool {
    !result.controls.is_empty() || FIRST_ITEMS.iter().any(|item| result.criterion.starts_with(item))
}

fn criterion_row(result: &CriterionResult, lang: Lang) -> [String; 4] {
    let known = criterion::find(&result.criterion);
    let summary = known.map_or("", |c| match lang {
        Lang::Ja => &c.summary_ja,
        Lang::En => &c.summary_en,
    });
    let reason = result.reasons.first().map(|r| format!("\n{}", criterion::sentence(r, lang)));
    let level = if result.level == "star3" { "★3 ★4" } else { "★4" };
    [
        result.criterion.clone(),
        level.to_owned(),
        result.state.title().get(lang).to_owned(),
        format!("{summary}{}", reason.unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Sys;

    #[test]
    fn four_items_are_shown_even_where_nothing_could_be_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let sys = Sys::at_root(dir.path(), Some(now)).unwrap();
        let given = Runner::new(sys, None).run(&ProbeConfig::default(), None);
        let records = given.into_iter().map(|c| c.record).collect();
        let judged = LocalHistory::default().judge(records, &Policy::default(), HostLabel::default(), now);
        let shown = judged.criteria.iter().filter(|c| is_shown(c));
        let items = shown.filter(|c| FIRST_ITEMS.iter().any(|item| c.criterion.starts_with(item))).count();
        assert_eq!(items, 16);
        assert_eq!(judged.exit_code(), 3);
        for lang in [Lang::Ja, Lang::En] {
            assert!(tables(&judged, lang).contains("4-4-4-2"));
        }
    }
}
