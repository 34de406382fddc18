//! Log-in, log-out, and the page behind a one-time link.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tenken_shared::redact::Secret;

use super::frame::Frame;
use super::{Asked, Filled, PageError, Place, Sent, Visitor, local, render};
use crate::http::auth::{self, AdminState, Opened, Peer};
use crate::http::error::{ApiError, Code};
use crate::user;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    f: Frame,
    error: Option<String>,
    name: String,
    next: String,
    /// A form was sent after the session had ended.
    ended: bool,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    f: Frame,
    error: Option<String>,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
    #[serde(default)]
    ended: bool,
}

/// GET /login
pub(super) async fn login_page(Visitor(f): Visitor, Asked(asked): Asked<Next>) -> Response {
    let (next, ended) = (local(&asked.next).to_owned(), asked.ended);
    render(&LoginPage { f, error: None, name: String::new(), next, ended })
}

#[derive(Deserialize)]
pub(super) struct Login {
    name: String,
    password: Secret<String>,
    #[serde(default)]
    next: String,
}

/// POST /login
pub(super) async fn login(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    Peer(peer): Peer,
    headers: HeaderMap,
    Filled(form): Filled<Login>,
) -> Result<Response, PageError> {
    auth::same_origin(&headers).map_err(|e| f.error(e))?;
    match state.log_in(&form.name, form.password, peer).await {
        Ok(opened) => started(&opened, local(&form.next)).map_err(|e| f.error(e)),
        Err(error) if matches!(error.code, Code::LoginFailed | Code::RateLimited) => {
            let (sentence, next) = (error.sentence(f.lang), local(&form.next).to_owned());
            let page = LoginPage { f, error: Some(sentence), name: form.name, next, ended: false };
            let mut response = (error.code.status(), render(&page)).into_response();
            if let Some(seconds) = error.retry_after_s {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            Ok(response)
        }
        Err(error) => Err(f.error(error)),
    }
}

fn started(opened: &Opened, to: &str) -> Result<Response, ApiError> {
    let mut response = Redirect::to(if opened.ask { "/organisations" } else { to }).into_response();
    response.headers_mut().append(header::SET_COOKIE, auth::session_cookie(&opened.secret)?);
    Ok(response)
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// POST /logout
pub(super) async fn logout(
    State(state): State<AdminState>,
    sent: Sent<Nothing>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, .. } = sent;
    if let Some(session) = &caller.session {
        state.store.close_session(&caller.actor, session).await.map_err(|e| frame.error(e))?;
    }
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().append(header::SET_COOKIE, auth::ended_cookie());
    Ok(response)
}

/// GET /first-password/{secret}
pub(super) async fn password_page(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    Place(secret): Place<String>,
) -> Result<Response, PageError> {
    let name = link_user(&state, &secret).await.map_err(|e| f.error(e))?;
    Ok(render(&PasswordPage { f, error: None, name }))
}

async fn link_user(state: &AdminState, secret: &str) -> Result<String, ApiError> {
    let found = state.store.link_user(&user::secret_hash(secret), Timestamp::now()).await?;
    found.ok_or_else(|| ApiError::new(Code::LinkExpired))
}

#[derive(Deserialize)]
pub(super) struct NewPassword {
    password: Secret<String>,
    again: Secret<String>,
}

/// POST /first-password/{secret}
pub(super) async fn set_password(
    State(state): State<AdminState>,
    Visitor(f): Visitor,
    Peer(peer): Peer,
    Place(secret): Place<String>,
    headers: HeaderMap,
    Filled(form): Filled<NewPassword>,
) -> Result<Response, PageError> {
    let lang = f.lang;
    let stranger = f.clone();
    let page_error = |e: ApiError| stranger.error(e);
    auth::same_origin(&headers).map_err(page_error)?;
    state.limit("one-time-link", peer, Timestamp::now()).map_err(page_error)?;
    let name = link_user(&state, &secret).await.map_err(page_error)?;
    let error = if form.password != form.again {
        Some(f.t("二つの入力が一致しません。", "The two entries differ.").to_owned())
    } else if !user::is_password_acceptable(&name, form.password.expose()) {
        Some(ApiError::new(Code::WeakPassword).sentence(lang))
    } else {
        None
    };
    if error.is_some() {
        let page = PasswordPage { f, error, name };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, render(&page)).into_response());
    }
    let phc = state.hash_password(form.password).await.map_err(page_error)?;
    let now = Timestamp::now();
    let redeemed = state.store.redeem_link(&user::secret_hash(&secret), &phc, now).await;
    let name = redeemed
        .map_err(|e| page_error(e.into()))?
        .ok_or_else(|| page_error(ApiError::new(Code::LinkExpired)))?;
    let opened = state.open_session(&name, now).await.map_err(page_error)?;
    let opened = opened.ok_or_else(|| page_error(ApiError::new(Code::Forbidden)))?;
    started(&opened, "/").map_err(page_error)
}
