//! The JSON API about what is judged by: policy, catalogues, ledger.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::api::ErrorBody;
use tenken_shared::policy::PolicyEnvelope;

use super::auth::{AdminState, Caller};
use super::error::{ApiError, Code};
use super::extract::{Path, Query, Raw};
use crate::catalog::{self, CatalogRow, ImportError, Imported, Name};
use crate::ledger::{self, LedgerError};
use crate::policy::{self, PolicySlip};
use crate::store::policy::PolicyVersion;
use crate::user::Role;

impl From<PolicySlip> for ApiError {
    fn from(slip: PolicySlip) -> Self {
        Self::told(Code::BadRequest, |lang| slip.sentence(lang))
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::File(error) => Self::told(Code::BadRequest, |lang| catalog::sentence(&error, lang)),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        Self::told(Code::BadRequest, |lang| error.sentence(lang))
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Version {
    /// Version; the one in force when absent.
    version: Option<u64>,
}

/// The policy in force, or an older version.
#[utoipa::path(get, path = "/policy", params(Version), responses((status = 200, body = Object), (status = 404, body = ErrorBody)))]
pub(super) async fn policy(
    State(state): State<AdminState>,
    caller: Caller,
    Query(asked): Query<Version>,
) -> Result<Json<PolicyEnvelope>, ApiError> {
    let Some(version) = asked.version else { return Ok(Json(state.store.policy(caller.org).await?)) };
    let found = state.store.policy_version(caller.org, version).await?;
    found.map(Json).ok_or_else(|| ApiError::with(Code::NotFound, version))
}

/// Versions of the policy, newest first.
#[utoipa::path(get, path = "/policy/history", responses((status = 200, body = Vec<PolicyVersion>)))]
pub(super) async fn policy_history(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<PolicyVersion>>, ApiError> {
    Ok(Json(state.store.policy_history(caller.org).await?))
}

/// Puts a new version of the policy in force. The body is JSON or TOML; members that are absent take their
/// default, unknown ones are an error. Needs the role admin.
#[utoipa::path(put, path = "/policy", request_body = Object,
    responses((status = 200, body = Object), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn set_policy(
    State(state): State<AdminState>,
    caller: Caller,
    Raw(body): Raw,
) -> Result<Json<PolicyEnvelope>, ApiError> {
    caller.need(Role::Admin)?;
    let policy = policy::parse(&body)?;
    let made = state.store.set_policy(&caller.actor, &policy, Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok(Json(made))
}

/// The catalogues in use.
#[utoipa::path(get, path = "/catalogs", responses((status = 200, body = Vec<CatalogRow>)))]
pub(super) async fn catalogs(
    State(state): State<AdminState>,
    _: Caller,
) -> Result<Json<Vec<CatalogRow>>, ApiError> {
    Ok(Json(catalog::in_use(&state.store).await?))
}

/// A catalogue itself, in the form that importing takes.
#[utoipa::path(get, path = "/catalogs/{name}", params(("name" = Name, Path)),
    responses((status = 200, body = Object), (status = 404, body = ErrorBody)))]
pub(super) async fn catalog(
    State(state): State<AdminState>,
    _: Caller,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let name =
        Name::ALL.into_iter().find(|n| n.as_str() == name).ok_or_else(|| ApiError::new(Code::NotFound))?;
    Ok(Json(catalog::document(&state.store, name).await?))
}

/// Takes a catalogue in, for every organisation; which one it is shows from its content. Needs an API token
/// for every organisation.
#[utoipa::path(post, path = "/catalogs", request_body = Object,
    responses((status = 201, body = Imported), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn import_catalog(
    State(state): State<AdminState>,
    caller: Caller,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<Imported>), ApiError> {
    caller.need_everywhere()?;
    let done = catalog::import(&state.store, &caller.actor, body.to_vec(), Timestamp::now()).await?;
    Ok((StatusCode::CREATED, Json(done)))
}

/// What a ledger held.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LedgerImport {
    /// Machines.
    pub machines: u64,
    /// Those with a serial number.
    pub with_serial: u64,
}

/// Replaces the ledger by a CSV file (UTF-8 or Shift_JIS). Needs the role operator.
#[utoipa::path(put, path = "/ledger", request_body(content = String, content_type = "text/csv"),
    responses((status = 200, body = LedgerImport), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn import_ledger(
    State(state): State<AdminState>,
    caller: Caller,
    Raw(body): Raw,
) -> Result<Json<LedgerImport>, ApiError> {
    caller.need(Role::Operator)?;
    let machines = ledger::parse(&body)?;
    let with_serial = machines.iter().filter(|m| m.serial.is_some()).count() as u64;
    let done = LedgerImport { machines: machines.len() as u64, with_serial };
    state.store.put_ledger(&caller.actor, machines, Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok(Json(done))
}
