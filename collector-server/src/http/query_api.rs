//! The JSON API: thin handlers over the query layer. Lists also come as CSV (`format=csv`).

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::api::ErrorBody;
use tenken_shared::criterion::{Attestation, Exception};
use tenken_shared::ids::HostId;

use super::admin;
use super::auth::{AdminState, Caller};
use super::error::{ApiError, Code};
use super::extract::{Content, Path, Query};
use crate::answer::{self, AnswerError, NewAttestation, NewException};
use crate::export::{Format, Table};
use crate::query::{
    BadCursor, ControlCounts, CoverageCounts, FINDING_COLUMNS, FindingFilter, HOST_COLUMNS, HostFilter,
    HostFinding, HostRow, List, MAX_EXPORT, Page, TITLE_COLUMNS, TITLE_HOST_COLUMNS, TitleFilter, TitleHost,
    TitleHostFilter, TitleRow, page_size,
};
use crate::store::sandbox::{Limits, Place, SandboxError, ViewPage};
use crate::store::view;
use crate::user::{AuditRow, Role};

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

/// Rows as CSV; `cut`: there are more.
fn csv<T: Serialize>(columns: &[&str], rows: &[T], cut: bool) -> Response {
    answer(&Table { truncated: cut, ..Table::of(columns, rows) }, Format::Csv)
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AsFormat {
    /// `json` (default): one page; `csv`: every row, up to 100,000. Where there are more, a last row says so.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    format: Option<Format>,
}

impl AsFormat {
    fn is_csv(&self) -> bool {
        self.format == Some(Format::Csv)
    }

    /// Rows to read: a page's, or all.
    fn rows(&self, limit: Option<u32>) -> u32 {
        if self.is_csv() { MAX_EXPORT } else { page_size(limit) }
    }

    /// A page, or an export.
    fn list<T: Serialize>(&self, list: List<T>, columns: &[&str]) -> Response {
        match self.is_csv() {
            true => csv(columns, &list.items, list.next.is_some()),
            false => Json(list).into_response(),
        }
    }
}

impl From<BadCursor> for ApiError {
    fn from(_: BadCursor) -> Self {
        Self::with(Code::BadRequest, "after")
    }
}

/// Who is asking.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Me {
    /// Organisation everything is limited to.
    pub org: String,
    /// Role there.
    pub role: Role,
    /// `user:NAME` or `api-token:ID`.
    pub name: String,
}

/// Who is asking.
#[utoipa::path(get, path = "/me", responses((status = 200, body = Me), (status = 401, body = ErrorBody)))]
pub(super) async fn me(caller: Caller) -> Json<Me> {
    Json(Me { org: caller.actor.org.to_string(), role: caller.actor.role, name: caller.actor.name })
}

/// Hosts, filtered, sorted, in pages; `format=csv` exports all of them.
#[utoipa::path(get, path = "/hosts", params(HostFilter, AsFormat),
    responses((status = 200, body = Page<HostRow>), (status = 401, body = ErrorBody)))]
pub(super) async fn hosts(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<HostFilter>,
    Query(format): Query<AsFormat>,
) -> Result<Response, ApiError> {
    filter.cursor()?;
    let now = Timestamp::now();
    if !format.is_csv() {
        return Ok(Json(state.store.host_page(caller.org, filter, now).await?).into_response());
    }
    let page = state.store.host_export(caller.org, filter, MAX_EXPORT, now).await?;
    Ok(csv(HOST_COLUMNS, &page.items, page.next.is_some()))
}

/// The host of an address, by id or by a name that only one host has; of this organisation only.
async fn find(state: &AdminState, org: i64, name: &str) -> Result<crate::store::host::Host, ApiError> {
    answer::host(&state.store, org, name).await.map_err(|error| match error {
        AnswerError::Invalid(slip) => ApiError::told(Code::NotFound, |lang| slip.sentence(lang)),
        other => other.into(),
    })
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
#[utoipa::path(get, path = "/hosts/{host}", params(("host" = String, Path)),
    responses((status = 200, body = HostDetail), (status = 404, body = ErrorBody)))]
