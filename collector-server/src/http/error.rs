//! The only mapping from what went wrong to a status code, a stable code and a sentence in both languages.
//!
//! Detail (causes, SQL text, paths) stays in the log: a caller learns the code and what to do next.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tenken_shared::api::ErrorBody;
use tenken_shared::text::{Lang, Text, printable};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident, $code:literal, $status:ident, $ja:literal, $en:literal;)*) => {
        /// Every code the admin API and the console answer with. Stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The contract word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What happened and what to do next.
            #[must_use]
            pub const fn text(self) -> Text {
                match self { $(Self::$variant => Text::new($ja, $en),)* }
            }
        }
    };
}

codes! {
    /// No credential, or one that is not (any longer) valid.
    Unauthenticated, "unauthenticated", UNAUTHORIZED,
        "ログインしていないか、トークンが無効です。ログインし直すか、有効なAPIトークンを指定してください。",
        "Not logged in, or the token is not valid. Log in again or send a valid API token.";
    /// The role does not allow it.
    Forbidden, "forbidden", FORBIDDEN,
        "この操作の権限がありません。管理者に権限を依頼してください。",
        "Your role does not allow this. Ask an administrator.";
    /// A form or request without the session's own proof.
    CsrfRejected, "csrf_rejected", FORBIDDEN,
        "画面の有効期限が切れたか、別のサイトからの送信です。画面を開き直してからもう一度操作してください。",
        "The form has expired or was sent from another site. Open the page again and repeat.";
    /// Wrong name or password; does not say which.
    LoginFailed, "login_failed", UNAUTHORIZED,
        "ユーザー名またはパスワードが違います。",
        "User name or password is wrong.";
    /// Too many attempts.
    RateLimited, "rate_limited", TOO_MANY_REQUESTS,
        "試行回数が多すぎます。しばらく待ってからやり直してください。",
        "Too many attempts. Wait a while and try again.";
    /// One-time link used or expired.
    LinkExpired, "link_expired", GONE,
        "このリンクは使用済みか期限切れです。コレクターを起動し直すか、管理者に新しいリンクを依頼してください。",
        "This link was used or has expired. Restart the collector or ask an administrator for a new one.";
    /// Password too short, too long or the name itself.
    WeakPassword, "weak_password", UNPROCESSABLE_ENTITY,
        "パスワードは12文字以上200文字以下で、ユーザー名と異なるものにしてください。",
        "The password needs 12 to 200 characters and must differ from the user name.";
    /// Nothing there, or not in this organisation.
    NotFound, "not_found", NOT_FOUND,
        "見つかりません。削除されたか、この組織のものではありません。",
        "Not found. It was removed, or does not belong to this organisation.";
    /// Clashes with what is there.
    Conflict, "conflict", CONFLICT,
        "同じ名前のものがすでにあるか、状態が変わっています。画面を更新してください。",
        "Something of that name exists already, or the state has changed. Reload and look again.";
    /// Against a rule.
    Refused, "refused", CONFLICT,
        "この操作は規則により行えません。",
        "A rule forbids this.";
    /// Parameters that cannot be read.
    BadRequest, "bad_request", BAD_REQUEST,
        "指定の内容が正しくありません。値を確かめてください。",
        "The request cannot be read. Check its values.";
    /// The body is too large.
    TooLarge, "too_large", PAYLOAD_TOO_LARGE,
        "送信された内容が大きすぎます。",
        "The request is too large.";
    /// A path that has no such method.
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED,
        "このURLではその操作を行えません。",
        "This address does not take that method.";
    /// A body that says to be something else than the address takes.
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE,
        "本文の種類が違います。APIへはContent-Type: application/jsonで送ってください。",
        "The body is of another kind than this address takes. Send JSON to the API, with content-type application/json.";
    /// SQL that cannot be read or uses unknown names.
    SqlInvalid, "sql_invalid", BAD_REQUEST,
        "SQLを実行できません。構文と、公開ビューの名前・列を確かめてください。",
        "The SQL cannot be run. Check its syntax and the names of the published views and columns.";
    /// SQL that reaches for something outside the sandbox.
    SqlDenied, "sql_denied", FORBIDDEN,
        "公開ビューを読むSELECT文を一つだけ実行できます。許可されていない表・関数・文が含まれています。",
        "Only one SELECT over the published views is allowed. The statement uses a table, function or form that is not.";
    /// SQL that ran out of its time, rows or memory.
    SqlLimit, "sql_limit", UNPROCESSABLE_ENTITY,
        "SQLが時間・行数・大きさの上限に達しました。条件で絞り込んでください。",
        "The SQL reached its limit of time, rows or size. Narrow it down.";
    /// The engine could not provide a sandboxed connection.
    SqlUnavailable, "sql_unavailable", SERVICE_UNAVAILABLE,
        "SQL用の読み取り専用接続を用意できません。データベースのロール作成権限とログイン設定を確かめてください。",
        "The read-only SQL connection is not available. Check that the collector may create roles and that they may log in.";
    /// The store does not answer.
    Unavailable, "unavailable", SERVICE_UNAVAILABLE,
        "データベースが応答しません。しばらくしてからやり直してください。",
        "The database does not answer. Try again in a while.";
    /// A defect on our side.
    Internal, "internal", INTERNAL_SERVER_ERROR,
        "コレクター内部でエラーが発生しました。ログを確かめてください。",
        "The collector met an internal error. Look into its log.";
}

