//! Snapshots: take, schedule, compare, and carry one away with its evidence.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tenken_shared::criterion::{self, CriterionState};
use tenken_shared::finding::Outcome;
use tenken_shared::{control, text::Text};

use super::frame::Frame;
use super::table::{Field, FormView, Listing, RowView, TablePage};
use super::{Asked, PageError, Place, Sent, Viewer, render};
use crate::http::auth::{AdminState, Caller};
use crate::http::error::ApiError;
use crate::http::snapshot_api::{self, NewSchedule, PackFilter};
use crate::snapshot;
use crate::store::snapshot::{SnapshotDiff, SnapshotSummary};
use crate::user::Role;

fn reason(frame: &Frame, word: &str) -> String {
    match word {
        "manual" => frame.t("手動", "by hand").to_owned(),
        "schedule" => frame.t("予定", "schedule").to_owned(),
        other => frame.safe(other),
    }
}

fn row(frame: &Frame, s: &SnapshotSummary) -> RowView {
    RowView {
        links: vec![(format!("/snapshots/{}/pack", s.id), frame.t("書き出す", "Export").to_owned())],
        ..RowView::of(vec![
            s.number.to_string(),
            frame.time(&s.recorded_at),
            reason(frame, &s.reason),
            s.hosts.to_string(),
            s.id.to_string(),
            s.digest.to_string(),
        ])
    }
}

/// What a person wrote as a schedule; an empty expression ends it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ScheduleForm {
    #[serde(default)]
    cron: String,
    #[serde(default)]
    time_zone: String,
}

fn schedule_form(frame: &Frame, form: &ScheduleForm, error: Option<String>) -> FormView {
    let hint =
        frame.t("分 時 日 月 曜日。空にすると予定を終えます", "minute hour day month weekday; empty ends it");
    FormView {
        action: "/snapshots/schedule",
        title: frame.t("予定", "Schedule").to_owned(),
        submit: frame.t("予定を保存する", "Save the schedule").to_owned(),
        fields: vec![
            Field::text("cron", frame.t("cron式", "Cron expression"), &form.cron).optional().hint(hint),
            Field::text("time_zone", frame.t("タイムゾーン", "Time zone"), &form.time_zone)
                .optional()
                .hint(frame.t("空ならポリシーのもの", "empty: that of the policy")),
        ],
        error,
        ..FormView::default()
    }
}

fn compare_form(frame: &Frame, all: &[SnapshotSummary]) -> FormView {
    let choices: Vec<(String, String)> = all
        .iter()
        .map(|s| (s.number.to_string(), format!("{}: {}", s.number, frame.time(&s.recorded_at))))
        .collect();
    let chosen = |index: usize| all.get(index).map_or_else(String::new, |s| s.number.to_string());
    FormView {
        action: "/snapshots/diff",
        asks: true,
        title: frame.t("比較", "Compare").to_owned(),
        submit: frame.t("比べる", "Compare").to_owned(),
        fields: vec![
            Field::choice("a", frame.t("前", "Before"), &chosen(1), choices.clone()),
            Field::choice("b", frame.t("後", "After"), &chosen(0), choices),
        ],
        ..FormView::default()
    }
}