pub(super) async fn host(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<HostDetail>, ApiError> {
    let found = find(&state, caller.org, &id).await?;
    let row = state.store.host_row(caller.org, found.id.as_str(), Timestamp::now()).await?;
    Ok(Json(HostDetail {
        host: row.ok_or_else(|| ApiError::new(Code::NotFound))?,
        findings: state.store.findings(found.at, Timestamp::now()).await?,
        facts: state.store.inventory(found.at, None).await?,
    }))
}

/// One fact of a host, whole.
#[utoipa::path(get, path = "/hosts/{host}/facts/{kind}", params(("host" = String, Path), ("kind" = String, Path)),
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

/// A current fact without its contents.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FactState {
    /// Kind.
    pub kind: String,
    /// Status word.
    pub status: String,
    /// Digest of its contents.
    pub digest: String,
    /// When it was collected, host clock.
    #[schema(value_type = String, format = DateTime)]
    pub collected_at: Timestamp,
    /// Since when it holds.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// The current facts of a host, without their contents; kinds that this program does not know too.
#[utoipa::path(get, path = "/hosts/{host}/facts", params(("host" = String, Path)),
    responses((status = 200, body = Vec<FactState>), (status = 404, body = ErrorBody)))]
pub(super) async fn facts(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Vec<FactState>>, ApiError> {
    let found = find(&state, caller.org, &id).await?;
    let versions = state.store.fact_versions(found.at, None).await?;
    let fact = |v: crate::store::fact::FactVersion| FactState {
        kind: v.kind.to_string(),
        status: v.status.to_string(),
        digest: v.digest.to_string(),
        collected_at: v.collected_at,
        since: v.observed_from,
    };
    Ok(Json(versions.into_iter().map(fact).collect()))
}

/// Something that happened to a host or to the chain of its reports.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventRow {
    /// When it became known.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Kind.
    pub kind: String,
    /// Report it came with; 0 for what the collector itself did.
    pub seq: u64,
    /// Its data.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// The last events of a host, newest first.
#[utoipa::path(get, path = "/hosts/{host}/events", params(("host" = String, Path), EventFilter),
    responses((status = 200, body = Vec<EventRow>), (status = 404, body = ErrorBody)))]
pub(super) async fn events(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(filter): Query<EventFilter>,
) -> Result<Json<Vec<EventRow>>, ApiError> {
    let found = find(&state, caller.org, &id).await?;
    let events = state.store.host_events(found.at, page_size(filter.limit)).await?;
    let row = |e: crate::store::report::HostEvent| EventRow {
        at: e.recorded_at,
        kind: e.kind,
        seq: e.seq,
        data: e.data,
    };
    Ok(Json(events.into_iter().map(row).collect()))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventFilter {
    /// Events at most.
    limit: Option<u32>,
}

/// What one host alone says of every criterion, with the findings it rests on.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostCriteria {
    /// As in lists.
    pub host: HostRow,
    /// Findings with evidence.
    #[schema(value_type = Vec<Object>)]
    pub findings: Vec<tenken_shared::finding::Finding>,
    /// Criteria.
    #[schema(value_type = Vec<Object>)]
    pub criteria: Vec<tenken_shared::criterion::CriterionResult>,
}

/// Result of every criterion for one host alone.
#[utoipa::path(get, path = "/hosts/{host}/criteria", params(("host" = String, Path)),
    responses((status = 200, body = HostCriteria), (status = 404, body = ErrorBody)))]
