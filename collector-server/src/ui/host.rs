//! The list of hosts, and one host with its findings and facts.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tenken_shared::control;
use tenken_shared::fact::{FactKind, word};
use tenken_shared::finding::{Evidence, Finding, Outcome};
use tenken_shared::ids::HostId;

use super::fact::FactView;
use super::frame::Frame;
use super::{Asked, PageError, Place, Sent, Viewer, render, urlencode};
use crate::export::plain;
use crate::http::auth::AdminState;
use crate::http::error::{ApiError, Code};
use crate::query::{HostFilter, HostRow, HostSort, Page};
use crate::store::host::{Host, HostState};
use crate::user::Role;

type Choice = (&'static str, &'static str);

#[derive(Template)]
#[template(path = "hosts.html")]
struct ListPage {
    f: Frame,
    page: Page<HostRow>,
    filter: HostFilter,
    states: Vec<Choice>,
    systems: Vec<Choice>,
    outcomes: Vec<Choice>,
    silences: Vec<Choice>,
    sorts: Vec<Choice>,
    sort: &'static str,
    groups: Vec<String>,
    control: Option<(String, String)>,
    next: Option<String>,
    csv: String,
    json: String,
}

fn sort_word(sort: HostSort) -> &'static str {
    match sort {
        HostSort::Name => "name",
        HostSort::LastReport => "last_report",
        HostSort::Os => "os",
        HostSort::Group => "group",
        HostSort::State => "state",
    }
}

/// The filter as a query string, without cursor.
fn query_of(filter: &HostFilter) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for (name, member) in [
        ("text", &filter.text),
        ("state", &filter.state),
        ("os", &filter.os),
        ("group", &filter.group),
        ("outcome", &filter.outcome),
        ("control", &filter.control),
        ("silent", &filter.silent),
    ] {
        if let Some(value) = HostFilter::chosen(member) {
            pairs.push(format!("{name}={}", urlencode(value)));
        }
    }
    pairs.push(format!("sort={}", sort_word(filter.sort)));
    if filter.desc {
        pairs.push("desc=true".into());
    }
    pairs.join("&")
}

/// GET /hosts
pub(super) async fn list(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(filter): Asked<HostFilter>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "hosts";
    let lang = frame.lang;
    let page = state
        .store
        .host_page(caller.org, filter.clone(), Timestamp::now())
        .await
        .map_err(|e| frame.error(e))?;
    let groups = state.store.groups(caller.org).await.map_err(|e| frame.error(e))?;
    let query = query_of(&filter);
    let control = HostFilter::chosen(&filter.control).map(|id| {
        let title = control::find(id).map_or_else(|| id.to_owned(), |c| c.title.get(lang).to_owned());
        (id.to_owned(), title)
    });
    let all = ("", frame.t("すべて", "All"));
    // Of one control a machine has one outcome; over all controls “passes” would say nothing.
    let outcomes = match control {
        Some(_) => vec![
            all,
            ("fail", frame.t("不適合", "Fails")),
            ("unknown", frame.t("不明", "Unknown")),
            ("pass", frame.t("適合", "Passes")),
        ],
        None => vec![
            all,
            ("fail", frame.t("不適合の項目がある", "Some item fails")),
            ("unknown", frame.t("不明の項目がある", "Some item is unknown")),
            ("clear", frame.t("不適合も不明もない", "Nothing fails or is unknown")),
        ],
    };
    Ok(render(&ListPage {
        states: vec![
            all,
            ("confirmed", frame.t("管理対象", "Confirmed")),
            ("pending", frame.t("確認待ち", "Pending")),
            ("retired", frame.t("廃止", "Retired")),
            ("revoked", frame.t("失効", "Revoked")),
        ],
        systems: vec![all, ("windows", "Windows"), ("linux", "Linux"), ("macos", "macOS")],
        outcomes,
        silences: vec![all, ("false", frame.t("報告あり", "Reporting")), ("true", frame.t("途絶", "Silent"))],
        sorts: vec![
            ("name", frame.t("機器名", "Name")),
            ("last_report", frame.t("最終報告", "Last report")),
            ("os", "OS"),
            ("group", frame.t("グループ", "Group")),
            ("state", frame.t("状態", "State")),
        ],
        sort: sort_word(filter.sort),
        next: page.next.as_ref().map(|after| format!("/hosts?{query}&after={after}")),
        csv: format!("/api/v1/hosts?{query}&format=csv"),
        json: format!("/api/v1/hosts?{query}&format=json"),
        f: frame,
        page,
        filter,
        groups,
        control,
    }))
}

struct EvidenceView {
    kind: String,
    title: String,
    linked: bool,
    field: String,
    words: String,
    value: String,
    source: String,
    at: Option<Timestamp>,
}

struct FindingView {
    control: String,
    version: u32,
    outcome: Outcome,
    title: String,
    sentence: String,
    todo: bool,
    remediation: String,
    criteria: Vec<String>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    evidence: Vec<EvidenceView>,
}