async fn list_page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    slip: Option<(ScheduleForm, String)>,
) -> Result<Response, PageError> {
    frame.active = "snapshots";
    let all = state.store.snapshots(caller.org).await.map_err(|e| frame.error(e))?;
    let schedule = state.store.snapshot_schedule(caller.org).await.map_err(|e| frame.error(e))?;
    let columns = [
        frame.t("番号", "Number"),
        frame.t("取得日時", "Taken"),
        frame.t("きっかけ", "Reason"),
        frame.t("機器数", "Machines"),
        "ID",
        frame.t("ダイジェスト", "Digest"),
    ];
    let about = frame.t(
        "ある時点の事実と判定を固定した記録です。書き出したファイルは tenken-collector verify でサーバーなしに確かめられます。",
        "Facts and findings frozen at one moment. An exported file is checked without a server by tenken-collector verify.",
    );
    let next = match &schedule {
        Some(s) => format!("{}{}", frame.t("次回の予定: ", "Next by schedule: "), frame.time(&s.next_at)),
        None => frame.t("予定はありません。", "Nothing is scheduled.").to_owned(),
    };
    let empty = frame.t("スナップショットはまだありません。", "No snapshot was taken yet.");
    let list = Listing::new(&columns, all.iter().map(|s| row(&frame, s)).collect(), empty);
    let title = frame.t("スナップショット", "Snapshots");
    let mut page = TablePage::new(&frame, title, &format!("{about} {next}"), list);
    if caller.actor.may(Role::Operator) {
        page.forms.push(FormView {
            action: "/snapshots",
            submit: frame.t("今の状態を固定する", "Take one now").to_owned(),
            ..FormView::default()
        });
        let (form, error) = slip.map_or_else(
            || {
                let form = schedule.map(|s| ScheduleForm { cron: s.cron, time_zone: s.time_zone });
                (form.unwrap_or_default(), None)
            },
            |(form, error)| (form, Some(error)),
        );
        page.forms.push(schedule_form(&frame, &form, error));
    }
    if all.len() > 1 {
        page.forms.push(compare_form(&frame, &all));
    }
    Ok(render(&page))
}

/// GET /snapshots
pub(super) async fn list(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    list_page(&state, &viewer.caller, viewer.frame, None).await
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// POST /snapshots: freezes the state now.
pub(super) async fn take(
    State(state): State<AdminState>,
    sent: Sent<Nothing>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, .. } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    let key = state.keys.signing_key();
    let taken = snapshot::take(&state.store, key, &caller.actor, Timestamp::now()).await;
    taken.map_err(|e| frame.error(e))?;
    Ok(Redirect::to("/snapshots").into_response())
}

