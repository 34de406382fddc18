//! The organisation's state per criterion, what to do first, and one criterion.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use tenken_shared::control::{self, Control};
use tenken_shared::criterion::{self, Criterion, CriterionResult, CriterionState, HostCounts};
use tenken_shared::finding::Outcome;
use tenken_shared::text::Text;

use super::frame::Frame;
use super::table::Listing;
use super::{PageError, Place, Viewer, answer, render};
use crate::http::auth::AdminState;
use crate::http::error::{ApiError, Code};
use crate::query::{ControlCounts, CoverageCounts, FindingFilter, List};
use crate::user::Role;

/// The four items the product answers first.
const ITEMS: &[(&str, Text)] = &[
    ("3-1-1", Text::new("機器・OS・ソフトウェアの把握", "Knowing devices, OS and software")),
    ("4-4-4", Text::new("セキュリティパッチ・アップデート", "Security patches and updates")),
    ("4-3-4", Text::new("バックアップ", "Backup")),
    ("4-1-9", Text::new("可搬媒体の制限", "Restriction of portable media")),
];
/// Steps of "what to do first".
const FIRST: usize = 5;
/// Rows of a criterion's host table.
const MAX_ROWS: u32 = 500;

pub(super) struct CriterionView {
    criterion: String,
    stars: &'static str,
    summary: String,
    state: CriterionState,
    reason: String,
    counts: String,
}

struct Group {
    number: &'static str,
    title: String,
    rows: Vec<CriterionView>,
}

struct Step {
    control: String,
    title: String,
    remediation: String,
    outcome: Outcome,
    hosts: u64,
    criteria: Vec<&'static str>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    f: Frame,
    coverage: CoverageCounts,
    first: Vec<Step>,
    groups: Vec<Group>,
    at: Timestamp,
    standard: &'static str,
}

pub(super) fn summary(frame: &Frame, criterion: &Criterion) -> String {
    let (own, title) = if frame.is_ja() {
        (&criterion.summary_ja, &criterion.requirement_title_ja)
    } else {
        (&criterion.summary_en, &criterion.requirement_title_en)
    };
    if own.is_empty() { title.clone() } else { own.clone() }
}

fn counts(frame: &Frame, hosts: &HostCounts) -> String {
    let parts = [
        (hosts.pass, "適合", "pass"),
        (hosts.fail, "不適合", "fail"),
        (hosts.excepted, "例外", "excepted"),
        (hosts.unknown, "不明", "unknown"),
        (hosts.not_applicable, "対象外", "not applicable"),
        (hosts.not_covered, "未登録", "not enrolled"),
        (hosts.pending, "確認待ち", "pending"),
    ];
    let words: Vec<String> = parts
        .iter()
        .filter(|(count, _, _)| *count > 0)
        .map(
            |(count, ja, en)| {
                if frame.is_ja() { format!("{ja} {count}台") } else { format!("{count} {en}") }
            },
        )
        .collect();
    words.join(if frame.is_ja() { "、" } else { ", " })
}

fn view(frame: &Frame, result: &CriterionResult) -> CriterionView {
    let about = criterion::find(&result.criterion);
    CriterionView {
        criterion: result.criterion.clone(),
        stars: if result.level == "star3" { "★3・★4" } else { "★4" },
        summary: about.map_or_else(String::new, |c| summary(frame, c)),
        state: result.state,
        reason: result.reasons.first().map_or_else(String::new, |m| frame.reason(m)),
        counts: counts(frame, &result.hosts),
    }
}

fn groups(frame: &Frame, results: &[CriterionResult]) -> Vec<Group> {
    let mut groups: Vec<Group> = ITEMS
        .iter()
        .map(|(number, title)| Group {
            number,
            title: title.get(frame.lang).to_owned(),
            rows: results
                .iter()
                .filter(|r| r.criterion.starts_with(&format!("{number}-")))
                .map(|r| view(frame, r))
                .collect(),
        })
        .collect();
    let others = results.iter().filter(|r| {
        let item = ITEMS.iter().any(|(number, _)| r.criterion.starts_with(&format!("{number}-")));
        !item && (!r.controls.is_empty() || r.attestation.as_ref().is_some_and(|a| a.recorded))
    });
    let rows: Vec<CriterionView> = others.map(|r| view(frame, r)).collect();
    if !rows.is_empty() {
        let title =
            frame.t("あわせて確認できる評価基準", "Other criteria that machines can answer").to_owned();
        groups.push(Group { number: "", title, rows });
    }
    groups
}

/// Failing controls by severity, then by hosts; after them what is unknown on most hosts.
fn first_steps(frame: &Frame, counts: &[ControlCounts]) -> Vec<Step> {
    let known = |c: &ControlCounts| control::find(&c.control);
    let mut failing: Vec<(&ControlCounts, &Control)> =
        counts.iter().filter(|c| c.hosts.fail > 0).filter_map(|c| known(c).map(|rule| (c, rule))).collect();
    failing.sort_by_key(|(c, rule)| {
        (std::cmp::Reverse(rule.severity), std::cmp::Reverse(c.hosts.fail), rule.id)
    });
    let mut open: Vec<(&ControlCounts, &Control)> = counts
        .iter()
        .filter(|c| c.hosts.fail == 0 && c.hosts.unknown > 0)
        .filter_map(|c| known(c).map(|rule| (c, rule)))
        .collect();
    open.sort_by_key(|(c, rule)| {
        (std::cmp::Reverse(rule.severity), std::cmp::Reverse(c.hosts.unknown), rule.id)
    });
    let failing = failing.into_iter().map(|(c, rule)| step(frame, rule, Outcome::Fail, c.hosts.fail));
    let open = open.into_iter().map(|(c, rule)| step(frame, rule, Outcome::Unknown, c.hosts.unknown));
    failing.chain(open).take(FIRST).collect()
}

