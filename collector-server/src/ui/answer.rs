//! Exceptions and attestations: what people answer for, to be recorded and ended.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tenken_shared::control;
use tenken_shared::criterion::{self, Attestation, Exception, Mitigation};

use super::frame::Frame;
use super::table::{Act, Field, FormView, Listing, RowView, TablePage};
use super::{Asked, PageError, Place, Sent, Viewer, render};
use crate::answer::{self, AnswerError, NewAttestation, NewException};
use crate::audit::actor_title;
use crate::http::auth::{AdminState, Caller};
use crate::http::error::ApiError;
use crate::store::answer::Ended;
use crate::user::Role;

/// Ended ones on a page at most.
const MAX_ENDED: u32 = 100;

/// A row's form that ends something.
fn end(frame: &Frame, action: String, ja: &str, en: &str) -> Act {
    let reason = Field::text("reason", frame.t("理由", "Reason"), "");
    Act { fields: vec![reason], ..Act::new(action, frame.t(ja, en)) }
}

#[derive(Deserialize)]
pub(super) struct Why {
    #[serde(default)]
    reason: String,
}

/// The sentence of an error that the form itself can show; others are pages of their own.
fn slip(frame: &Frame, error: AnswerError) -> Result<String, PageError> {
    match error {
        AnswerError::Invalid(slip) => Ok(slip.sentence(frame.lang)),
        other => match ApiError::from(other) {
            error if error.is_slip() => Ok(error.sentence(frame.lang)),
            error => Err(frame.error(error)),
        },
    }
}

fn control_title(frame: &Frame, id: &str) -> String {
    control::find(id).map_or_else(|| id.to_owned(), |c| c.title.get(frame.lang).to_owned())
}

/// Names of hosts by id, for targets.
async fn names(state: &AdminState, frame: &Frame, org: i64) -> Result<BTreeMap<String, String>, PageError> {
    let hosts = state.store.hosts(org).await.map_err(|e| frame.error(e))?;
    Ok(hosts.into_iter().map(|h| (h.id.to_string(), h.hostname)).collect())
}

fn target_title(frame: &Frame, names: &BTreeMap<String, String>, target: &str) -> String {
    match target.strip_prefix("group:") {
        Some(group) => format!("{}: {group}", frame.t("グループ", "Group")),
        None => names.get(target).cloned().unwrap_or_else(|| target.to_owned()),
    }
}

/// Cells of an exception, as every page shows it.
fn exception_cells(
    frame: &Frame,
    names: &BTreeMap<String, String>,
    e: &Exception,
    now: Timestamp,
) -> Vec<String> {
    let over = if e.deadline > now { "" } else { frame.t("(期限切れ)", " (over)") };
    vec![
        target_title(frame, names, &e.target),
        control_title(frame, &e.control),
        e.reason.clone(),
        e.mitigation.title().get(frame.lang).to_owned(),
        e.owner.clone(),
        format!("{}{over}", frame.until(&e.deadline)),
        actor_title(&e.created_by, frame.lang),
    ]
}

fn exception_columns(frame: &Frame) -> Vec<&str> {
    vec![
        frame.t("対象", "Target"),
        frame.t("管理策", "Control"),
        frame.t("理由", "Reason"),
        frame.t("軽減策", "Mitigation"),
        frame.t("担当", "Owner"),
        frame.t("期限", "Deadline"),
        frame.t("記録者", "Recorded by"),
    ]
}

/// Exceptions of some controls as a table, for the page of a criterion.
pub(super) async fn exceptions_of(
    state: &AdminState,
    frame: &Frame,
    org: i64,
    controls: &[String],
) -> Result<Listing, PageError> {
    let all = state.store.exceptions(org).await.map_err(|e| frame.error(e))?;
    let of: Vec<&Exception> = all.iter().filter(|e| controls.contains(&e.control)).collect();
    let names = if of.is_empty() { BTreeMap::new() } else { names(state, frame, org).await? };
    let now = Timestamp::now();
    let rows = of.iter().map(|e| RowView::of(exception_cells(frame, &names, e, now))).collect();
    Ok(Listing::new(&exception_columns(frame), rows, ""))
}

