//! Plain tables with a form: software, snapshots, enrolment tokens, users, audit log.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::frame::Frame;
use super::{PageError, Viewer, Visitor, render, urlencode};
use crate::http::admin;
use crate::http::auth::{AdminState, Caller, Posted};
use crate::http::error::{ApiError, Code};
use crate::query::{DEFAULT_PAGE, MAX_PAGE};
use crate::user::Role;

pub(super) struct Notice {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) lines: Vec<String>,
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) value: String,
    pub(super) required: bool,
    pub(super) choices: Vec<(String, String)>,
}

impl Field {
    pub(super) fn text(name: &'static str, title: &str, value: &str, required: bool) -> Self {
        Self { name, title: title.to_owned(), value: value.to_owned(), required, choices: Vec::new() }
    }
}

pub(super) struct FormView {
    pub(super) action: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) submit: String,
}

#[derive(Default)]
pub(super) struct RowView {
    pub(super) cells: Vec<String>,
    pub(super) acts: Vec<(String, String)>,
    /// Where the first cell leads.
    pub(super) href: Option<String>,
}

impl RowView {
    pub(super) fn of(cells: Vec<String>) -> Self {
        Self { cells, ..Self::default() }
    }
}

#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct TablePage {
    pub(super) f: Frame,
    pub(super) title: String,
    pub(super) lead: String,
    pub(super) notice: Option<Notice>,
    pub(super) form: Option<FormView>,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<RowView>,
    pub(super) acts: bool,
    pub(super) empty: String,
    pub(super) next: Option<String>,
    /// What is searched for, where the table has a search.
    pub(super) search: Option<String>,
}

impl TablePage {
    pub(super) fn new(
        f: Frame,
        title: &str,
        lead: &str,
        columns: &[&str],
        rows: Vec<RowView>,
        empty: &str,
    ) -> Self {
        Self {
            title: title.to_owned(),
            lead: lead.to_owned(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            acts: rows.iter().any(|row| !row.acts.is_empty()),
            empty: empty.to_owned(),
            f,
            notice: None,
            form: None,
            rows,
            next: None,
            search: None,
        }
    }
}

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
        state.store.fact_coverage(caller.org, kind).await.map_err(|e| PageError(frame.lang, e.into()))?;
    Ok(if frame.is_ja() {
        format!(
            "管理対象のうち、取得済み {} 台、一部のみ {} 台、取得できていない {} 台。",
            counts.known, counts.partial, counts.missing
        )
    } else {
        format!(
            "Of the managed machines: {} known, {} partial, {} not known.",
            counts.known, counts.partial, counts.missing
        )
    })
}

/// GET /software: titles of the organisation and on how many machines they are.
pub(super) async fn software(
    State(state): State<AdminState>,
    viewer: Viewer,
    Query(query): Query<SoftwareQuery>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "software";
    let lang = frame.lang;
    let page = state
        .store
        .software_titles(caller.org, &query.text, &query.after, DEFAULT_PAGE)
        .await
        .map_err(|e| PageError(lang, e.into()))?;
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
                t.source.clone(),
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
    let mut view =
        TablePage::new(frame.clone(), frame.t("ソフトウェア", "Software"), &lead, &columns, rows, empty);
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
    Query(query): Query<TitleQuery>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "software";
    let lang = frame.lang;
    let found = state.store.software_hosts(caller.org, &query.name, query.version.as_deref(), MAX_PAGE).await;
    let rows = found
        .map_err(|e| PageError(lang, e.into()))?
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
    Ok(render(&TablePage::new(frame.clone(), &frame.safe(&query.name), &lead, &columns, rows, empty)))
}

/// GET /snapshots
pub(super) async fn snapshots(
    State(state): State<AdminState>,
    viewer: Viewer,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "snapshots";
    let lang = frame.lang;
    let all = state.store.snapshot_rows(caller.org).await.map_err(|e| PageError(lang, e.into()))?;
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
        "ある時点の事実と判定を固定した記録です。tenken-collector snapshot take で取得し、export で証跡を書き出します。",
        "Facts and findings frozen at one moment. Take one with tenken-collector snapshot take, write the evidence with export.",
    );
    let empty = frame.t("スナップショットはまだありません。", "No snapshot was taken yet.");
    Ok(render(&TablePage::new(
        frame.clone(),
        frame.t("スナップショット", "Snapshots"),
        lead,
        &columns,
        rows,
        empty,
    )))
}

