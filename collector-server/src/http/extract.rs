//! What handlers read of a request. What does not read is an [`ApiError`] like every other.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use tenken_shared::text::{Lang, Text};

use super::error::{ApiError, Code};

/// Parts of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

/// What stands behind the question mark.
#[derive(Debug)]
pub struct Query<T>(pub T);

/// A body of JSON.
#[derive(Debug)]
pub struct Content<T>(pub T);

/// The fields of a form.
#[derive(Debug)]
pub struct Fields<T>(pub T);

/// A body as it came, up to the limit of its route.
#[derive(Debug)]
pub struct Raw(pub Bytes);

/// An error for a part of the request that axum could not read, with the innermost cause: that one names
/// the value.
fn unread(rejection: impl Error + IntoResponse, what: Text) -> ApiError {
    let mut cause: &dyn Error = &rejection;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(Code::TooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::new(Code::UnsupportedMediaType),
        _ => ApiError::told(Code::BadRequest, |lang: Lang| format!("{}: {cause}", what.get(lang))),
    }
}

impl<T: DeserializeOwned + Send, S: Sync + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        let what = Text::new("アドレスを読めません", "the address does not read");
        read.map(|axum::extract::Path(it)| Self(it)).map_err(|e| unread(e, what))
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let what = Text::new("?以降の値を読めません", "a value after the question mark does not read");
        let read = axum::extract::Query::try_from_uri(&parts.uri);
        read.map(|axum::extract::Query(it)| Self(it)).map_err(|e| unread(e, what))
    }
}

impl<T: DeserializeOwned, S: Sync + Send> FromRequest<S> for Content<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let what = Text::new("本文のJSONを読めません", "the JSON of the body does not read");
        let read = axum::Json::from_request(request, state).await;
        read.map(|axum::Json(it)| Self(it)).map_err(|e| unread(e, what))
    }
}

impl<T: DeserializeOwned, S: Sync + Send> FromRequest<S> for Fields<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let what = Text::new("フォームを読めません", "the form does not read");
        let read = axum::Form::from_request(request, state).await;
        read.map(|axum::Form(it)| Self(it)).map_err(|e| unread(e, what))
    }
}

impl<S: Sync + Send> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let what = Text::new("本文を受け取れません", "the body did not arrive");
        Bytes::from_request(request, state).await.map(Self).map_err(|e| unread(e, what))
    }
}
