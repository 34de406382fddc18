//! The JSON API: thin handlers over the query layer. Lists also come as CSV (`format=csv`).

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenken_shared::api::ErrorBody;
use tenken_shared::criterion::{Attestation, Exception};
use tenken_shared::ids::HostId;
use tenken_shared::redact::Secret;

use super::admin;
use super::auth::{AdminState, Caller};
use super::error::{ApiError, Code};
use crate::answer::{self, NewAttestation, NewException};
use crate::export::{Format, Table};
use crate::query::{
    ControlCounts, CoverageCounts, HOST_COLUMNS, HostFilter, HostFinding, HostRow, MAX_EXPORT, MAX_PAGE,
    Page, SnapshotRow, TitleHost, TitlePage,
};
use crate::store::sandbox::{Limits, SandboxError};
use crate::store::view;
use crate::user::{ApiTokenRow, AuditRow, Role, UserRow};

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> Self {
        match &error {
            SandboxError::Invalid(text) => Self::with(Code::SqlInvalid, text),
            SandboxError::Denied(text) => Self::with(Code::SqlDenied, text),
            SandboxError::Limit(what) => Self::with(Code::SqlLimit, what),
            SandboxError::Unavailable(_) => Self::logged(Code::SqlUnavailable, &error),
        }
    }
}

/// A table as JSON or CSV.
fn answer(table: &Table, format: Format) -> Response {
    match format {
        Format::Csv => {
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"tenken.csv\""),
            ];
            (headers, table.to_csv()).into_response()
        }
        Format::Json | Format::Table => Json(table).into_response(),
    }
}

#[derive(Deserialize)]
pub(super) struct AsFormat {
    #[serde(default)]
    format: Option<Format>,
}

/// Who is asking.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Me {
    /// Organisation everything is limited to.
    org: String,
    /// Role there.
    role: Role,
    /// `user:NAME` or `api-token:ID`.
    name: String,
}

/// Who is asking.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = Me), (status = 401, body = ErrorBody)))]
pub(super) async fn me(caller: Caller) -> Json<Me> {
    Json(Me { org: caller.actor.org.to_string(), role: caller.actor.role, name: caller.actor.name })
}

/// Hosts, filtered, sorted, in pages; `format=csv` exports all of them.
#[utoipa::path(get, path = "/api/v1/hosts", params(HostFilter, ("format" = Option<Format>, Query, description = "`json` (default) or `csv`")),
    responses((status = 200, body = Page<HostRow>), (status = 401, body = ErrorBody)))]
pub(super) async fn hosts(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<HostFilter>,
    Query(format): Query<AsFormat>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    if format.format != Some(Format::Csv) {
        return Ok(Json(state.store.host_page(caller.org, filter, now).await?).into_response());
    }
    let page = state.store.host_export(caller.org, filter, MAX_EXPORT, now).await?;
    Ok(answer(&Table::of(HOST_COLUMNS, &page.items), Format::Csv))
}

/// The host of an address, of this organisation only.
async fn find(state: &AdminState, org: i64, id: &str) -> Result<crate::store::host::Host, ApiError> {
    let id: HostId = id.parse().map_err(|_| ApiError::new(Code::NotFound))?;
    state.store.host(org, &id).await?.ok_or_else(|| ApiError::new(Code::NotFound))
}

/// A host with everything known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HostDetail {
    /// As in lists.
    host: HostRow,
    /// Findings with evidence.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<tenken_shared::finding::Finding>,
    /// Facts by kind, each with status, source and times; a kind that this program does not know is given as it came.
    #[schema(value_type = Object)]
    facts: tenken_shared::inventory::Inventory,
}