fn step(frame: &Frame, rule: &Control, outcome: Outcome, hosts: u64) -> Step {
    let remediation = match outcome {
        Outcome::Unknown => frame.t(
            "判定に必要な情報が集まっていません。機器のページで理由を確かめてください。",
            "What is needed to judge was not collected. The machine's page says why.",
        ),
        _ => rule.remediation.get(frame.lang),
    };
    Step {
        control: rule.id.to_owned(),
        title: rule.title.get(frame.lang).to_owned(),
        remediation: remediation.to_owned(),
        outcome,
        hosts,
        criteria: rule.criteria.to_vec(),
    }
}

/// GET /
pub(super) async fn overview(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "overview";
    let standing = state.standings.of(&state.store, caller.org).await.map_err(|e| frame.error(e))?;
    Ok(render(&OverviewPage {
        first: first_steps(&frame, &standing.controls),
        groups: groups(&frame, &standing.criteria),
        coverage: standing.coverage,
        at: standing.at,
        f: frame,
        standard: criterion::STANDARD_VERSION,
    }))
}

struct ControlView {
    id: &'static str,
    title: &'static str,
    remediation: &'static str,
}

struct RowView {
    host: String,
    name: String,
    outcome: Outcome,
    title: String,
    sentence: String,
    first_seen: Timestamp,
}

#[derive(Template)]
#[template(path = "criterion.html")]
struct CriterionPage {
    f: Frame,
    c: CriterionView,
    requirement: String,
    hosts: HostCounts,
    reasons: Vec<String>,
    controls: Vec<ControlView>,
    rows: Vec<RowView>,
    truncated: bool,
    list: Listing,
    attested: bool,
    operator: bool,
    /// Of when counts and state are.
    at: Timestamp,
    attestation: Option<Vec<(&'static str, String)>>,
}

/// GET /criteria/{number}
pub(super) async fn criterion(
    State(state): State<AdminState>,
    viewer: Viewer,
    Place(number): Place<String>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "overview";
    let lang = frame.lang;
    let missing = || frame.error(ApiError::new(Code::NotFound));
    let about = criterion::find(&number).ok_or_else(missing)?;
    let standing = state.standings.of(&state.store, caller.org).await.map_err(|e| frame.error(e))?;
    let result = standing.criteria.iter().find(|r| r.criterion == number).ok_or_else(missing)?;
    let rules: Vec<&Control> = result.controls.iter().filter_map(|id| control::find(id)).collect();
    let findings = if rules.is_empty() {
        List { items: Vec::new(), next: None }
    } else {
        let filter = FindingFilter::of(&result.controls);
        let list = state.store.finding_list(caller.org, filter, MAX_ROWS, Timestamp::now()).await;
        list.map_err(|e| frame.error(e))?
    };
    let list = answer::exceptions_of(&state, &frame, caller.org, &result.controls).await?;
    let truncated = findings.next.is_some();
    let rows = findings.items.into_iter().map(|finding| row_view(&frame, finding)).collect();
    let attestation = result.attestation.as_ref().and_then(|a| a.newest.as_ref()).map(|a| {
        vec![
            (frame.t("内容", "Statement"), a.statement.clone()),
            (
                frame.t("満たしているか", "Holds"),
                frame
                    .t(if a.holds { "はい" } else { "いいえ" }, if a.holds { "yes" } else { "no" })
                    .to_owned(),
            ),
            (frame.t("申告者", "By"), a.by.clone()),
            (frame.t("日時", "When"), frame.time(&a.at)),
            (frame.t("文書", "Document"), a.document.clone().unwrap_or_else(|| "-".into())),
            (frame.t("次回見直し", "Next review"), frame.until(&a.next_review)),
        ]
    });
    Ok(render(&CriterionPage {
        c: view(&frame, result),
        requirement: frame.t(&about.requirement_title_ja, &about.requirement_title_en).to_owned(),
        reasons: result.reasons.iter().skip(1).map(|m| frame.reason(m)).collect(),
        controls: rules
            .iter()
            .map(|c| ControlView { id: c.id, title: c.title.get(lang), remediation: c.remediation.get(lang) })
            .collect(),
        attested: result.attestation.is_some(),
        hosts: result.hosts,
        operator: caller.actor.may(Role::Operator),
        at: standing.at,
        f: frame,
        rows,
        truncated,
        list,
        attestation,
    }))
}

fn row_view(frame: &Frame, finding: crate::query::HostFinding) -> RowView {
    let rule = control::find(&finding.control);
    RowView {
        title: rule.map_or_else(|| finding.control.clone(), |c| c.title.get(frame.lang).to_owned()),
        sentence: rule
            .map_or_else(|| finding.message.code.clone(), |c| c.sentence(&finding.message, frame.lang)),
        host: finding.host,
        name: finding.host_name,
        outcome: finding.outcome,
        first_seen: finding.first_seen,
    }
}
