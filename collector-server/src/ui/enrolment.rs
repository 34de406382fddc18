//! Enrolment tokens: the list, and making one with the very command to run on a machine.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::frame::Frame;
use super::table::{Act, Field, FormView, Listing, Notice, Part, RowView, TablePage};
use super::{PageError, Place, Sent, Viewer, render};
use crate::audit::actor_title;
use crate::http::admin;
use crate::http::auth::{AdminState, Caller};
use crate::http::error::{ApiError, Code};
use crate::user::Role;

async fn token_page(
    state: &AdminState,
    caller: &Caller,
    mut frame: Frame,
    notice: Option<Notice>,
    new: &NewToken,
    error: Option<String>,
) -> Result<Response, PageError> {
    frame.active = "tokens";
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    let tokens = admin::enrol_tokens(state, caller).await.map_err(|e| frame.error(e))?;
    let now = Timestamp::now();
    let rows = tokens
        .iter()
        .map(|t| {
            let good = t.is_open(now);
            let standing = if t.revoked_at.is_some() {
                frame.t("取消済み", "Revoked")
            } else if good {
                frame.t("有効", "Valid")
            } else {
                frame.t("終了", "Ended")
            };
            let acts = if good {
                vec![Act::new(format!("/tokens/{}/revoke", t.id), frame.t("取り消す", "Revoke"))]
            } else {
                Vec::new()
            };
            let group = t.group.clone().unwrap_or_else(|| "-".into());
            let uses = format!("{} / {}", t.uses, t.max_uses);
            let cells = vec![
                t.label.clone(),
                standing.to_owned(),
                group,
                uses,
                frame.time(&t.expires_at),
                actor_title(&t.created_by, frame.lang),
            ];
            RowView { acts, ..RowView::of(cells) }
        })
        .collect();
    let columns = [
        frame.t("用途", "Label"),
        frame.t("状態", "State"),
        frame.t("グループ", "Group"),
        frame.t("使用回数", "Uses"),
        frame.t("期限", "Expires"),
        frame.t("作成者", "Made by"),
    ];
    let lead = frame.t(
        "機器を登録するためのトークンを作ります。作成後に表示されるコマンドを機器で実行してください。",
        "Make a token to enrol machines, then run the command that is shown on each machine.",
    );
    let empty = frame.t("トークンはまだありません。", "No token yet.");
    let list = Listing::new(&columns, rows, empty);
    let mut page = TablePage::new(&frame, frame.t("登録トークン", "Enrolment tokens"), lead, list);
    page.notice = notice;
    page.forms.push(FormView {
        asks: false,
        action: "/tokens",
        submit: frame.t("トークンを作る", "Make a token").to_owned(),
        fields: vec![
            Field::text("label", frame.t("用途", "Label"), &new.label),
            Field::text("uses", frame.t("使用回数", "Uses"), &new.uses).kind("number").hint(
                frame.t("2以上では、登録後に確認が必要です", "with 2 or more, machines wait to be confirmed"),
            ),
            Field::text("hours", frame.t("有効時間(時間)", "Valid for (hours)"), &new.hours).kind("number"),
            Field::text("group", frame.t("グループ", "Group"), &new.group).optional(),
        ],
        title: String::new(),
        error,
    });
    Ok(render(&page))
}

/// GET /tokens
pub(super) async fn tokens(State(state): State<AdminState>, viewer: Viewer) -> Result<Response, PageError> {
    token_page(&state, &viewer.caller, viewer.frame, None, &NewToken::default(), None).await
}

#[derive(Deserialize)]
pub(super) struct NewToken {
    label: String,
    uses: String,
    hours: String,
    #[serde(default)]
    group: String,
}

impl Default for NewToken {
    fn default() -> Self {
        Self { label: String::new(), uses: "1".into(), hours: "72".into(), group: String::new() }
    }
}