/// An error with what a caller may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Code.
    pub code: Code,
    /// Something the caller wrote or named, made printable (never an internal cause).
    pub detail: Option<String>,
    /// The detail in Japanese, where it is a sentence.
    pub detail_ja: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u64>,
}

/// Longest detail that is shown.
const MAX_DETAIL_CHARS: usize = 300;

fn short(detail: &str) -> String {
    printable(&detail.chars().take(MAX_DETAIL_CHARS).collect::<String>())
}

impl ApiError {
    /// A bare code.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, detail: None, detail_ja: None, retry_after_s: None }
    }

    /// A code and what it is about.
    #[must_use]
    pub fn with(code: Code, detail: impl std::fmt::Display) -> Self {
        Self { detail: Some(short(&detail.to_string())), ..Self::new(code) }
    }

    /// A code and a sentence about it in the reader's language.
    #[must_use]
    pub fn told(code: Code, sentence: impl Fn(Lang) -> String) -> Self {
        Self { detail_ja: Some(short(&sentence(Lang::Ja))), ..Self::with(code, sentence(Lang::En)) }
    }

    /// Something of ours went wrong: the cause chain goes to the log, the caller learns `internal`.
    #[must_use]
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::logged(Code::Internal, error)
    }

    /// Logs the cause chain once and answers with `code`.
    #[must_use]
    pub fn logged(code: Code, error: &dyn std::error::Error) -> Self {
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            next = cause.source();
        }
        tracing::error!(code = code.as_str(), error = %chain, "a request failed");
        Self::new(code)
    }

    /// Whether the one who asked can mend it by asking otherwise.
    #[must_use]
    pub fn is_slip(&self) -> bool {
        matches!(
            self.code,
            Code::BadRequest | Code::Conflict | Code::Refused | Code::NotFound | Code::WeakPassword
        )
    }

    /// The sentence in one language, with the detail.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        let detail = match lang {
            Lang::Ja => self.detail_ja.as_ref().or(self.detail.as_ref()),
            Lang::En => self.detail.as_ref(),
        };
        match detail {
            None => self.code.text().get(lang).to_owned(),
            Some(detail) => format!("{} ({detail})", self.code.text().get(lang)),
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.as_str().to_owned(),
            message: self.sentence(Lang::En),
            message_ja: self.sentence(Lang::Ja),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.sentence(Lang::En))
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), axum::Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_both_languages_are_there() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert!(!code.text().ja.is_empty() && !code.text().en.is_empty());
        }
    }

    #[test]
    fn detail_is_printable_and_bounded() {
        let error = ApiError::with(Code::NotFound, format!("\u{1b}[2J{}", "x".repeat(2000)));
        let detail = error.detail.clone().unwrap();
        assert!(detail.starts_with("\\u{1b}") && detail.len() < 400, "{detail}");
    }
}
