//! Read-only SQL over the published views, for people.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::frame::Frame;
use super::table::{Field, FormView, Listing, RowView, TablePage};
use super::{PageError, Sent, Viewer, render};
use crate::export::{Table, plain};
use crate::http::auth::AdminState;
use crate::http::error::ApiError;
use crate::store::sandbox::Limits;
use crate::store::view;

/// Rows a page shows.
const MAX_ROWS: usize = 500;

fn show(mut frame: Frame, sql: &str, error: Option<String>, found: Option<Table>) -> Response {
    frame.active = "query";
    let lead = match frame.is_ja() {
        true => format!(
            "公開ビューを読むSELECT文を一つ実行します。この組織の行だけが見え、表示は{MAX_ROWS}行までです。すべての行は tenken-collector query か API の /api/v1/sql で得られます。"
        ),
        false => format!(
            "Runs one SELECT over the published views. It sees this organisation only, and the page shows {MAX_ROWS} rows. For every row use tenken-collector query or /api/v1/sql of the API."
        ),
    };
    let views = view::ALL
        .iter()
        .map(|v| RowView::of(vec![v.name.to_owned(), v.title.get(frame.lang).to_owned()]))
        .collect();
    let columns = [frame.t("ビュー", "View"), frame.t("1行の意味", "What a row is")];
    let views = Listing::new(&columns, views, "-").titled(frame.t("公開ビュー", "Published views"));
    let mut lists = Vec::new();
    if let Some(table) = found {
        let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        let rows = table.rows.iter().map(|row| RowView::of(row.iter().map(plain).collect())).collect();
        let title = match (frame.is_ja(), table.truncated) {
            (true, true) => format!("結果(先頭の{}行のみ)", table.rows.len()),
            (true, false) => format!("結果({}行)", table.rows.len()),
            (false, true) => format!("Result (only the first {} rows)", table.rows.len()),
            (false, false) => format!("Result ({} rows)", table.rows.len()),
        };
        lists.push(
            Listing::new(&columns, rows, frame.t("該当する行はありません。", "No row matches."))
                .titled(&title),
        );
    }
    lists.push(views);
    let mut page =
        TablePage::new(&frame, frame.t("検索式", "Query"), &lead, Listing::new(&[], Vec::new(), ""));
    page.lists = lists;
    page.forms.push(FormView {
        action: "/query",
        submit: frame.t("実行する", "Run").to_owned(),
        fields: vec![Field::text("sql", "SQL", sql).kind("code")],
        error,
        ..FormView::default()
    });
    render(&page)
}

/// GET /query
pub(super) async fn page(State(_): State<AdminState>, viewer: Viewer) -> Response {
    show(viewer.frame, view::EXAMPLE, None, None)
}

#[derive(Deserialize)]
pub(super) struct Question {
    #[serde(default)]
    sql: String,
}

/// POST /query: a question may hold what must not stand in an address.
pub(super) async fn ask(
    State(state): State<AdminState>,
    sent: Sent<Question>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    let limits = Limits { rows: MAX_ROWS, ..Limits::default() };
    match state.store.run_sql(&caller.actor.org, &form.sql, limits).await {
        Ok(table) => Ok(show(frame, &form.sql, None, Some(table))),
        Err(error) => {
            let error = ApiError::from(error);
            if error.code.status().is_server_error() {
                return Err(frame.error(error));
            }
            let sentence = error.sentence(frame.lang);
            let page = show(frame, &form.sql, Some(sentence), None);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
