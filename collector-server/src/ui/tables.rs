//! Plain tables: software, audit log.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;

use super::frame::Frame;
use super::table::{Listing, RowView, TablePage};
use super::{Asked, PageError, Viewer, render, urlencode};
use crate::audit::{action_title, actor_title};
use crate::http::auth::{AdminState, Caller};
use crate::query::{TitleFilter, TitleHostFilter, page_size};

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
    Asked(query): Asked<TitleFilter>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "software";
    let page = state
        .store
        .software_titles(caller.org, query.clone(), page_size(query.limit))
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

/// GET /software/hosts: the machines that have a title.
pub(super) async fn software_hosts(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(query): Asked<TitleHostFilter>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "software";
    let found = state.store.software_hosts(caller.org, query.clone(), page_size(query.limit)).await;
    let found = found.map_err(|e| frame.error(e))?;
    let rows = found
        .items
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
    let mut page = TablePage::new(&frame, &frame.safe(&query.name), &lead, list);
    let version = query.version.map_or_else(String::new, |v| format!("&version={}", urlencode(&v)));
    page.next = found
        .next
        .map(|after| format!("/software/hosts?name={}{version}&after={after}", urlencode(&query.name)));
    Ok(render(&page))
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
