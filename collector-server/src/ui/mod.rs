//! The console: server-rendered pages over the query layer, in Japanese and English.
//!
//! No script, no inline style; every asset is part of the program. Pages change something only by a form
//! that carries the session's proof ([`crate::http::auth::Posted`]).

mod access;
mod enrolment;
mod fact;
mod frame;
mod host;
mod overview;
mod tables;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use serde::Deserialize;
use tenken_shared::text::Lang;

use self::frame::Frame;
use crate::http::auth::{AdminState, Caller, LANG_COOKIE, cookie};
use crate::http::error::{ApiError, Code};

/// Every page of the console.
pub fn routes() -> Router<AdminState> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/criteria/{number}", get(overview::criterion))
        .route("/hosts", get(host::list))
        .route("/hosts/{id}", get(host::one))
        .route("/hosts/{id}/{verb}", post(host::act))
        .route("/software", get(tables::software))
        .route("/software/hosts", get(tables::software_hosts))
        .route("/snapshots", get(tables::snapshots))
        .route("/tokens", get(enrolment::tokens).post(enrolment::create_token))
        .route("/tokens/{id}/revoke", post(enrolment::revoke_token))
        .route("/users", get(tables::users).post(tables::add_user))
        .route("/users/{name}/{verb}", post(tables::change_user))
        .route("/audit", get(tables::audit))
        .route("/login", get(access::login_page).post(access::login))
        .route("/logout", post(access::logout))
        .route("/first-password/{secret}", get(access::password_page).post(access::set_password))
        .route("/lang/{tag}", get(switch_language))
        .route("/assets/console.css", get(|| asset("text/css; charset=utf-8", include_str!("console.css"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("icon.svg"))))
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, text).into_response()
}

/// The page's language: the reader's choice, else what the browser asks for, else Japanese.
fn language(headers: &HeaderMap) -> Lang {
    if let Some(chosen) = cookie(headers, LANG_COOKIE) {
        return Lang::from_tag(&chosen);
    }
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut tags = asked.split(',').map(|tag| tag.split(';').next().unwrap_or_default().trim());
    let known = tags.find(|tag| {
        let tag = tag.to_ascii_lowercase();
        tag.starts_with("ja") || tag.starts_with("en")
    });
    known.map_or(Lang::Ja, Lang::from_tag)
}

/// A logged-in person who reads a page; others are sent to the log-in.
struct Viewer {
    caller: Caller,
    frame: Frame,
}

impl FromRequestParts<AdminState> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Response> {
        let lang = language(&parts.headers);
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let to_login = || Redirect::to(&format!("/login?next={}", urlencode(&path))).into_response();
        let caller = match Caller::from_request_parts(parts, state).await {
            Ok(caller) if caller.user.is_some() => caller,
            Ok(_) => return Err(to_login()),
            Err(error) if error.code == Code::Unauthenticated => return Err(to_login()),
            Err(error) => return Err(failed(lang, &error)),
        };
        let zone = zone(state, caller.org).await.map_err(|error| failed(lang, &error))?;
        let frame = Frame::inside(lang, path, &caller, zone);
        Ok(Self { caller, frame })
    }
}

/// The organisation's time zone.
async fn zone(state: &AdminState, org: i64) -> Result<TimeZone, ApiError> {
    let name = state.store.policy(org).await?.policy.time_zone;
    Ok(TimeZone::get(&name).unwrap_or(TimeZone::UTC))
}

/// A reader who need not be logged in.
struct Visitor(Frame);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Frame::outside(language(&parts.headers), parts.uri.path().to_owned())))
    }
}

/// An error as a page.
struct PageError(Lang, ApiError);

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        failed(self.0, &self.1)
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    f: Frame,
    sentence: String,
    code: &'static str,
}

fn failed(lang: Lang, error: &ApiError) -> Response {
    let page = ErrorPage {
        f: Frame::outside(lang, "/".into()),
        sentence: error.sentence(lang),
        code: error.code.as_str(),
    };
    let mut response = (error.code.status(), render(&page)).into_response();
    if let Some(seconds) = error.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The page for addresses that do not exist.
pub async fn not_found(headers: HeaderMap) -> Response {
    failed(language(&headers), &ApiError::new(Code::NotFound))
}

fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    back: String,
}

/// Keeps the chosen language for a year and goes back; only to a page of this console.
async fn switch_language(
    Path(tag): Path<String>,
    Query(back): Query<Back>,
    State(_): State<AdminState>,
) -> Response {
    let lang = Lang::from_tag(&tag);
    let cookie =
        format!("{LANG_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000", lang.tag());
    let mut response = Redirect::to(local(&back.back)).into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// A path of this console, whatever was asked for.
fn local(path: &str) -> &str {
    let fine = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    if fine { path } else { "/" }
}

/// Moves a host to another state; console and API do the same.
pub(crate) use self::host::change as change_host;

/// Percent-encodes a query value.
fn urlencode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &'static str) -> Lang {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(value));
        language(&headers)
    }

    #[test]
    fn the_browser_chooses_the_language_and_japanese_is_the_default() {
        assert_eq!(language(&HeaderMap::new()), Lang::Ja);
        assert_eq!(asked("en-US,en;q=0.9,ja;q=0.5"), Lang::En);
        assert_eq!(asked("fr, ja;q=0.5"), Lang::Ja);
        assert_eq!(asked("fr"), Lang::Ja);
    }

    #[test]
    fn only_own_pages_are_gone_back_to() {
        assert_eq!(local("/hosts?x=1"), "/hosts?x=1");
        for hostile in
            ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nset-cookie: x", ""]
        {
            assert_eq!(local(hostile), "/", "{hostile}");
        }
    }
}