/// The page of somebody who posted a form: same frame as a viewer's.
pub(super) async fn framed(
    state: &AdminState,
    visitor: Frame,
    caller: &Caller,
    path: &str,
) -> Result<Frame, PageError> {
    let zone = super::zone(state, caller.org).await.map_err(|e| PageError(visitor.lang, e))?;
    Ok(Frame::inside(visitor.lang, path.to_owned(), caller, zone))
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

async fn user_page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    notice: Option<Notice>,
) -> Result<Response, PageError> {
    let lang = frame.lang;
    frame.active = "users";
    caller.need(Role::Admin).map_err(|e| PageError(lang, e))?;
    let users = state.store.users(&caller.actor.org).await.map_err(|e| PageError(lang, e.into()))?;
    let rows = users
        .iter()
        .map(|u| {
            let standing = match (u.disabled, u.has_password) {
                (true, _) => frame.t("停止中", "Disabled"),
                (false, true) => frame.t("有効", "Active"),
                (false, false) => frame.t("パスワード未設定", "No password yet"),
            };
            let mut acts = vec![(
                format!("/users/{}/link", u.name),
                frame.t("パスワード設定リンク", "Password link").to_owned(),
            )];
            if caller.user.as_deref() != Some(u.name.as_str()) {
                acts.push(if u.disabled {
                    (format!("/users/{}/enable", u.name), frame.t("再開", "Enable").to_owned())
                } else {
                    (format!("/users/{}/disable", u.name), frame.t("停止", "Disable").to_owned())
                });
            }
            let cells = vec![
                u.name.clone(),
                u.role.title().get(lang).to_owned(),
                standing.to_owned(),
                frame.time_or_dash(&u.last_login_at),
            ];
            RowView { cells, acts, href: None }
        })
        .collect();
    let columns = [
        frame.t("ユーザー名", "User name"),
        frame.t("権限", "Role"),
        frame.t("状態", "State"),
        frame.t("最終ログイン", "Last log-in"),
    ];
    let mut page = TablePage::new(frame.clone(), frame.t("ユーザー", "Users"), "", &columns, rows, "-");
    page.notice = notice;
    page.form = Some(FormView {
        action: "/users",
        submit: frame.t("追加する", "Add").to_owned(),
        fields: vec![
            Field::text("name", frame.t("ユーザー名", "User name"), "", true),
            Field {
                name: "role",
                title: frame.t("権限", "Role").to_owned(),
                value: Role::Auditor.as_str().to_owned(),
                required: true,
                choices: Role::ALL
                    .iter()
                    .map(|r| (r.as_str().to_owned(), r.title().get(lang).to_owned()))
                    .collect(),
            },
        ],
    });
    Ok(render(&page))
}

/// GET /users
pub(super) async fn users(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    user_page(&state, &viewer.caller, viewer.frame, None).await
}

#[derive(Deserialize)]
pub(super) struct NewUser {
    name: String,
    role: String,
}

fn link_notice(frame: &Frame, name: &str, path: &str) -> Notice {
    let text = frame.t(
        "次のリンクを本人に安全な方法で渡してください。24時間以内に一度だけ使えます。",
        "Hand this link to the person safely. It works once, within 24 hours.",
    );
    Notice { title: name.to_owned(), text: text.to_owned(), lines: vec![path.to_owned()] }
}

/// POST /users
pub(super) async fn add_user(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    posted: Posted<NewUser>,
) -> Result<Response, PageError> {
    let wrong = |e: ApiError| PageError(f.lang, e);
    let Posted { caller, form } = posted;
    let role: Role = form.role.parse().map_err(|_| wrong(ApiError::with(Code::BadRequest, "role")))?;
    let name = form.name.trim().to_owned();
    admin::add_user(&state, &caller, &name, role).await.map_err(wrong)?;
    let path = admin::make_link(&state, &caller, &name).await.map_err(wrong)?;
    let frame = framed(&state, f, &caller, "/users").await?;
    let notice = link_notice(&frame, &name, &path);
    user_page(&state, &caller, frame, Some(notice)).await
}

/// POST /users/{name}/{verb}
pub(super) async fn change_user(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    Path((name, verb)): Path<(String, String)>,
    posted: Posted<Nothing>,
) -> Result<Response, PageError> {
    let wrong = |e: ApiError| PageError(f.lang, e);
    let caller = posted.caller;
    caller.need(Role::Admin).map_err(wrong)?;
    match verb.as_str() {
        "disable" | "enable" => {
            admin::disable_user(&state, &caller, &name, verb == "disable").await.map_err(wrong)?;
            Ok(Redirect::to("/users").into_response())
        }
        "link" => {
            let path = admin::make_link(&state, &caller, &name).await.map_err(wrong)?;
            let frame = framed(&state, f, &caller, "/users").await?;
            let notice = link_notice(&frame, &name, &path);
            user_page(&state, &caller, frame, Some(notice)).await
        }
        _ => Err(wrong(ApiError::new(Code::NotFound))),
    }
}

#[derive(Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
}

/// GET /audit
pub(super) async fn audit(
    State(state): State<AdminState>,
    viewer: Viewer,
    Query(query): Query<Before>,
) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "audit";
    let lang = frame.lang;
    let entries = state.store.audit_log(&caller.actor.org, query.before, 101).await;
    let entries = entries.map_err(|e| PageError(lang, e.into()))?;
    let next = (entries.len() > 100).then(|| format!("/audit?before={}", entries[99].id));
    let rows = entries
        .iter()
        .take(100)
        .map(|e| {
            RowView::of(vec![
                frame.time(&e.at),
                e.actor.clone(),
                e.action.clone(),
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
    let mut page = TablePage::new(frame.clone(), frame.t("操作記録", "Audit log"), lead, &columns, rows, "-");
    page.next = next;
    Ok(render(&page))
}
