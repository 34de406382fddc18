//! What can go wrong in the store, in words that do not name an engine, in both languages.

use tenken_shared::text::{Lang, Text};

/// Why a store operation did not happen. Nothing of it was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away, busy, full or not writable: the same operation may succeed later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// A unique key is taken.
    #[error("already exists: {0}")]
    Conflict(String),
    /// A named thing does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// A report that goes beyond a limit of the store's own.
    #[error("not possible: {0}")]
    Refused(String),
    /// What a person asked for is against a rule of the store's own.
    #[error("not possible: {}", .0.sentence(Lang::En))]
    Rule(Rule),
    /// What is stored does not read as what it should be.
    #[error("stored data damaged: {0}")]
    Damaged(String),
    /// The database refused a statement: a defect of this program.
    #[error("store statement failed: {0}")]
    Statement(String),
}

impl StoreError {
    /// What happened, for people.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        let (text, detail) = match self {
            Self::Unavailable(detail) => {
                (Text::new("データベースを使えません", "the store is not available"), detail.clone())
            }
            Self::Conflict(what) => (Text::new("すでにあります", "already there"), what.clone()),
            Self::NotFound(what) => (Text::new("見つかりません", "not found"), named(what, lang)),
            Self::Refused(detail) => (Text::new("できません", "not possible"), detail.clone()),
            Self::Rule(rule) => return rule.sentence(lang),
            Self::Damaged(detail) => {
                (Text::new("保存されたデータが壊れています", "stored data is damaged"), detail.clone())
            }
            Self::Statement(detail) => (
                Text::new("データベースの処理に失敗しました", "a statement of the store failed"),
                detail.clone(),
            ),
        };
        format!("{}: {detail}", text.get(lang))
    }

    /// Whether the same operation may succeed later without anybody changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What things of the store are called, at the begin of what is not found.
const NAMES: [(&str, &str); 12] = [
    ("API token", "APIトークン"),
    ("attestation", "申告"),
    ("control", "判定項目"),
    ("criterion", "評価基準"),
    ("exception", "例外"),
    ("fact", "収集項目"),
    ("host", "機器"),
    ("open token", "有効なトークン"),
    ("organisation", "組織"),
    ("session", "セッション"),
    ("snapshot", "スナップショット"),
    ("user", "ユーザー"),
];

/// A thing by kind and name.
pub(crate) fn named(what: &str, lang: Lang) -> String {
    let known = |(en, ja): &(&str, &str)| what.strip_prefix(en).map(|rest| format!("{ja}{rest}"));
    match lang {
        Lang::Ja => NAMES.iter().find_map(known).unwrap_or_else(|| what.to_owned()),
        Lang::En => what.to_owned(),
    }
}

/// The rules of the store that a person can meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Needs somebody who may change every organisation.
    EveryOrganisation,
    /// A revoked host stays so.
    Revoked,
    /// A user whom the caller's organisation alone may not change.
    ElsewhereToo(String),
    /// The last administrator who can log in stays.
    LastAdministrator,
    /// A text that must say something says nothing.
    EmptyText,
    /// A text of more than so many characters.
    LongText(usize),
    /// More than so many entries.
    Entries(i64),
    /// A deadline that is past.
    DeadlinePast,
    /// A next review that is not after the statement.
    ReviewPast,
    /// A store that a newer program made: its schema and ours.
    NewerSchema(i64, i64),
    /// An address of a database that does not read.
    Address(String),
}

impl Rule {
    /// The rule and what to do.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        let pick = |ja: String, en: String| match lang {
            Lang::Ja => ja,
            Lang::En => en,
        };
        let text = |ja: &str, en: &str| pick(ja.to_owned(), en.to_owned());
        match self {
            Self::EveryOrganisation => text("全組織に関わる操作です", "this concerns every organisation"),
            Self::Revoked => {
                text("失効した機器は登録し直してください", "a revoked host must be enrolled anew")
            }
            Self::ElsewhereToo(name) => pick(
                format!("ユーザー {name} は他の組織にも属しています"),
                format!("{name} belongs to other organisations too"),
            ),
            Self::LastAdministrator => {
                text("組織には管理者が1人は必要です", "an organisation keeps one administrator")
            }
            Self::EmptyText => text("空の文は回答になりません", "an empty text is no answer"),
            Self::LongText(most) => pick(
                format!("文は{most}文字以内にしてください"),
                format!("a text has more than {most} characters"),
            ),
            Self::Entries(most) => pick(format!("{most}件を超えます"), format!("more than {most} entries")),
            Self::DeadlinePast => text("期限が過ぎています", "the deadline is past"),
            Self::ReviewPast => text(
                "次回見直し日は申告の日より後にしてください",
                "the next review is not after the statement",
            ),
            Self::NewerSchema(stored, known) => pick(
                format!(
                    "データベースの構造は第{stored}版、このプログラムが扱えるのは第{known}版までです。新しいプログラムを使ってください"
                ),
                format!("the store has schema {stored}, this program knows {known}: use the newer program"),
            ),
            Self::Address(detail) => pick(
                format!("データベースのアドレスを読めません: {detail}"),
                format!("database address: {detail}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_found_is_named_in_the_readers_language() {
        let error = StoreError::NotFound("organisation acme".into());
        assert_eq!(error.sentence(Lang::En), "not found: organisation acme");
        assert_eq!(error.sentence(Lang::Ja), "見つかりません: 組織 acme");
    }
}
