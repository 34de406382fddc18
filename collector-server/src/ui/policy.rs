//! The policy: what is in force, what was, and a new version as text.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::frame::Frame;
use super::table::{Field, FormView, Listing, Notice, Part, RowView, TablePage};
use super::{Asked, PageError, Sent, Viewer, render};
use crate::audit::actor_title;
use crate::http::auth::{AdminState, Caller};
use crate::http::error::{ApiError, Code};
use crate::policy;
use crate::user::Role;

#[derive(Default, Deserialize)]
pub(super) struct Version {
    version: Option<u64>,
}

async fn show(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    version: Option<u64>,
    slip: Option<(String, String)>,
) -> Result<Response, PageError> {
    frame.active = "policy";
    let store = &state.store;
    let found = match version {
        None => Some(store.policy(caller.org).await.map_err(|e| frame.error(e))?),
        Some(version) => store.policy_version(caller.org, version).await.map_err(|e| frame.error(e))?,
    };
    let shown = found.ok_or_else(|| frame.error(ApiError::new(Code::NotFound)))?;
    let text = toml::to_string_pretty(&shown.policy).map_err(|e| frame.error(ApiError::internal(&e)))?;
    let history = store.policy_history(caller.org).await.map_err(|e| frame.error(e))?;
    let rows = history
        .iter()
        .map(|v| RowView {
            href: Some(format!("/policy?version={}", v.version)),
            ..RowView::of(vec![
                v.version.to_string(),
                frame.time(&v.created_at),
                actor_title(&v.created_by, frame.lang),
            ])
        })
        .collect();
    let columns = [frame.t("版", "Version"), frame.t("日時", "When"), frame.t("だれが", "By")];
    let empty = frame.t(
        "変更されたことはなく、既定値が使われています。",
        "It was never changed: the defaults are in force.",
    );
    let list = Listing::new(&columns, rows, empty).titled(frame.t("履歴", "History"));
    let lead = frame.t(
        "何をどの間隔で集め、どの値で判定するかを定めます。変更は新しい版になり、すべての機器が判定し直されます。",
        "What is collected how often, and the values it is judged by. A change makes a new version, and every machine is judged again.",
    );
    let mut page = TablePage::new(&frame, frame.t("ポリシー", "Policy"), lead, list);
    let title = match version {
        None => format!("{} {}", frame.t("現在の版", "Version in force"), shown.version),
        Some(_) => format!("{} {}", frame.t("版", "Version"), shown.version),
    };
    if caller.actor.may(Role::Admin) {
        let (text, error) = slip.map_or((text, None), |(text, error)| (text, Some(error)));
        page.forms.push(FormView {
            action: "/policy",
            title,
            submit: frame.t("新しい版として有効にする", "Put in force as a new version").to_owned(),
            fields: vec![
                Field::text("text", frame.t("内容(TOMLまたはJSON)", "Contents (TOML or JSON)"), &text)
                    .kind("code"),
            ],
            error,
            ..FormView::default()
        });
    } else {
        let part = Part { lines: vec![text], ..Part::default() };
        page.notice = Some(Notice { title, text: String::new(), parts: vec![part] });
    }
    Ok(render(&page))
}

/// GET /policy
pub(super) async fn page(
    State(state): State<AdminState>,
    viewer: Viewer,
    Asked(asked): Asked<Version>,
) -> Result<Response, PageError> {
    show(&state, &viewer.caller, viewer.frame, asked.version, None).await
}

#[derive(Deserialize)]
pub(super) struct PolicyForm {
    #[serde(default)]
    text: String,
}

/// POST /policy
pub(super) async fn set(
    State(state): State<AdminState>,
    sent: Sent<PolicyForm>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Admin).map_err(|e| frame.error(e))?;
    match policy::parse(form.text.as_bytes()) {
        Ok(new) => {
            let done = state.store.set_policy(&caller.actor, &new, Timestamp::now()).await;
            done.map_err(|e| frame.error(e))?;
            state.standings.forget(caller.org);
            Ok(Redirect::to("/policy").into_response())
        }
        Err(slip) => {
            let sentence = slip.sentence(frame.lang);
            let page = show(&state, &caller, frame, None, Some((form.text, sentence))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