#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    f: Frame,
    host: HostRow,
    operator: bool,
    actions: Vec<(&'static str, &'static str)>,
    findings: Vec<FindingView>,
    facts: Vec<FactView>,
}

fn evidence_view(frame: &Frame, evidence: &Evidence) -> EvidenceView {
    let known = evidence.kind.parse::<FactKind>().ok();
    let own = || word::member(&evidence.kind, frame.lang);
    let title = known.map_or_else(own, |k| k.title().get(frame.lang).to_owned());
    EvidenceView {
        words: word::pointer(&evidence.field, frame.lang),
        linked: known.is_some(),
        kind: evidence.kind.clone(),
        title,
        field: evidence.field.clone(),
        value: plain(&evidence.value),
        // Policy and the like name themselves as their source.
        source: match evidence.source == evidence.kind {
            true => word::member(&evidence.source, frame.lang),
            false => evidence.source.clone(),
        },
        at: evidence.at,
    }
}

fn finding_view(frame: &Frame, finding: &Finding) -> FindingView {
    let rule = control::find(&finding.control);
    let title = rule.map_or_else(|| finding.control.clone(), |c| c.title.get(frame.lang).to_owned());
    let verdict = &finding.verdict;
    FindingView {
        control: finding.control.clone(),
        version: finding.control_version,
        outcome: verdict.outcome,
        title,
        sentence: rule
            .map_or_else(|| verdict.message.code.clone(), |c| c.sentence(&verdict.message, frame.lang)),
        todo: rule.is_some() && verdict.outcome == Outcome::Fail,
        remediation: rule.map_or_else(String::new, |c| c.remediation.get(frame.lang).to_owned()),
        criteria: finding.criteria.clone(),
        first_seen: finding.first_seen,
        last_seen: finding.last_seen,
        evidence: verdict.evidence.iter().map(|e| evidence_view(frame, e)).collect(),
    }
}

/// What fails stands first, then what is unknown.
fn order(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fail => 0,
        Outcome::Unknown => 1,
        Outcome::Pass => 2,
        Outcome::NotApplicable => 3,
    }
}

/// The host of an address, of this organisation only.
async fn find(state: &AdminState, org: i64, id: &str) -> Result<Host, ApiError> {
    let id: HostId = id.parse().map_err(|_| ApiError::new(Code::NotFound))?;
    state.store.host(org, &id).await?.ok_or_else(|| ApiError::new(Code::NotFound))
}

/// GET /hosts/{id}
pub(super) async fn one(
    State(state): State<AdminState>,
    viewer: Viewer,
    Place(id): Place<String>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "hosts";
    let host = find(&state, caller.org, &id).await.map_err(|e| frame.error(e))?;
    let row = state.store.host_row(caller.org, &id, Timestamp::now()).await.map_err(|e| frame.error(e))?;
    let row = row.ok_or_else(|| frame.error(ApiError::new(Code::NotFound)))?;
    let inventory = state.store.inventory(host.at, None).await.map_err(|e| frame.error(e))?;
    let mut findings = state.store.findings(host.at, Timestamp::now()).await.map_err(|e| frame.error(e))?;
    findings.sort_by_key(|f| (order(f.verdict.outcome), f.control.clone()));
    let actions = match host.state {
        HostState::Pending => vec![("confirm", frame.t("管理対象として確認する", "Confirm as ours"))],
        HostState::Confirmed => vec![("retire", frame.t("廃止にする", "Retire"))],
        HostState::Retired => vec![("confirm", frame.t("管理対象に戻す", "Take back"))],
        HostState::Revoked => Vec::new(),
    };
    Ok(render(&HostPage {
        operator: caller.actor.may(Role::Operator),
        findings: findings.iter().map(|f| finding_view(&frame, f)).collect(),
        facts: inventory.iter().map(|(kind, held)| FactView::of(&frame, kind, held)).collect(),
        host: row,
        actions,
        f: frame,
    }))
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// POST /hosts/{id}/{verb}
pub(super) async fn act(
    State(state): State<AdminState>,
    Place((id, verb)): Place<(String, String)>,
    sent: Sent<Nothing>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, .. } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    change(&state, &caller, &id, &verb).await.map_err(|e| frame.error(e))?;
    Ok(Redirect::to(&format!("/hosts/{id}")).into_response())
}

/// Moves a host to another state and notes it; for console and API alike.
pub(crate) async fn change(
    state: &AdminState,
    caller: &crate::http::auth::Caller,
    id: &str,
    verb: &str,
) -> Result<Host, ApiError> {
    let target = match verb {
        "confirm" => HostState::Confirmed,
        "retire" => HostState::Retired,
        "revoke" => HostState::Revoked,
        _ => return Err(ApiError::new(Code::NotFound)),
    };
    let host = find(state, caller.org, id).await?;
    let changed = state.store.set_host_state(&caller.actor, &host.id, target, Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok(changed)
}