/// One host: facts with their honest states, findings with evidence.
#[utoipa::path(get, path = "/api/v1/hosts/{host}", params(("host" = String, Path)),
    responses((status = 200, body = HostDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn host(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<HostDetail>, ApiError> {
    let found = find(&state, caller.org, &id).await?;
    let row = state.store.host_row(caller.org, &id, Timestamp::now()).await?;
    Ok(Json(HostDetail {
        host: row.ok_or_else(|| ApiError::new(Code::NotFound))?,
        findings: state.store.findings(found.at, Timestamp::now()).await?,
        facts: state.store.inventory(found.at, None).await?,
    }))
}

/// One fact of a host, whole.
#[utoipa::path(get, path = "/api/v1/hosts/{host}/facts/{kind}", params(("host" = String, Path), ("kind" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = ErrorBody)))]
pub(super) async fn fact(
    State(state): State<AdminState>,
    caller: Caller,
    Path((id, kind)): Path<(String, String)>,
) -> Result<Json<tenken_shared::inventory::Held>, ApiError> {
    let found = find(&state, caller.org, &id).await?;
    let inventory = state.store.inventory(found.at, None).await?;
    let held = inventory.iter().find(|(name, _)| name.as_str() == kind).map(|(_, held)| held.clone());
    held.map(Json).ok_or_else(|| ApiError::new(Code::NotFound))
}

/// Confirms, retires or revokes a host. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/hosts/{host}/{verb}",
    params(("host" = String, Path), ("verb" = String, Path, description = "`confirm`, `retire` or `revoke`")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn change_host(
    State(state): State<AdminState>,
    caller: Caller,
    Path((id, verb)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.need(Role::Operator)?;
    crate::ui::change_host(&state, &caller, &id, &verb).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many machines there are and how many are covered.
#[utoipa::path(get, path = "/api/v1/coverage", responses((status = 200, body = CoverageCounts)))]
pub(super) async fn coverage(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<CoverageCounts>, ApiError> {
    Ok(Json(state.standings.of(&state.store, caller.org).await?.coverage))
}

/// Result of every criterion of the scheme.
#[utoipa::path(get, path = "/api/v1/criteria", responses((status = 200, body = Vec<Object>)))]
pub(super) async fn criteria(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<tenken_shared::criterion::CriterionResult>>, ApiError> {
    Ok(Json(state.standings.of(&state.store, caller.org).await?.criteria.clone()))
}

/// Confirmed hosts by control and outcome.
#[utoipa::path(get, path = "/api/v1/controls", responses((status = 200, body = Vec<ControlCounts>)))]
pub(super) async fn controls(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<ControlCounts>>, ApiError> {
    Ok(Json(state.standings.of(&state.store, caller.org).await?.controls.clone()))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingFilter {
    /// Control id; several joined by commas; all when absent.
    #[serde(default)]
    control: String,
    /// Rows at most.
    limit: Option<u32>,
}

/// Findings of confirmed hosts, what fails first.
#[utoipa::path(get, path = "/api/v1/findings", params(FindingFilter), responses((status = 200, body = Vec<HostFinding>)))]
pub(super) async fn findings(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<FindingFilter>,
) -> Result<Json<Vec<HostFinding>>, ApiError> {
    let controls: Vec<String> = filter
        .control
        .split(',')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .take(100)
        .map(str::to_owned)
        .collect();
    let limit = filter.limit.unwrap_or(MAX_PAGE).clamp(1, 10_000);
    Ok(Json(state.store.control_findings(caller.org, controls, limit, Timestamp::now()).await?))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TitleFilter {
    /// Part of the name.
    #[serde(default)]
    text: String,
    /// Cursor of the page before.
    #[serde(default)]
    after: String,
    /// Rows of a page.
    limit: Option<u32>,
}

/// Software titles with the number of machines that have them.
#[utoipa::path(get, path = "/api/v1/software", params(TitleFilter), responses((status = 200, body = TitlePage)))]
pub(super) async fn software(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<TitleFilter>,
) -> Result<Json<TitlePage>, ApiError> {
    let limit = filter.limit.unwrap_or(crate::query::DEFAULT_PAGE);
    Ok(Json(state.store.software_titles(caller.org, &filter.text, &filter.after, limit).await?))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TitleName {
    /// Exact name.
    name: String,
    /// Exact version; any when absent.
    version: Option<String>,
    /// Rows at most.
    limit: Option<u32>,
}

/// Which machines have a title.
#[utoipa::path(get, path = "/api/v1/software/hosts", params(TitleName), responses((status = 200, body = Vec<TitleHost>)))]
pub(super) async fn software_hosts(
    State(state): State<AdminState>,
    caller: Caller,
    Query(title): Query<TitleName>,
) -> Result<Json<Vec<TitleHost>>, ApiError> {
    let limit = title.limit.unwrap_or(MAX_PAGE).clamp(1, 10_000);
    Ok(Json(state.store.software_hosts(caller.org, &title.name, title.version.as_deref(), limit).await?))
}

/// A published view and what its rows are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ViewAbout {
    /// Name.
    name: &'static str,
    /// What a row is.
    about: &'static str,
}

/// The views that `sql` may ask.
#[utoipa::path(get, path = "/api/v1/views", responses((status = 200, body = Vec<ViewAbout>)))]
pub(super) async fn views(_: Caller) -> Json<Vec<ViewAbout>> {
    Json(view::ALL.iter().map(|v| ViewAbout { name: v.name, about: v.about }).collect())
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ViewFilter {
    /// Only this host.
    host: Option<String>,
    /// `json` (default) or `csv`.
    #[param(value_type = Option<String>)]
    format: Option<Format>,
}

/// Rows of one published view (`updates`, `backups`, `media`, `accounts`, `facts`, ...).
#[utoipa::path(get, path = "/api/v1/views/{view}", params(("view" = String, Path), ViewFilter),
    responses((status = 200, body = Table), (status = 404, body = ErrorBody)))]
pub(super) async fn view_rows(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(filter): Query<ViewFilter>,
) -> Result<Response, ApiError> {
    let view = view::find(&name).ok_or_else(|| ApiError::new(Code::NotFound))?;
    let parse = |id: String| id.parse::<HostId>().map_err(|_| ApiError::with(Code::BadRequest, "host"));
    let host = filter.host.map(parse).transpose()?;
    let sql = view.rows(host.as_ref());
    let table = state.store.run_sql(&caller.actor.org, &sql, Limits::default()).await?;
    Ok(answer(&table, filter.format.unwrap_or(Format::Json)))
}

/// A question in SQL.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(super) struct SqlRequest {
    /// One `select` over the published views.
    sql: String,
    /// `json` (default) or `csv`.
    #[serde(default)]
    format: Option<Format>,
}

/// Read-only SQL over the published views, limited to the caller's organisation.
#[utoipa::path(post, path = "/api/v1/sql", request_body = SqlRequest,
    responses((status = 200, body = Table), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn sql(
    State(state): State<AdminState>,
    caller: Caller,
    Json(request): Json<SqlRequest>,
) -> Result<Response, ApiError> {
    let table = state.store.run_sql(&caller.actor.org, &request.sql, Limits::default()).await?;
    Ok(answer(&table, request.format.unwrap_or(Format::Json)))
}

/// Enrolment tokens, without their text. Needs the role operator.
#[utoipa::path(get, path = "/api/v1/tokens", responses((status = 200, body = Vec<Object>), (status = 403, body = ErrorBody)))]
pub(super) async fn tokens(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<crate::store::token::Token>>, ApiError> {
    Ok(Json(admin::enrol_tokens(&state, &caller).await?))
}

/// Makes an enrolment token. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/tokens", request_body = admin::NewEnrolToken,
    responses((status = 201, body = admin::MadeEnrolToken), (status = 403, body = ErrorBody)))]
pub(super) async fn create_token(
    State(state): State<AdminState>,
    caller: Caller,
    Json(new): Json<admin::NewEnrolToken>,
) -> Result<(StatusCode, Json<admin::MadeEnrolToken>), ApiError> {
    Ok((StatusCode::CREATED, Json(admin::make_enrol_token(&state, &caller, new).await?)))
}

/// Takes an enrolment token back; hosts already enrolled stay. Needs the role operator.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn revoke_token(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    admin::revoke_enrol_token(&state, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Users of the organisation. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/users", responses((status = 200, body = Vec<UserRow>), (status = 403, body = ErrorBody)))]
pub(super) async fn users(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<UserRow>>, ApiError> {
    caller.need(Role::Admin)?;
    Ok(Json(state.store.users(&caller.actor.org).await?))
}

/// API tokens of the organisation, without their secrets. Needs the role admin.
#[utoipa::path(get, path = "/api/v1/api-tokens", responses((status = 200, body = Vec<ApiTokenRow>), (status = 403, body = ErrorBody)))]
pub(super) async fn api_tokens(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<ApiTokenRow>>, ApiError> {
    caller.need(Role::Admin)?;
    Ok(Json(state.store.api_tokens(&caller.actor.org).await?))
}

/// A token to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(super) struct NewApiToken {
    /// What it is for.
    name: String,
    /// Role; not above the caller's own.
    role: Role,
    /// Days until it expires; for ever when absent.
    #[serde(default)]
    days: Option<u32>,
}

/// A token just made. The secret is shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct MadeApiToken {
    /// Id, for revoking.
    id: String,
    /// What to send as `authorization: Bearer ...`.
    #[schema(value_type = String)]
    token: Secret<String>,
}

/// Makes an API token. Needs the role admin.
#[utoipa::path(post, path = "/api/v1/api-tokens", request_body = NewApiToken,
    responses((status = 201, body = MadeApiToken), (status = 403, body = ErrorBody)))]
pub(super) async fn create_api_token(
    State(state): State<AdminState>,
    caller: Caller,
    Json(new): Json<NewApiToken>,
) -> Result<(StatusCode, Json<MadeApiToken>), ApiError> {
    caller.need(Role::Admin)?;
    let expires_at = new.days.map(|days| Timestamp::now() + SignedDuration::from_hours(24 * i64::from(days)));
    let (id, token) =
        admin::make_api_token(&state.store, &caller.actor, &new.name, new.role, expires_at).await?;
    Ok((StatusCode::CREATED, Json(MadeApiToken { id, token })))
}

/// Revokes an API token at once. Needs the role admin.
#[utoipa::path(delete, path = "/api/v1/api-tokens/{id}", params(("id" = String, Path)),
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

/// Exceptions that were not ended, past their deadline or not.
#[utoipa::path(get, path = "/api/v1/exceptions", responses((status = 200, body = Vec<Exception>)))]
pub(super) async fn exceptions(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<Exception>>, ApiError> {
    Ok(Json(state.store.exceptions(caller.org).await?))
}

/// Records an exception. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/exceptions", request_body = NewException,
    responses((status = 201, body = Exception), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn add_exception(
    State(state): State<AdminState>,
    caller: Caller,
    Json(new): Json<NewException>,
) -> Result<(StatusCode, Json<Exception>), ApiError> {
    caller.need(Role::Operator)?;
    let made = answer::add_exception(&state.store, &caller.actor, new, Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok((StatusCode::CREATED, Json(made)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Why {
    /// Why it ends.
    #[serde(default)]
    reason: String,
}

/// Ends an exception; it stays on record. Needs the role operator.
#[utoipa::path(delete, path = "/api/v1/exceptions/{id}", params(("id" = String, Path), Why),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn end_exception(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(why): Query<Why>,
) -> Result<StatusCode, ApiError> {
    caller.need(Role::Operator)?;
    state.store.remove_exception(&caller.actor, &id, why.reason.trim(), Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok(StatusCode::NO_CONTENT)
}

/// Attestations that were not withdrawn, oldest first; the newest of a criterion counts.
#[utoipa::path(get, path = "/api/v1/attestations", responses((status = 200, body = Vec<Attestation>)))]
pub(super) async fn attestations(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<Attestation>>, ApiError> {
    Ok(Json(state.store.attestations(caller.org).await?))
}

/// Records an attestation. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/attestations", request_body = NewAttestation,
    responses((status = 201, body = Attestation), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn add_attestation(
    State(state): State<AdminState>,
    caller: Caller,
    Json(new): Json<NewAttestation>,
) -> Result<(StatusCode, Json<Attestation>), ApiError> {
    caller.need(Role::Operator)?;
    let made = answer::add_attestation(&state.store, &caller.actor, new, Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok((StatusCode::CREATED, Json(made)))
}

/// Withdraws an attestation and those it had replaced; they stay on record. Needs the role operator and a
/// reason.
#[utoipa::path(delete, path = "/api/v1/attestations/{id}", params(("id" = String, Path), Why),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn end_attestation(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(why): Query<Why>,
) -> Result<StatusCode, ApiError> {
    caller.need(Role::Operator)?;
    state.store.end_attestation(&caller.actor, &id, why.reason.trim(), Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditFilter {
    /// Only entries before this number.
    before: Option<i64>,
    /// Rows at most.
    limit: Option<u32>,
}

/// The audit log, newest first.
#[utoipa::path(get, path = "/api/v1/audit", params(AuditFilter), responses((status = 200, body = Vec<AuditRow>)))]
pub(super) async fn audit(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<AuditFilter>,
) -> Result<Json<Vec<AuditRow>>, ApiError> {
    let limit = filter.limit.unwrap_or(100);
    Ok(Json(state.store.audit_log(&caller.actor.org, filter.before, limit).await?))
}

/// Snapshots, newest first.
#[utoipa::path(get, path = "/api/v1/snapshots", responses((status = 200, body = Vec<SnapshotRow>)))]
pub(super) async fn snapshots(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<SnapshotRow>>, ApiError> {
    Ok(Json(state.store.snapshot_rows(caller.org).await?))
}