impl NewToken {
    fn read(&self) -> Result<admin::NewEnrolToken, ApiError> {
        let number = |text: &str| {
            let number = text.trim().parse::<u32>().ok().filter(|n| *n > 0);
            number.ok_or_else(|| ApiError::with(Code::BadRequest, text))
        };
        Ok(admin::NewEnrolToken {
            label: self.label.trim().to_owned(),
            uses: number(&self.uses)?,
            hours: number(&self.hours)?,
            group: Some(self.group.trim().to_owned()).filter(|g| !g.is_empty()),
            ephemeral: false,
            address_range: None,
            urls: Vec::new(),
        })
    }
}

/// The commands that enrol a machine, by system.
fn commands(frame: &Frame, token: &str) -> Vec<Part> {
    let part = |title: &str, text: &str, lines: &[&str]| Part {
        title: title.to_owned(),
        text: text.to_owned(),
        lines: lines.iter().map(|l| l.replace("{token}", token)).collect(),
    };
    vec![
        part(
            frame.t("Windows(MSI)", "Windows (MSI)"),
            frame.t(
                "管理者のコマンドプロンプトで、tenken-agent.msi のあるフォルダーから実行します。登録とサービスの開始まで行われます。",
                "In an administrator's command prompt, in the folder of tenken-agent.msi. It enrols and starts the service.",
            ),
            &["msiexec /i tenken-agent.msi ENROLTOKEN={token} /qn"],
        ),
        part(
            frame.t("Windows(GPO などで配布)", "Windows (GPO and the like)"),
            frame.t(
                "次の1行を tenken-enrol.txt として MSI と同じ場所に置きます。インストール時に読み込まれます。",
                "Put this line into tenken-enrol.txt beside the MSI; the installation reads it.",
            ),
            &["{token}"],
        ),
        part(
            frame.t("Windows(手作業)", "Windows (by hand)"),
            frame.t(
                "管理者のコマンドプロンプトで、tenken-agent.exe のあるフォルダーから順に実行します。",
                "In an administrator's command prompt, in the folder of tenken-agent.exe, one after the other.",
            ),
            &[
                "tenken-agent.exe enrol {token}",
                "tenken-agent.exe service install",
                "tenken-agent.exe service start",
            ],
        ),
        part(
            "Linux",
            "",
            &[
                "sudo tenken-agent enrol {token}",
                "sudo tenken-agent service install && sudo tenken-agent service start",
            ],
        ),
    ]
}

/// POST /tokens: shows the token once, with the commands to run.
pub(super) async fn create_token(
    State(state): State<AdminState>,
    sent: Sent<NewToken>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, form } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    let made = match form.read() {
        Ok(new) => admin::make_enrol_token(&state, &caller, new).await,
        Err(error) => Err(error),
    };
    let made = match made {
        Ok(made) => made,
        Err(error) if error.is_slip() => {
            let sentence = error.sentence(frame.lang);
            let page = token_page(&state, &caller, frame, None, &form, Some(sentence)).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
        Err(error) => return Err(frame.error(error)),
    };
    let notice = Notice {
        title: frame.t("トークンを作りました", "The token is ready").to_owned(),
        text: frame
            .t(
                "このトークンは一度だけ表示されます。管理対象の機器で、その機器に合うコマンドを管理者権限で実行してください。",
                "It is shown this once. Run the commands of the machine's system as its administrator.",
            )
            .to_owned(),
        parts: commands(&frame, made.token.expose()),
    };
    token_page(&state, &caller, frame, Some(notice), &NewToken::default(), None).await
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// POST /tokens/{id}/revoke
pub(super) async fn revoke_token(
    State(state): State<AdminState>,
    Place(id): Place<String>,
    sent: Sent<Nothing>,
) -> Result<Response, PageError> {
    let Sent { caller, frame, .. } = sent;
    caller.need(Role::Operator).map_err(|e| frame.error(e))?;
    admin::revoke_enrol_token(&state, &caller, &id).await.map_err(|e| frame.error(e))?;
    Ok(Redirect::to("/tokens").into_response())
}