pub(super) async fn host_criteria(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<HostCriteria>, ApiError> {
    let (found, now) = (find(&state, caller.org, &id).await?, Timestamp::now());
    let row = state.store.host_row(caller.org, found.id.as_str(), now).await?;
    Ok(Json(HostCriteria {
        host: row.ok_or_else(|| ApiError::new(Code::NotFound))?,
        findings: state.store.findings(found.at, now).await?,
        criteria: state.store.host_criteria(found.at, now).await?,
    }))
}

/// Confirms, retires or revokes a host. Needs the role operator.
#[utoipa::path(post, path = "/hosts/{host}/{verb}",
    params(("host" = String, Path), ("verb" = String, Path, description = "`confirm`, `retire` or `revoke`")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn change_host(
    State(state): State<AdminState>,
    caller: Caller,
    Path((id, verb)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    caller.need(Role::Operator)?;
    let host = find(&state, caller.org, &id).await?;
    crate::ui::change_host(&state, &caller, host.id.as_str(), &verb).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many machines there are and how many are covered.
#[utoipa::path(get, path = "/coverage", responses((status = 200, body = CoverageCounts)))]
pub(super) async fn coverage(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<CoverageCounts>, ApiError> {
    Ok(Json(state.standings.of(&state.store, caller.org).await?.coverage))
}

/// Result of every criterion of the scheme.
#[utoipa::path(get, path = "/criteria", responses((status = 200, body = Vec<Object>)))]
pub(super) async fn criteria(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<tenken_shared::criterion::CriterionResult>>, ApiError> {
    Ok(Json(state.standings.of(&state.store, caller.org).await?.criteria.clone()))
}

/// Confirmed hosts by control and outcome.
#[utoipa::path(get, path = "/controls", responses((status = 200, body = Vec<ControlCounts>)))]
pub(super) async fn controls(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<ControlCounts>>, ApiError> {
    Ok(Json(state.standings.of(&state.store, caller.org).await?.controls.clone()))
}

/// Findings of confirmed hosts, filtered, sorted, in pages; `format=csv` exports all of them.
#[utoipa::path(get, path = "/findings", params(FindingFilter, AsFormat), responses((status = 200, body = List<HostFinding>), (status = 400, body = ErrorBody)))]
pub(super) async fn findings(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<FindingFilter>,
    Query(format): Query<AsFormat>,
) -> Result<Response, ApiError> {
    filter.cursor()?;
    let limit = format.rows(filter.limit);
    let list = state.store.finding_list(caller.org, filter, limit, Timestamp::now()).await?;
    Ok(format.list(list, FINDING_COLUMNS))
}

/// Software titles with the number of machines that have them, in pages; `format=csv` exports all of them.
#[utoipa::path(get, path = "/software", params(TitleFilter, AsFormat), responses((status = 200, body = List<TitleRow>), (status = 400, body = ErrorBody)))]
pub(super) async fn software(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<TitleFilter>,
    Query(format): Query<AsFormat>,
) -> Result<Response, ApiError> {
    filter.cursor()?;
    let limit = format.rows(filter.limit);
    Ok(format.list(state.store.software_titles(caller.org, filter, limit).await?, TITLE_COLUMNS))
}

/// Which machines have a title, sorted, in pages; `format=csv` exports all of them.
#[utoipa::path(get, path = "/software/hosts", params(TitleHostFilter, AsFormat), responses((status = 200, body = List<TitleHost>), (status = 400, body = ErrorBody)))]
pub(super) async fn software_hosts(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<TitleHostFilter>,
    Query(format): Query<AsFormat>,
) -> Result<Response, ApiError> {
    filter.cursor()?;
    let limit = format.rows(filter.limit);
    Ok(format.list(state.store.software_hosts(caller.org, filter, limit).await?, TITLE_HOST_COLUMNS))
}

/// A published view and what its rows are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ViewAbout {
    /// Name.
    name: &'static str,
    /// What a row is.
    about: &'static str,
    /// The same in Japanese.
    about_ja: &'static str,
}

/// The views that `sql` may ask.
#[utoipa::path(get, path = "/views", responses((status = 200, body = Vec<ViewAbout>)))]
pub(super) async fn views(_: Caller) -> Json<Vec<ViewAbout>> {
    Json(
        view::ALL
            .iter()
            .map(|v| ViewAbout { name: v.name, about: v.title.en, about_ja: v.title.ja })
            .collect(),
    )
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ViewFilter {
    /// Only this host.
    host: Option<String>,
    /// Cursor of the page before.
    #[serde(default)]
    after: String,
    /// Rows of a page.
    limit: Option<u32>,
}

/// Rows of one published view (`updates`, `backups`, `media`, `accounts`, `facts`, ...) by machine, in pages;
/// `format=csv` exports all of them. For another order, ask `sql`.
#[utoipa::path(get, path = "/views/{view}", params(("view" = String, Path), ViewFilter, AsFormat),
    responses((status = 200, body = ViewPage), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn view_rows(
    State(state): State<AdminState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(filter): Query<ViewFilter>,
    Query(format): Query<AsFormat>,
) -> Result<Response, ApiError> {
    let view = view::find(&name).ok_or_else(|| ApiError::new(Code::NotFound))?;
    let parse = |id: String| id.parse::<HostId>().map_err(|_| ApiError::with(Code::BadRequest, "host"));
    let host = filter.host.map(parse).transpose()?;
    let place = Place::read(view, &filter.after)?;
    let limit = format.rows(filter.limit);
    let org = (&caller.actor.org, caller.org);
    let mut page = state.store.view_page(org, view, host.as_ref(), place, limit).await?;
    if !format.is_csv() {
        return Ok(Json(page).into_response());
    }
    page.table.truncated = page.next.is_some();
    Ok(answer(&page.table, Format::Csv))
}

/// A question in SQL.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SqlRequest {
    /// One `select` over the published views.
    pub sql: String,
    /// `json` (default) or `csv`.
    #[serde(default)]
    pub format: Option<Format>,
}

/// Read-only SQL over the published views, limited to the caller's organisation.
#[utoipa::path(post, path = "/sql", request_body = SqlRequest,
    responses((status = 200, body = Table), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn sql(
    State(state): State<AdminState>,
    caller: Caller,
    Content(request): Content<SqlRequest>,
) -> Result<Response, ApiError> {
    let table = state.store.run_sql(&caller.actor.org, &request.sql, Limits::default()).await?;
    Ok(answer(&table, request.format.unwrap_or(Format::Json)))
}

/// Enrolment tokens, without their text. Needs the role operator.
#[utoipa::path(get, path = "/tokens", responses((status = 200, body = Vec<Object>), (status = 403, body = ErrorBody)))]
pub(super) async fn tokens(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<crate::store::token::Token>>, ApiError> {
    Ok(Json(admin::enrol_tokens(&state, &caller).await?))
}

/// Makes an enrolment token. Needs the role operator.
#[utoipa::path(post, path = "/tokens", request_body = admin::NewEnrolToken,
    responses((status = 201, body = admin::MadeEnrolToken), (status = 403, body = ErrorBody)))]
pub(super) async fn create_token(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<admin::NewEnrolToken>,
) -> Result<(StatusCode, Json<admin::MadeEnrolToken>), ApiError> {
    Ok((StatusCode::CREATED, Json(admin::make_enrol_token(&state, &caller, new).await?)))
}

/// Takes an enrolment token back; hosts already enrolled stay. Needs the role operator.
#[utoipa::path(delete, path = "/tokens/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub(super) async fn revoke_token(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    admin::revoke_enrol_token(&state, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Exceptions that were not ended, past their deadline or not.
#[utoipa::path(get, path = "/exceptions", responses((status = 200, body = Vec<Exception>)))]
pub(super) async fn exceptions(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<Exception>>, ApiError> {
    Ok(Json(state.store.exceptions(caller.org).await?))
}

/// Records an exception. Needs the role operator.
#[utoipa::path(post, path = "/exceptions", request_body = NewException,
    responses((status = 201, body = Exception), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn add_exception(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<NewException>,
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
#[utoipa::path(delete, path = "/exceptions/{id}", params(("id" = String, Path), Why),
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
#[utoipa::path(get, path = "/attestations", responses((status = 200, body = Vec<Attestation>)))]
pub(super) async fn attestations(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<Attestation>>, ApiError> {
    Ok(Json(state.store.attestations(caller.org).await?))
}

/// Records an attestation. Needs the role operator.
#[utoipa::path(post, path = "/attestations", request_body = NewAttestation,
    responses((status = 201, body = Attestation), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn add_attestation(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<NewAttestation>,
) -> Result<(StatusCode, Json<Attestation>), ApiError> {
    caller.need(Role::Operator)?;
    let made = answer::add_attestation(&state.store, &caller.actor, new, Timestamp::now()).await?;
    state.standings.forget(caller.org);
    Ok((StatusCode::CREATED, Json(made)))
}

/// Withdraws an attestation and those it had replaced; they stay on record. Needs the role operator and a
/// reason.
#[utoipa::path(delete, path = "/attestations/{id}", params(("id" = String, Path), Why),
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
#[utoipa::path(get, path = "/audit", params(AuditFilter), responses((status = 200, body = Vec<AuditRow>)))]
pub(super) async fn audit(
    State(state): State<AdminState>,
    caller: Caller,
    Query(filter): Query<AuditFilter>,
) -> Result<Json<Vec<AuditRow>>, ApiError> {
    let limit = filter.limit.unwrap_or(100);
    Ok(Json(state.store.audit_log(&caller.actor.org, filter.before, limit).await?))
}
