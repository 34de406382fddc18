//! Errors of commands in the reader's language.

use tenken_service::ServiceError;
use tenken_shared::text::{Lang, Text};

use crate::config::ConfigError;
use crate::http::error::ApiError;
use crate::keys::KeyError;
use crate::store::StoreError;
use crate::tls::TlsError;

/// An error with its causes, each in the reader's language where it is one of ours.
pub fn told(error: &anyhow::Error, lang: Lang) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let part = one(cause, lang);
        // Errors that name their cause in their own words have it as the next cause too.
        if !parts.last().is_some_and(|above| above.ends_with(&part)) {
            parts.push(part);
        }
    }
    parts.join(": ")
}

fn one(error: &(dyn std::error::Error + 'static), lang: Lang) -> String {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.sentence(lang);
    }
    if let Some(error) = error.downcast_ref::<ServiceError>() {
        return error.text(lang);
    }
    if let Some(error) = error.downcast_ref::<ApiError>() {
        return error.sentence(lang);
    }
    if let Some(error) = error.downcast_ref::<KeyError>() {
        return key(error, lang);
    }
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return tls(error, lang);
    }
    if let Some(ConfigError::File { path, source }) = error.downcast_ref() {
        return file(Text::new("設定ファイル", "settings file"), path.display(), source, lang);
    }
    if let Some(ConfigError::Content { path, source }) = error.downcast_ref() {
        return file(Text::new("設定ファイル", "settings file"), path.display(), source, lang);
    }
    error.to_string()
}

fn file(what: Text, path: impl std::fmt::Display, reason: impl std::fmt::Display, lang: Lang) -> String {
    let unread = Text::new("を読めません", "does not read");
    format!("{} {path} {}: {reason}", what.get(lang), unread.get(lang))
}

fn key(error: &KeyError, lang: Lang) -> String {
    if let KeyError::Store(error) = error {
        return error.sentence(lang);
    }
    let about = Text::new(
        "コレクターの鍵または証明書を使えません",
        "a key or certificate of the collector cannot be used",
    );
    format!("{}: {error}", about.get(lang))
}

fn tls(error: &TlsError, lang: Lang) -> String {
    let made = Text::new("サーバーの証明書を使えません", "the certificate of the server cannot be used");
    match error {
        TlsError::Key(error) => key(error, lang),
        TlsError::Make(error) => format!("{}: {error}", made.get(lang)),
        TlsError::Use(error) => format!("{}: {error}", made.get(lang)),
        TlsError::Authorities { place, reason } => {
            file(Text::new("認証局の証明書", "certificate authorities of"), place, reason, lang)
        }
        TlsError::File { path, reason } => {
            file(Text::new("証明書または鍵のファイル", "certificate or key file"), path, reason, lang)
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::store::Rule;

    #[test]
    fn a_cause_is_said_once_and_in_the_readers_language() {
        let refused = || StoreError::Rule(Rule::NewerSchema(9, 7));
        let within = anyhow::Error::new(TlsError::Key(KeyError::Store(refused()))).context("serve");
        let text = told(&within, Lang::Ja);
        assert!(
            text.starts_with("serve: データベースの構造は第9版") && text.matches("第9版").count() == 1,
            "{text}"
        );
        let config: anyhow::Result<()> = Err(ConfigError::File {
            path: "/x".into(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })
        .context("top");
        assert_eq!(
            told(&config.unwrap_err(), Lang::Ja),
            "top: 設定ファイル /x を読めません: entity not found"
        );
    }
}
