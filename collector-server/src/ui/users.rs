//! Users of the organisation: adding them, their roles, links to set a password.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tenken_shared::text::Lang;

use super::frame::Frame;
use super::table::{Act, Field, FormView, Listing, Notice, Part, RowView, TablePage};
use super::{PageError, Place, Sent, Viewer, render};
use crate::http::admin;
use crate::http::auth::{AdminState, Caller};
use crate::http::error::{ApiError, Code};
use crate::user::{Role, UserRow};

/// What the form for a new user holds.
#[derive(Deserialize, Default)]
pub(super) struct NewUser {
    name: String,
    role: String,
}

fn roles(lang: Lang) -> Vec<(String, String)> {
    Role::ALL.iter().map(|r| (r.as_str().to_owned(), r.title().get(lang).to_owned())).collect()
}

fn row(frame: &Frame, caller: &Caller, u: &UserRow) -> RowView {
    let standing = match (u.disabled, u.has_password) {
        (true, _) => frame.t("停止中", "Disabled"),
        (false, true) => frame.t("有効", "Active"),
        (false, false) => frame.t("パスワード未設定", "No password yet"),
    };
    let act = |verb: &str, ja, en| Act::new(format!("/users/{}/{verb}", u.name), frame.t(ja, en));
    let mut acts = vec![act("link", "パスワード設定リンク", "Password link")];
    if caller.user.as_deref() != Some(u.name.as_str()) {
        let field = Field::choice("role", frame.t("権限", "Role"), u.role.as_str(), roles(frame.lang));
        acts.push(Act { fields: vec![field], ..act("role", "権限を変更", "Change role") });
        acts.push(if u.disabled {
            act("enable", "再開", "Enable")
        } else {
            act("disable", "停止", "Disable")
        });
        acts.push(act("remove", "組織から外す", "Remove"));
    }
    let cells = vec![
        u.name.clone(),
        u.role.title().get(frame.lang).to_owned(),
        standing.to_owned(),
        frame.time_or_dash(&u.last_login_at),
    ];
    RowView { acts, ..RowView::of(cells) }
}

async fn page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    notice: Option<Notice>,
    new: NewUser,
    error: Option<String>,
) -> Result<Response, PageError> {
    frame.active = "users";
    caller.need(Role::Admin).map_err(|e| frame.error(e))?;
    let users = state.store.users(&caller.actor.org).await.map_err(|e| frame.error(e))?;
    let rows = users.iter().map(|u| row(&frame, caller, u)).collect();
    let columns = [
        frame.t("ユーザー名", "User name"),
        frame.t("権限", "Role"),
        frame.t("状態", "State"),
        frame.t("最終ログイン", "Last log-in"),
    ];
    let mut page = TablePage::new(
        &frame,
        frame.t("ユーザー", "Users"),
        frame.t(
            "閲覧者は見るだけ、運用担当は機器・トークン・例外・自己申告を扱い、管理者はユーザーも扱えます。",
            "Auditors read, operators also handle machines, tokens, exceptions and attestations, administrators also users.",
        ),
        Listing::new(&columns, rows, "-"),
    );
    page.notice = notice;
    let role = if new.role.is_empty() { Role::Auditor.as_str() } else { &new.role };
    page.forms.push(FormView {
        asks: false,
        action: "/users",
        title: frame.t("ユーザーを追加", "Add a user").to_owned(),
        submit: frame.t("追加する", "Add").to_owned(),
        fields: vec![
            Field::text("name", frame.t("ユーザー名", "User name"), &new.name)
                .hint(frame.t("半角英数字と . _ - @", "letters, digits and . _ - @")),
            Field::choice("role", frame.t("権限", "Role"), role, roles(frame.lang)),
        ],
        error,
    });
    Ok(render(&page))
}

/// GET /users
pub(super) async fn list(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    page(&state, &viewer.caller, viewer.frame, None, NewUser::default(), None).await
}

fn link_notice(frame: &Frame, name: &str, path: &str) -> Notice {
    let text = frame.t(
        "このコレクターのアドレスに次のパスを付けたリンクを、本人に安全な方法で渡してください。24時間以内に一度だけ使えます。",
        "Hand this collector's address followed by this path to the person safely. It works once, within 24 hours.",
    );
    let lines = vec![path.to_owned()];
    Notice { title: name.to_owned(), text: text.to_owned(), parts: vec![Part { lines, ..Part::default() }] }
}

/// POST /users
pub(super) async fn add(State(state): State<AdminState>, sent: Sent<NewUser>) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Admin).map_err(|e| frame.error(e))?;
    let name = form.name.trim().to_owned();
    let added = match form.role.parse::<Role>() {
        Ok(role) => admin::add_user(&state, &caller, &name, role).await,
        Err(_) => Err(ApiError::with(Code::BadRequest, "role")),
    };
    if let Err(error) = added {
        if !error.is_slip() {
            return Err(frame.error(error));
        }
        let sentence = error.sentence(frame.lang);
        let page = page(&state, &caller, frame, None, form, Some(sentence)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let notice = match admin::make_link(&state, &caller, &name).await {
        Ok(path) => link_notice(&frame, &name, &path),
        // Somebody of another organisation: that log-in is not ours to set.
        Err(error) if error.code == Code::Refused => Notice {
            title: name,
            text: frame
                .t(
                    "追加しました。すでに使っているパスワードでログインできます。",
                    "Added. The user logs in with the password already in use.",
                )
                .to_owned(),
            parts: Vec::new(),
        },
        Err(error) => return Err(frame.error(error)),
    };
    page(&state, &caller, frame, Some(notice), NewUser::default(), None).await
}

/// What a row's forms carry.
#[derive(Deserialize)]
pub(super) struct Change {
    #[serde(default)]
    role: String,
}

/// POST /users/{name}/{verb}
pub(super) async fn change(
    State(state): State<AdminState>,
    Place((name, verb)): Place<(String, String)>,
    sent: Sent<Change>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Admin).map_err(|e| frame.error(e))?;
    let done = match verb.as_str() {
        "disable" | "enable" => admin::disable_user(&state, &caller, &name, verb == "disable").await,
        "role" => match form.role.parse::<Role>() {
            Ok(role) => admin::set_role(&state, &caller, &name, role).await,
            Err(_) => Err(ApiError::with(Code::BadRequest, "role")),
        },
        "remove" => admin::remove_user(&state, &caller, &name).await,
        "link" => {
            let path = admin::make_link(&state, &caller, &name).await.map_err(|e| frame.error(e))?;
            let notice = link_notice(&frame, &name, &path);
            return page(&state, &caller, frame, Some(notice), NewUser::default(), None).await;
        }
        _ => Err(ApiError::new(Code::NotFound)),
    };
    done.map_err(|e| frame.error(e))?;
    Ok(Redirect::to("/users").into_response())
}
