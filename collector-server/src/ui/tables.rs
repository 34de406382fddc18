//! Plain tables: software, snapshots, audit log.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::frame::Frame;
use super::table::{FormView, Listing, RowView, TablePage};
use super::{Asked, PageError, Sent, Viewer, render, urlencode};
use crate::audit::{action_title, actor_title};
use crate::http::auth::{AdminState, Caller};
use crate::query::{DEFAULT_PAGE, MAX_PAGE};
use crate::snapshot;
use crate::user::Role;

#[derive(Deserialize)]
pub(super) struct SoftwareQuery {
    #[serde(default)]
    text: String,
    #[serde(default)]
    after: String,
}

/// How much of the fleet a list rests on: what was not collected is no empty list.
async fn basis(state: &AdminState, caller: &Caller, frame: &Frame, kind: &str) -> Result<String, PageError> {
    let counts =
        state.store.fact_coverage(caller.org, kind, Timestamp::now()).await.map_err(|e| frame.error(e))?;
    Ok(if frame.is_ja() {
        format!(
            "管理対象のうち、取得済み {} 台、一部のみ {} 台、報告が途絶え以前の内容だけの {} 台、取得できていない {} 台。",
            counts.known, counts.partial, counts.silent, counts.missing
        )
    } else {
        format!(
            "Of the managed machines: {} known, {} partial, {} silent and known from before, {} not known.",
            counts.known, counts.partial, counts.silent, counts.missing
        )
    })
}

/// GET /software: titles of the organisation and on how many machines they are.
pub(super) async fn software(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(query): Asked<SoftwareQuery>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "software";
    let page = state
        .store
        .software_titles(caller.org, &query.text, &query.after, DEFAULT_PAGE)
        .await
        .map_err(|e| frame.error(e))?;
    let rows = page
        .items
        .iter()
        .map(|t| RowView {
            href: Some(format!(
                "/software/hosts?name={}&version={}",
                urlencode(&t.name),
                urlencode(&t.version)
            )),
            ..RowView::of(vec![
                t.name.clone(),
                t.version.clone(),
                t.vendor.clone().unwrap_or_else(|| "-".into()),
                frame.software_source(&t.source),
                t.hosts.to_string(),
            ])
        })
        .collect();
    let columns = [
        frame.t("名前", "Name"),
        frame.t("版", "Version"),
        frame.t("提供元", "Vendor"),
        frame.t("種類", "Source"),
        frame.t("台数", "Machines"),
    ];
    let lead = basis(&state, &caller, &frame, "software").await?;
    let empty = frame.t("該当するソフトウェアはありません。", "No software matches.");
    let mut view = TablePage::new(
        &frame,
        frame.t("ソフトウェア", "Software"),
        &lead,
        Listing::new(&columns, rows, empty),
    );
    view.next = page
        .next
        .map(|after| format!("/software?text={}&after={}", urlencode(&query.text), urlencode(&after)));
    view.search = Some(query.text);
    Ok(render(&view))
}

#[derive(Deserialize)]
pub(super) struct TitleQuery {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

/// GET /software/hosts: the machines that have a title.
pub(super) async fn software_hosts(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(query): Asked<TitleQuery>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "software";
    let found = state.store.software_hosts(caller.org, &query.name, query.version.as_deref(), MAX_PAGE).await;
    let rows = found
        .map_err(|e| frame.error(e))?
        .iter()
        .map(|h| RowView {
            href: Some(format!("/hosts/{}", h.host)),
            ..RowView::of(vec![
                h.host_name.clone(),
                h.version.clone(),
                h.user.clone().unwrap_or_else(|| "-".into()),
                frame.time_or_dash(&h.installed_at),
            ])
        })
        .collect();
    let columns = [
        frame.t("機器名", "Machine"),
        frame.t("版", "Version"),
        frame.t("ユーザー", "User"),
        frame.t("導入日時", "Installed"),
    ];
    let lead = basis(&state, &caller, &frame, "software").await?;
    let empty =
        frame.t("このソフトウェアが入っている機器は見つかりません。", "No machine is known to have it.");
    let list = Listing::new(&columns, rows, empty);
    Ok(render(&TablePage::new(&frame, &frame.safe(&query.name), &lead, list)))
}

/// GET /snapshots
pub(super) async fn snapshots(
    State(state): State<AdminState>,
    viewer: Viewer,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "snapshots";
    let all = state.store.snapshot_rows(caller.org).await.map_err(|e| frame.error(e))?;
    let rows = all
        .iter()
        .map(|s| {
            RowView::of(vec![s.id.clone(), frame.time(&s.taken_at), s.hosts.to_string(), s.digest.clone()])
        })
        .collect();
    let columns = [
        "ID",
        frame.t("取得日時", "Taken"),
        frame.t("機器数", "Machines"),
        frame.t("ダイジェスト", "Digest"),
    ];
    let lead = frame.t(
        "ある時点の事実と判定を固定した記録です。証跡は tenken-collector snapshot export ID -o ファイル で書き出します。",
        "Facts and findings frozen at one moment. Write the evidence with tenken-collector snapshot export ID -o FILE.",
    );
    let empty = frame.t("スナップショットはまだありません。", "No snapshot was taken yet.");
    let list = Listing::new(&columns, rows, empty);
    let mut page = TablePage::new(&frame, frame.t("スナップショット", "Snapshots"), lead, list);
    page.form = caller.actor.may(Role::Operator).then(|| FormView {
        action: "/snapshots",
        submit: frame.t("今の状態を固定する", "Take one now").to_owned(),
        ..FormView::default()
    });
    Ok(render(&page))
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// POST /snapshots: freezes the state now.
pub(super) async fn take_snapshot(
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

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
}

/// GET /audit
pub(super) async fn audit(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(query): Asked<Before>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "audit";
    let entries = state.store.audit_log(&caller.actor.org, query.before, 101).await;
    let entries = entries.map_err(|e| frame.error(e))?;
    let next = (entries.len() > 100).then(|| format!("/audit?before={}", entries[99].id));
    let rows = entries
        .iter()
        .take(100)
        .map(|e| {
            RowView::of(vec![
                frame.time(&e.at),
                actor_title(&e.actor, frame.lang),
                action_title(&e.action, frame.lang),
                e.object.clone(),
                e.detail.clone(),
            ])
        })
        .collect();
    let columns = [
        frame.t("日時", "When"),
        frame.t("だれが", "Who"),
        frame.t("操作", "Action"),
        frame.t("対象", "Object"),
        frame.t("詳細", "Detail"),
    ];
    let lead = frame.t(
        "変更はすべて記録され、消すことも書き換えることもできません。",
        "Every change is kept; nothing can be edited or removed.",
    );
    let mut page =
        TablePage::new(&frame, frame.t("操作記録", "Audit log"), lead, Listing::new(&columns, rows, "-"));
    page.next = next;
    Ok(render(&page))
}