/// POST /snapshots/schedule
pub(super) async fn schedule(
    State(state): State<AdminState>,
    sent: Sent<ScheduleForm>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    let new = (!form.cron.trim().is_empty())
        .then(|| NewSchedule { cron: form.cron.clone(), time_zone: Some(form.time_zone.clone()) });
    match snapshot_api::set(&state, &caller, new).await {
        Ok(_) => Ok(Redirect::to("/snapshots").into_response()),
        Err(error) if error.is_slip() => {
            let sentence = error.sentence(frame.lang);
            let page = list_page(&state, &caller, frame, Some((form, sentence))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(frame.error(error)),
    }
}

/// GET /snapshots/{id}/pack
pub(super) async fn pack(
    State(state): State<AdminState>,
    viewer: Viewer,
    Place(id): Place<String>,
    Asked(filter): Asked<PackFilter>,
) -> Result<Response, PageError> {
    let Viewer { caller, frame } = viewer;
    snapshot_api::pack_of(&state, caller.org, &id, &filter).await.map_err(|e| frame.error(e))
}

#[derive(Deserialize)]
pub(super) struct Two {
    a: String,
    b: String,
}

/// GET /snapshots/diff
pub(super) async fn diff(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(two): Asked<Two>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "snapshots";
    let diff = async || -> Result<(SnapshotSummary, SnapshotSummary, SnapshotDiff), ApiError> {
        let diff = state.store.snapshot_diff(caller.org, &two.a, &two.b).await?;
        let all = state.store.snapshots(caller.org).await?;
        let named = |id| all.iter().find(|s| s.id == id).cloned();
        match (named(diff.a.clone()), named(diff.b.clone())) {
            (Some(a), Some(b)) => Ok((a, b, diff)),
            _ => Err(ApiError::new(crate::http::error::Code::NotFound)),
        }
    };
    let (a, b, diff) = diff().await.map_err(|e| frame.error(e))?;
    let title = format!(
        "{} {} ({}) → {} ({})",
        frame.t("スナップショットの比較", "Snapshots compared"),
        a.number,
        frame.time(&a.recorded_at),
        b.number,
        frame.time(&b.recorded_at)
    );
    let lead = match frame.is_ja() {
        true => format!("事実が変わった機器: {} 台", diff.hosts_with_changed_facts),
        false => format!("Machines whose facts changed: {}", diff.hosts_with_changed_facts),
    };
    let mut page = TablePage::new(&frame, &title, &lead, criteria(&frame, &diff));
    page.lists.push(findings(&frame, &diff));
    page.lists.push(machines(&frame, &diff));
    Ok(render(&page))
}

fn word<T: DeserializeOwned>(frame: &Frame, word: Option<&str>, title: impl Fn(T) -> Text) -> String {
    let Some(word) = word else { return "-".to_owned() };
    serde_json::from_value(word.into())
        .map_or_else(|_| frame.safe(word), |known| title(known).get(frame.lang).to_owned())
}

fn criteria(frame: &Frame, diff: &SnapshotDiff) -> Listing {
    let row = |c: &crate::store::snapshot::CriterionChange| {
        let what =
            criterion::find(&c.criterion).map_or("", |found| frame.t(&found.summary_ja, &found.summary_en));
        let state = |text: &str| word(frame, Some(text), CriterionState::title);
        RowView {
            href: Some(format!("/criteria/{}", c.criterion)),
            ..RowView::of(vec![c.criterion.clone(), what.to_owned(), state(&c.before), state(&c.after)])
        }
    };
    let columns = [
        frame.t("基準", "Criterion"),
        frame.t("内容", "What"),
        frame.t("前", "Before"),
        frame.t("後", "After"),
    ];
    let empty = frame.t("どの基準の結果も変わっていません。", "No criterion changed.");
    Listing::new(&columns, diff.criteria.iter().map(row).collect(), empty)
        .titled(frame.t("評価基準", "Criteria"))
}

fn findings(frame: &Frame, diff: &SnapshotDiff) -> Listing {
    let row = |f: &crate::store::snapshot::FindingChange| {
        let title = control::find(&f.control).map_or(f.control.as_str(), |c| c.title.get(frame.lang));
        let outcome = |text: &Option<String>| word(frame, text.as_deref(), Outcome::title);
        RowView {
            href: Some(format!("/hosts/{}", f.host)),
            ..RowView::of(vec![f.hostname.clone(), title.to_owned(), outcome(&f.before), outcome(&f.after)])
        }
    };
    let columns = [
        frame.t("機器名", "Machine"),
        frame.t("項目", "Control"),
        frame.t("前", "Before"),
        frame.t("後", "After"),
    ];
    let empty = frame.t("変わった判定はありません。", "No finding changed.");
    let shown = diff.findings.iter().take(MAX_ROWS).map(row).collect();
    let title = match diff.findings.len() > MAX_ROWS {
        true => format!("{} ({MAX_ROWS} / {})", frame.t("判定", "Findings"), diff.findings.len()),
        false => frame.t("判定", "Findings").to_owned(),
    };
    Listing::new(&columns, shown, empty).titled(&title)
}

/// Rows of one table of a comparison.
const MAX_ROWS: usize = 500;

fn machines(frame: &Frame, diff: &SnapshotDiff) -> Listing {
    let row = |names: &[String], what: &str| -> Vec<RowView> {
        names.iter().take(MAX_ROWS).map(|name| RowView::of(vec![name.clone(), what.to_owned()])).collect()
    };
    let mut rows = row(&diff.hosts_added, frame.t("加わった", "added"));
    rows.extend(row(&diff.hosts_removed, frame.t("なくなった", "gone")));
    let columns = [frame.t("機器名", "Machine"), frame.t("変化", "Change")];
    let empty = frame.t("機器の増減はありません。", "No machine came or went.");
    Listing::new(&columns, rows, empty).titled(frame.t("機器", "Machines"))
}
