//! The JSON API about people and programs: users, API tokens, organisations.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::api::ErrorBody;
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;

use super::admin;
use super::auth::{AdminState, Caller};
use super::error::ApiError;
use super::extract::{Content, Path};
use crate::user::{ApiTokenRow, Role, UserRow};

/// Users of the organisation. Needs the role admin.
#[utoipa::path(get, path = "/users", responses((status = 200, body = Vec<UserRow>), (status = 403, body = ErrorBody)))]
pub(super) async fn users(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<UserRow>>, ApiError> {
    caller.need(Role::Admin)?;
    Ok(Json(state.store.users(&caller.actor.org).await?))
}

/// API tokens of the organisation, without their secrets. Needs the role admin.
#[utoipa::path(get, path = "/api-tokens", responses((status = 200, body = Vec<ApiTokenRow>), (status = 403, body = ErrorBody)))]
pub(super) async fn api_tokens(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<ApiTokenRow>>, ApiError> {
    caller.need(Role::Admin)?;
    Ok(Json(state.store.api_tokens(&caller.actor.org).await?))
}

/// A token to be made.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewApiToken {
    /// What it is for.
    pub name: String,
    /// Role; not above the caller's own.
    pub role: Role,
    /// Days until it expires; for ever when absent.
    #[serde(default)]
    pub days: Option<u32>,
    /// For what concerns every organisation too: catalogues, new organisations, the log-in of users of several.
    /// Only who may do that gives it away.
    #[serde(default)]
    pub everywhere: bool,
}

/// A token just made. The secret is shown this once.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MadeApiToken {
    /// Id, for revoking.
    pub id: String,
    /// What to send as `authorization: Bearer ...`.
    #[schema(value_type = String)]
    pub token: Secret<String>,
}

/// Makes an API token. Needs the role admin.
#[utoipa::path(post, path = "/api-tokens", request_body = NewApiToken,
    responses((status = 201, body = MadeApiToken), (status = 403, body = ErrorBody)))]
pub(super) async fn create_api_token(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<NewApiToken>,
) -> Result<(StatusCode, Json<MadeApiToken>), ApiError> {
    caller.need(Role::Admin)?;
    let expires_at = new.days.map(|days| Timestamp::now() + SignedDuration::from_hours(24 * i64::from(days)));
    let (id, token) =
        admin::make_api_token(&state.store, &caller.actor, &new.name, new.role, expires_at, new.everywhere)
            .await?;
    Ok((StatusCode::CREATED, Json(MadeApiToken { id, token })))
}

/// Revokes an API token at once. Needs the role admin.
#[utoipa::path(delete, path = "/api-tokens/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn revoke_api_token(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.need(Role::Admin)?;
    state.store.revoke_api_token(&caller.actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A user to be added.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewUser {
    /// Log-in name.
    pub name: String,
    /// Role in the organisation.
    pub role: Role,
}

/// A one-time link to set a password.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Link {
    /// Path under the collector's address.
    #[schema(value_type = String)]
    pub path: Secret<String>,
}

/// Adds a user of the organisation. Needs the role admin.
#[utoipa::path(post, path = "/users", request_body = NewUser,
    responses((status = 201), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn add_user(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<NewUser>,
) -> Result<StatusCode, ApiError> {
    admin::add_user(&state, &caller, &new.name, new.role).await?;
    Ok(StatusCode::CREATED)
}

/// Takes a user out of the organisation. Needs the role admin.
#[utoipa::path(delete, path = "/users/{name}", params(("name" = String, Path)),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn remove_user(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    admin::remove_user(&state, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another role.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewRole {
    /// Role in the organisation.
    pub role: Role,
}

/// Gives a user another role in the organisation. Needs the role admin.
#[utoipa::path(put, path = "/users/{name}/role", params(("name" = String, Path)), request_body = NewRole,
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn set_role(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
    Content(new): Content<NewRole>,
) -> Result<StatusCode, ApiError> {
    admin::set_role(&state, &caller, &name, new.role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a user may log in.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogIn {
    /// Whether log-in is refused; refusing ends open sessions.
    pub disabled: bool,
}

/// Refuses or again allows a user's log-in. Needs the role admin.
#[utoipa::path(put, path = "/users/{name}/log-in", params(("name" = String, Path)), request_body = LogIn,
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn set_log_in(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
    Content(new): Content<LogIn>,
) -> Result<StatusCode, ApiError> {
    admin::disable_user(&state, &caller, &name, new.disabled).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a one-time link with which a user sets a password. Needs the role admin.
#[utoipa::path(post, path = "/users/{name}/link", params(("name" = String, Path)),
    responses((status = 201, body = Link), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn make_link(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Link>), ApiError> {
    let path = Secret::new(admin::make_link(&state, &caller, &name).await?);
    Ok((StatusCode::CREATED, Json(Link { path })))
}

/// A password.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewPassword {
    /// 12 to 200 characters, other than the name.
    #[schema(value_type = String)]
    pub password: Secret<String>,
}

/// Sets a user's password and ends open sessions. Needs the role admin.
#[utoipa::path(put, path = "/users/{name}/password", params(("name" = String, Path)), request_body = NewPassword,
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn set_password(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
    Content(new): Content<NewPassword>,
) -> Result<StatusCode, ApiError> {
    caller.need(Role::Admin)?;
    admin::set_password(&state.store, &caller.actor, &name, new.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An organisation.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OrgRow {
    /// Id.
    #[schema(value_type = String)]
    pub id: OrgId,
    /// Name for people.
    #[serde(default)]
    pub name: String,
}

/// Organisations: every one for who may change what concerns every organisation, else the caller's own.
#[utoipa::path(get, path = "/organisations", responses((status = 200, body = Vec<OrgRow>)))]
pub(super) async fn organisations(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<OrgRow>>, ApiError> {
    let mut all = state.store.organisations().await?;
    all.retain(|org| caller.actor.everywhere || org.id == caller.actor.org);
    Ok(Json(all.into_iter().map(|org| OrgRow { id: org.id, name: org.name }).collect()))
}

/// Adds an organisation. Needs an API token for every organisation.
#[utoipa::path(post, path = "/organisations", request_body = OrgRow,
    responses((status = 201), (status = 403, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn add_organisation(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<OrgRow>,
) -> Result<StatusCode, ApiError> {
    caller.need_everywhere()?;
    let actor = crate::user::Actor { org: new.id, ..caller.actor };
    state.store.create_org(&actor, &new.name, Timestamp::now()).await?;
    Ok(StatusCode::CREATED)
}