fn exception_form(frame: &Frame, new: &NewException, error: Option<String>) -> FormView {
    let pairs = |id: &str, title: &str| (id.to_owned(), title.to_owned());
    let mut controls: Vec<(String, String)> =
        control::ALL.iter().map(|c| pairs(c.id, c.title.get(frame.lang))).collect();
    controls.insert(0, pairs("", frame.t("選んでください", "Choose")));
    let mut mitigations: Vec<(String, String)> =
        Mitigation::ALL.iter().map(|m| pairs(m.as_str(), m.title().get(frame.lang))).collect();
    mitigations.insert(0, pairs("", frame.t("選んでください", "Choose")));
    let owner = if new.owner.is_empty() { frame.user.as_deref().unwrap_or_default() } else { &new.owner };
    FormView {
        asks: false,
        action: "/exceptions",
        title: frame.t("例外を記録", "Record an exception").to_owned(),
        submit: frame.t("記録する", "Record").to_owned(),
        fields: vec![
            Field::text("target", frame.t("対象", "Target"), &new.target)
                .hint(frame.t("機器名、ID、または group:グループ名", "machine name, id, or group:NAME")),
            Field::choice("control", frame.t("管理策", "Control"), &new.control, controls),
            Field::choice("mitigation", frame.t("軽減策", "Mitigation"), &new.mitigation, mitigations),
            Field::text("owner", frame.t("担当", "Owner"), owner),
            Field::text("deadline", frame.t("期限(この日まで)", "Until (last day)"), &new.deadline)
                .kind("date"),
            Field::text("reason", frame.t("理由", "Reason"), &new.reason).kind("area"),
        ],
        error,
    }
}

async fn exception_page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    new: &NewException,
    error: Option<String>,
) -> Result<Response, PageError> {
    frame.active = "exceptions";
    let operator = caller.actor.may(Role::Operator);
    let all = state.store.exceptions(caller.org).await.map_err(|e| frame.error(e))?;
    let ended = state.store.ended_exceptions(caller.org, MAX_ENDED).await.map_err(|e| frame.error(e))?;
    let (names, now) = (names(state, &frame, caller.org).await?, Timestamp::now());
    let host_of = |e: &Exception| names.contains_key(&e.target).then(|| format!("/hosts/{}", e.target));
    let row = |e: &Exception| RowView {
        cells: exception_cells(&frame, &names, e, now),
        acts: match operator {
            true => vec![end(&frame, format!("/exceptions/{}/end", e.id), "終了する", "End")],
            false => Vec::new(),
        },
        href: host_of(e),
        ..RowView::default()
    };
    let past = |e: &Ended<Exception>| {
        let mut cells = exception_cells(&frame, &names, &e.what, now);
        cells.truncate(5);
        cells.extend(ended_cells(&frame, e));
        RowView { href: host_of(&e.what), ..RowView::of(cells) }
    };
    let list = Listing::new(
        &exception_columns(&frame),
        all.iter().map(row).collect(),
        frame.t("例外はありません。", "There is no exception."),
    );
    let lead = frame.t(
        "直せない不適合を、軽減策・担当・期限とともに引き受ける記録です。判定は不適合のままで、評価基準だけが「例外付きで適合」になります。期限が過ぎると効力はなくなります。",
        "A failure that cannot be mended now, taken on with a mitigation, an owner and a deadline. The finding stays a failure; only the criterion may read “met with exceptions”, and only until the deadline.",
    );
    let mut page = TablePage::new(&frame, frame.t("例外", "Exceptions"), lead, list);
    if !ended.is_empty() {
        let mut columns = exception_columns(&frame);
        columns.truncate(5);
        columns.extend(ended_columns(&frame));
        let rows = ended.iter().map(past).collect();
        page.lists.push(Listing::new(&columns, rows, "").titled(frame.t("終了した例外", "Ended exceptions")));
    }
    page.forms = operator.then(|| exception_form(&frame, new, error)).into_iter().collect();
    Ok(render(&page))
}

fn ended_cells<T>(frame: &Frame, ended: &Ended<T>) -> [String; 3] {
    let reason = if ended.reason.is_empty() { "-".to_owned() } else { ended.reason.clone() };
    [frame.time(&ended.at), actor_title(&ended.by, frame.lang), reason]
}

fn ended_columns(frame: &Frame) -> [&str; 3] {
    [frame.t("終了日時", "Ended"), frame.t("終了した人", "Ended by"), frame.t("終了の理由", "Why it ended")]
}

