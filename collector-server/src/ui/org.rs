//! Going on in another organisation, for people who have a role in several.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tenken_shared::ids::OrgId;

use super::table::{Act, Field, Listing, RowView, TablePage};
use super::{PageError, Sent, Viewer, render};
use crate::http::auth::{self, AdminState};
use crate::http::error::{ApiError, Code};

/// GET /organisations
pub(super) async fn list(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    let Viewer { caller, mut frame } = viewer;
    frame.active = "organisations";
    let name = caller.user.as_deref().unwrap_or_default();
    let all = state.store.memberships(name).await.map_err(|e| frame.error(e))?;
    let row = |m: &crate::store::user::Membership| {
        let here = m.org == caller.actor.org;
        let id = Field::text("org", "", m.org.as_str()).kind("hidden");
        let go = Act { fields: vec![id], ..Act::new("/organisations".into(), frame.t("開く", "Open")) };
        RowView {
            cells: vec![
                if m.name.is_empty() { m.org.to_string() } else { m.name.clone() },
                m.org.to_string(),
                m.role.title().get(frame.lang).to_owned(),
                if here { frame.t("表示中", "Open now") } else { "" }.to_owned(),
            ],
            acts: if here { Vec::new() } else { vec![go] },
            href: here.then(|| "/".to_owned()),
            ..RowView::default()
        }
    };
    let columns = [frame.t("組織", "Organisation"), "ID", frame.t("権限", "Role"), frame.t("状態", "State")];
    let lead = frame.t(
        "表示や操作は、開いている一つの組織だけに限られます。",
        "What you see and do is limited to the one organisation that is open.",
    );
    let list = Listing::new(&columns, all.iter().map(row).collect(), "-");
    Ok(render(&TablePage::new(&frame, frame.t("組織の切替え", "Switch organisation"), lead, list)))
}

#[derive(Deserialize)]
pub(super) struct Chosen {
    org: String,
}

/// POST /organisations
pub(super) async fn switch(
    State(state): State<AdminState>,
    sent: Sent<Chosen>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    let to: OrgId = form.org.parse().map_err(|_| frame.error(ApiError::new(Code::NotFound)))?;
    let secret = state.switch_org(&caller, &to).await.map_err(|e| frame.error(e))?;
    let cookie = auth::session_cookie(&secret).map_err(|e| frame.error(e))?;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
