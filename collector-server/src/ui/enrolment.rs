//! Enrolment tokens: the list, and making one with the very command to run on a machine.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::frame::Frame;
use super::tables::{Field, FormView, Nothing, Notice, RowView, TablePage, framed};
use super::{PageError, Viewer, Visitor, render};
use crate::http::admin;
use crate::http::auth::{AdminState, Caller, Posted};
use crate::http::error::{ApiError, Code};
use crate::user::Role;

async fn token_page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    notice: Option<Notice>,
) -> Result<Response, PageError> {
    let lang = frame.lang;
    frame.active = "tokens";
    caller.need(Role::Operator).map_err(|e| PageError(lang, e))?;
    let tokens = admin::enrol_tokens(state, caller).await.map_err(|e| PageError(lang, e))?;
    let now = Timestamp::now();
    let rows = tokens
        .iter()
        .map(|t| {
            let good = t.is_open(now);
            let standing = if t.revoked_at.is_some() {
                frame.t("取消済み", "Revoked")
            } else if good {
                frame.t("有効", "Valid")
            } else {
                frame.t("終了", "Ended")
            };
            let acts = if good {
                vec![(format!("/tokens/{}/revoke", t.id), frame.t("取り消す", "Revoke").to_owned())]
            } else {
                Vec::new()
            };
            let group = t.group.clone().unwrap_or_else(|| "-".into());
            let uses = format!("{} / {}", t.uses, t.max_uses);
            let cells = vec![
                t.label.clone(),
                standing.to_owned(),
                group,
                uses,
                frame.time(&t.expires_at),
                t.created_by.clone(),
            ];
            RowView { cells, acts, href: None }
        })
        .collect();
    let columns = [
        frame.t("用途", "Label"),
        frame.t("状態", "State"),
        frame.t("グループ", "Group"),
        frame.t("使用回数", "Uses"),
        frame.t("期限", "Expires"),
        frame.t("作成者", "Made by"),
    ];
    let lead = frame.t(
        "機器を登録するためのトークンを作ります。作成後に表示されるコマンドを機器で実行してください。",
        "Make a token to enrol machines, then run the command that is shown on each machine.",
    );
    let empty = frame.t("トークンはまだありません。", "No token yet.");
    let mut page = TablePage::new(
        frame.clone(),
        frame.t("登録トークン", "Enrolment tokens"),
        lead,
        &columns,
        rows,
        empty,
    );
    page.notice = notice;
    page.form = Some(FormView {
        action: "/tokens",
        submit: frame.t("トークンを作る", "Make a token").to_owned(),
        fields: vec![
            Field::text("label", frame.t("用途", "Label"), "", true),
            Field::text("uses", frame.t("使用回数", "Uses"), "1", true),
            Field::text("hours", frame.t("有効時間(時間)", "Valid for (hours)"), "72", true),
            Field::text("group", frame.t("グループ(任意)", "Group (optional)"), "", false),
        ],
    });
    Ok(render(&page))
}

/// GET /tokens
pub(super) async fn tokens(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    token_page(&state, &viewer.caller, viewer.frame, None).await
}

#[derive(Deserialize)]
pub(super) struct NewToken {
    label: String,
    uses: String,
    hours: String,
    #[serde(default)]
    group: String,
}

/// POST /tokens: shows the token once, with the command to run.
pub(super) async fn create_token(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    posted: Posted<NewToken>,
) -> Result<Response, PageError> {
    let wrong = |e: ApiError| PageError(f.lang, e);
    let Posted { caller, form } = posted;
    caller.need(Role::Operator).map_err(wrong)?;
    let number = |text: &str, name: &str| {
        text.trim()
            .parse::<u32>()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| wrong(ApiError::with(Code::BadRequest, name)))
    };
    let new = admin::NewEnrolToken {
        label: form.label.trim().to_owned(),
        uses: number(&form.uses, "uses")?,
        hours: number(&form.hours, "hours")?,
        group: Some(form.group.trim().to_owned()).filter(|g| !g.is_empty()),
        ephemeral: false,
        address_range: None,
        urls: Vec::new(),
    };
    let made = admin::make_enrol_token(&state, &caller, new).await.map_err(wrong)?;
    let frame = framed(&state, f, &caller, "/tokens").await?;
    let notice = Notice {
        title: frame.t("トークンを作りました", "The token is ready").to_owned(),
        text: frame
            .t(
                "このトークンは一度だけ表示されます。管理対象の機器で、次のコマンドを管理者権限で実行してください。",
                "It is shown this once. Run these commands as administrator on the machine.",
            )
            .to_owned(),
        lines: vec![
            format!("sudo tenken-agent enrol {}", made.token.expose()),
            "sudo tenken-agent service install && sudo tenken-agent service start".to_owned(),
        ],
    };
    token_page(&state, &caller, frame, Some(notice)).await
}

/// POST /tokens/{id}/revoke
pub(super) async fn revoke_token(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    Path(id): Path<String>,
    posted: Posted<Nothing>,
) -> Result<Response, PageError> {
    let wrong = |e: ApiError| PageError(f.lang, e);
    posted.caller.need(Role::Operator).map_err(wrong)?;
    admin::revoke_enrol_token(&state, &posted.caller, &id).await.map_err(wrong)?;
    Ok(Redirect::to("/tokens").into_response())
}
