//! The JSON API about snapshots: take, list, compare, export, schedule.

use std::io::Write as _;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::api::ErrorBody;
use tokio::io::AsyncReadExt as _;

use super::auth::{AdminState, Caller};
use super::error::{ApiError, Code};
use super::extract::{Content, Path, Query};
use crate::snapshot::{self, SnapshotError};
use crate::store::snapshot::{ExportOptions, Schedule, SnapshotDiff, SnapshotSummary};
use crate::user::Role;

/// Bytes read of a pack at a time.
const CHUNK: usize = 64 * 1024;

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Store(error) => error.into(),
            SnapshotError::Cron { .. } | SnapshotError::TimeZone(_) => {
                Self::told(Code::BadRequest, |lang| error.sentence(lang))
            }
            other => Self::internal(&other),
        }
    }
}

/// Snapshots, newest first.
#[utoipa::path(get, path = "/snapshots", responses((status = 200, body = Vec<SnapshotSummary>)))]
pub(super) async fn snapshots(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Vec<SnapshotSummary>>, ApiError> {
    Ok(Json(state.store.snapshots(caller.org).await?))
}

/// Freezes the state now. Needs the role operator.
#[utoipa::path(post, path = "/snapshots", responses((status = 201, body = SnapshotSummary), (status = 403, body = ErrorBody)))]
pub(super) async fn take(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<(StatusCode, Json<SnapshotSummary>), ApiError> {
    caller.need(Role::Operator)?;
    let key = state.keys.signing_key();
    let taken = snapshot::take(&state.store, key, &caller.actor, Timestamp::now()).await?;
    Ok((StatusCode::CREATED, Json(taken)))
}

/// What differs between two snapshots, each named by id or number.
#[utoipa::path(get, path = "/snapshots/{a}/diff/{b}", params(("a" = String, Path), ("b" = String, Path)),
    responses((status = 200, body = SnapshotDiff), (status = 404, body = ErrorBody)))]
pub(super) async fn diff(
    State(state): State<AdminState>,
    caller: Caller,
    Path((a, b)): Path<(String, String)>,
) -> Result<Json<SnapshotDiff>, ApiError> {
    Ok(Json(state.store.snapshot_diff(caller.org, &a, &b).await?))
}

/// What a pack shall carry.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PackFilter {
    /// Carry the contents of facts, not only their digests.
    #[serde(default)]
    contents: bool,
    /// Leave out the names of hosts and groups.
    #[serde(default)]
    without_names: bool,
}

/// A snapshot, by id or number, with its evidence as a pack that `verify` checks without a server.
#[utoipa::path(get, path = "/snapshots/{id}/pack", params(("id" = String, Path), PackFilter),
    responses((status = 200, body = Object), (status = 404, body = ErrorBody)))]
pub(super) async fn pack(
    State(state): State<AdminState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(filter): Query<PackFilter>,
) -> Result<Response, ApiError> {
    pack_of(&state, caller.org, &id, &filter).await
}

/// The pack of a snapshot for whoever asks, console and API alike. It is written to a file without a name
/// first: what goes wrong on the way is an answer, not half a pack, and no pack is held in memory.
pub(crate) async fn pack_of(
    state: &AdminState,
    org: i64,
    id: &str,
    filter: &PackFilter,
) -> Result<Response, ApiError> {
    let options = ExportOptions { contents: filter.contents, without_names: filter.without_names };
    let frozen = state.store.snapshot(org, id).await?;
    let failed = |e: std::io::Error| ApiError::internal(&e);
    let mut out = std::io::BufWriter::new(tempfile::tempfile().map_err(failed)?);
    snapshot::export(&state.store, org, id, options, &mut out).await?;
    out.flush().map_err(failed)?;
    let mut file = out.into_inner().map_err(|e| ApiError::internal(e.error()))?;
    std::io::Seek::rewind(&mut file).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let chunks = futures_util::stream::try_unfold(tokio::fs::File::from_std(file), async |mut file| {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((chunk, file)))
    });
    let name = format!("attachment; filename=\"{}.json\"", frozen.header.snapshot);
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// When snapshots are taken.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScheduleRow {
    /// Cron expression: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// Time zone it is read in.
    pub time_zone: String,
    /// When the next one is due.
    #[schema(value_type = String, format = DateTime)]
    pub next_at: Timestamp,
}

impl From<Schedule> for ScheduleRow {
    fn from(s: Schedule) -> Self {
        Self { cron: s.cron, time_zone: s.time_zone, next_at: s.next_at }
    }
}

/// The schedule; null where there is none.
#[utoipa::path(get, path = "/snapshot-schedule", responses((status = 200, body = Option<ScheduleRow>)))]
pub(super) async fn schedule(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<Json<Option<ScheduleRow>>, ApiError> {
    Ok(Json(state.store.snapshot_schedule(caller.org).await?.map(Into::into)))
}

/// A schedule to be set.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewSchedule {
    /// Cron expression: minute, hour, day of month, month, day of week.
    pub cron: String,
    /// Time zone it is read in; that of the policy when absent.
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// Sets the schedule. Needs the role operator.
#[utoipa::path(put, path = "/snapshot-schedule", request_body = NewSchedule,
    responses((status = 200, body = ScheduleRow), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(super) async fn set_schedule(
    State(state): State<AdminState>,
    caller: Caller,
    Content(new): Content<NewSchedule>,
) -> Result<Json<Option<ScheduleRow>>, ApiError> {
    set(&state, &caller, Some(new)).await.map(Json)
}

/// Ends the schedule. Needs the role operator.
#[utoipa::path(delete, path = "/snapshot-schedule", responses((status = 204), (status = 403, body = ErrorBody)))]
pub(super) async fn end_schedule(
    State(state): State<AdminState>,
    caller: Caller,
) -> Result<StatusCode, ApiError> {
    set(&state, &caller, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets or ends the schedule, for console and API alike.
pub(crate) async fn set(
    state: &AdminState,
    caller: &Caller,
    new: Option<NewSchedule>,
) -> Result<Option<ScheduleRow>, ApiError> {
    caller.need(Role::Operator)?;
    let store = &state.store;
    let org = store.org_at(caller.org).await?;
    let own = store.policy(org.number).await?.policy.time_zone;
    let new = new.map(|n| (n.cron, n.time_zone.filter(|z| !z.trim().is_empty()).unwrap_or(own)));
    let new = new.as_ref().map(|(cron, zone)| (cron.trim(), zone.trim()));
    let set = snapshot::schedule(store, &org, new, &caller.actor, Timestamp::now()).await?;
    Ok(set.map(Into::into))
}