/// GET /exceptions; members of a new one may be given to begin with.
pub(super) async fn exceptions(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(new): Asked<NewException>,
) -> Result<Response, PageError> {
    exception_page(&state, &viewer.caller, viewer.frame, &new, None).await
}

/// POST /exceptions
pub(super) async fn add_exception(
    State(state): State<AdminState>,
    sent: Sent<NewException>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    match answer::add_exception(&state.store, &caller.actor, form.clone(), Timestamp::now()).await {
        Ok(_) => {
            state.standings.forget(caller.org);
            Ok(Redirect::to("/exceptions").into_response())
        }
        Err(error) => {
            let sentence = slip(&frame, error)?;
            let page = exception_page(&state, &caller, frame, &form, Some(sentence)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// POST /exceptions/{id}/end
pub(super) async fn end_exception(
    State(state): State<AdminState>,
    Place(id): Place<String>,
    sent: Sent<Why>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    let done = state.store.remove_exception(&caller.actor, &id, form.reason.trim(), Timestamp::now()).await;
    done.map_err(|e| frame.error(e))?;
    state.standings.forget(caller.org);
    Ok(Redirect::to("/exceptions").into_response())
}

/// What the form of an attestation holds.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct AttestationForm {
    criterion: String,
    holds: String,
    by: String,
    statement: String,
    document: String,
    next_review: String,
}

impl AttestationForm {
    fn to_new(&self) -> NewAttestation {
        NewAttestation {
            criterion: self.criterion.clone(),
            holds: self.holds == "yes",
            by: self.by.clone(),
            statement: self.statement.clone(),
            document: Some(self.document.clone()),
            next_review: self.next_review.clone(),
        }
    }
}

fn attestation_form(frame: &Frame, form: &AttestationForm, error: Option<String>) -> FormView {
    let short = |text: &str| text.chars().take(60).collect::<String>();
    let criteria = criterion::all().iter().filter(|c| c.evidence != "endpoint");
    let mut choices: Vec<(String, String)> = criteria
        .map(|c| {
            (c.criterion.clone(), format!("{} {}", c.criterion, short(&super::overview::summary(frame, c))))
        })
        .collect();
    choices.insert(0, (String::new(), frame.t("選んでください", "Choose").to_owned()));
    let holds = [("yes", "満たしている", "It holds"), ("no", "満たしていない", "It does not hold")];
    let holds = holds.iter().map(|(v, ja, en)| ((*v).to_owned(), frame.t(ja, en).to_owned())).collect();
    let by = if form.by.is_empty() { frame.user.as_deref().unwrap_or_default() } else { &form.by };
    FormView {
        asks: false,
        action: "/attestations",
        title: frame.t("自己申告を記録", "Record an attestation").to_owned(),
        submit: frame.t("記録する", "Record").to_owned(),
        fields: vec![
            Field::choice("criterion", frame.t("評価基準", "Criterion"), &form.criterion, choices),
            Field::choice("holds", frame.t("満たしているか", "Does it hold"), &form.holds, holds),
            Field::text("by", frame.t("申告者", "Stated by"), by),
            Field::text(
                "next_review",
                frame.t("次回見直し(この日まで)", "Next review (last day)"),
                &form.next_review,
            )
            .kind("date"),
            Field::text("document", frame.t("文書の場所", "Where the document is"), &form.document)
                .optional(),
            Field::text("statement", frame.t("内容", "Statement"), &form.statement).kind("area"),
        ],
        error,
    }
}

fn attestation_cells(frame: &Frame, a: &Attestation, now: Timestamp) -> Vec<String> {
    let over = if a.next_review > now { "" } else { frame.t("(期限切れ)", " (overdue)") };
    vec![
        a.criterion.clone(),
        if a.holds {
            frame.t("満たしている", "holds")
        } else {
            frame.t("満たしていない", "does not hold")
        }
        .to_owned(),
        a.statement.clone(),
        a.document.clone().unwrap_or_else(|| "-".into()),
        a.by.clone(),
        frame.time(&a.at),
        format!("{}{over}", frame.until(&a.next_review)),
        actor_title(&a.recorded_by, frame.lang),
    ]
}

fn attestation_columns(frame: &Frame) -> Vec<&str> {
    vec![
        frame.t("評価基準", "Criterion"),
        frame.t("申告", "Says"),
        frame.t("内容", "Statement"),
        frame.t("文書", "Document"),
        frame.t("申告者", "Stated by"),
        frame.t("日時", "When"),
        frame.t("次回見直し", "Next review"),
        frame.t("記録者", "Recorded by"),
    ]
}

async fn attestation_page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    form: &AttestationForm,
    error: Option<String>,
) -> Result<Response, PageError> {
    frame.active = "attestations";
    let operator = caller.actor.may(Role::Operator);
    let all = state.store.attestations(caller.org).await.map_err(|e| frame.error(e))?;
    let ended = state.store.ended_attestations(caller.org, MAX_ENDED).await.map_err(|e| frame.error(e))?;
    let now = Timestamp::now();
    // The newest of a criterion counts; it replaced the earlier ones.
    let mut newest: BTreeMap<&str, &Attestation> = BTreeMap::new();
    for a in &all {
        newest.insert(&a.criterion, a);
    }
    let href = |a: &Attestation| Some(format!("/criteria/{}", a.criterion));
    let row = |a: &Attestation, acts| RowView {
        acts,
        href: href(a),
        ..RowView::of(attestation_cells(&frame, a, now))
    };
    let act = |a: &Attestation| match operator {
        true => vec![end(&frame, format!("/attestations/{}/end", a.id), "取り下げる", "Withdraw")],
        false => Vec::new(),
    };
    let current: Vec<RowView> = newest.values().map(|a| row(a, act(a))).collect();
    let replaced: Vec<RowView> = all
        .iter()
        .rev()
        .filter(|a| newest.get(a.criterion.as_str()).is_some_and(|n| n.id != a.id))
        .take(MAX_ENDED as usize)
        .map(|a| row(a, Vec::new()))
        .collect();
    let lead = frame.t(
        "機器では測れない評価基準について、だれが何を述べ、文書がどこにあるかの記録です。測定した結果とは必ず区別して表示します。",
        "What people state about criteria that no machine can answer: who, what, and where the document is. It is never shown as if it had been measured.",
    );
    let empty = frame.t("自己申告はありません。", "There is no attestation.");
    let list = Listing::new(&attestation_columns(&frame), current, empty);
    let mut page = TablePage::new(&frame, frame.t("自己申告", "Attestations"), lead, list);
    if !replaced.is_empty() {
        let list = Listing::new(&attestation_columns(&frame), replaced, "");
        page.lists.push(list.titled(frame.t("置き換えられた自己申告", "Replaced attestations")));
    }
    if !ended.is_empty() {
        let mut columns = attestation_columns(&frame);
        columns.truncate(5);
        columns.extend(ended_columns(&frame));
        let past = |e: &Ended<Attestation>| {
            let mut cells = attestation_cells(&frame, &e.what, now);
            cells.truncate(5);
            cells.extend(ended_cells(&frame, e));
            RowView { href: href(&e.what), ..RowView::of(cells) }
        };
        let list = Listing::new(&columns, ended.iter().map(past).collect(), "");
        page.lists.push(list.titled(frame.t("取り下げた自己申告", "Withdrawn attestations")));
    }
    page.forms = operator.then(|| attestation_form(&frame, form, error)).into_iter().collect();
    Ok(render(&page))
}

/// GET /attestations; members of a new one may be given to begin with.
pub(super) async fn attestations(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(form): Asked<AttestationForm>,
) -> Result<Response, PageError> {
    attestation_page(&state, &viewer.caller, viewer.frame, &form, None).await
}

/// POST /attestations
pub(super) async fn add_attestation(
    State(state): State<AdminState>,
    sent: Sent<AttestationForm>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    match answer::add_attestation(&state.store, &caller.actor, form.to_new(), Timestamp::now()).await {
        Ok(_) => {
            state.standings.forget(caller.org);
            Ok(Redirect::to("/attestations").into_response())
        }
        Err(error) => {
            let sentence = slip(&frame, error)?;
            let page = attestation_page(&state, &caller, frame, &form, Some(sentence)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// POST /attestations/{id}/end
pub(super) async fn end_attestation(
    State(state): State<AdminState>,
    Place(id): Place<String>,
    sent: Sent<Why>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    let done = state.store.end_attestation(&caller.actor, &id, form.reason.trim(), Timestamp::now()).await;
    done.map_err(|e| frame.error(e))?;
    state.standings.forget(caller.org);
    Ok(Redirect::to("/attestations").into_response())
}
