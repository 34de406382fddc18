//! What a command ends with, in the reader's language.

use std::error::Error;

use tenken_shared::text::{Lang, Text};

use crate::check::CheckError;
use crate::config::ConfigError;
use crate::delivery::DeliveryError;
use crate::disk::DiskError;
use crate::enrol::EnrolError;
use crate::key::KeyError;
use crate::run::RunError;
use crate::transport::client::TransportError;
use crate::transport::tls::TlsError;

/// What a command itself refuses.
#[derive(Debug)]
pub(super) struct Refused {
    /// The sentence.
    text: Text,
    /// What it is about: a file, a folder, a cause.
    about: Option<String>,
    /// Why.
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told(Lang::En))
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Refused {
    /// With a sentence that needs nothing more.
    pub const fn new(text: Text) -> Self {
        Self { text, about: None, cause: None }
    }

    /// With what the sentence is about, which stands before it.
    pub fn of(about: impl std::fmt::Display, text: Text) -> Self {
        Self { about: Some(about.to_string()), ..Self::new(text) }
    }

    /// With why.
    pub fn because(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..self }
    }

    fn told(&self, lang: Lang) -> String {
        let about = self.about.iter().map(|about| format!("{about}: "));
        about.chain([self.text.get(lang).to_owned()]).collect()
    }
}

/// The sentence of an error and its causes, each said once.
pub(super) fn told(error: &anyhow::Error, lang: Lang) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let own = match lang {
            Lang::Ja => japanese(cause).unwrap_or_else(|| cause.to_string()),
            Lang::En => cause.to_string(),
        };
        if !text.contains(&own) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&own);
        }
    }
    text
}

fn japanese(error: &(dyn Error + 'static)) -> Option<String> {
    let of = |error: &(dyn Error + 'static)| japanese(error).unwrap_or_else(|| error.to_string());
    if let Some(error) = error.downcast_ref::<Refused>() {
        Some(error.told(Lang::Ja))
    } else if let Some(error) = error.downcast_ref::<RunError>() {
        Some(match error {
            RunError::NotEnrolled => "このコンピューターはまだ登録されていません。管理者から受け取ったトークンで `tenken-agent enrol トークン` を実行してください".into(),
            RunError::Running(folder) => format!("{folder} では別の tenken-agent が動いています"),
            RunError::Disk(error) => of(error),
            RunError::Key(error) => of(error),
            RunError::Delivery(error) => of(error),
            RunError::Runtime(error) => format!("起動できません: {error}"),
            RunError::Runner(detail) => format!("調査の処理が予期せず終わりました: {detail}"),
            RunError::NotDelivered(detail) => format!("何も送れませんでした: {detail}"),
            RunError::Stopped => "コレクターがこのホストを廃止または失効させました。再び報告させるには登録し直してください".into(),
        })
    } else if let Some(error) = error.downcast_ref::<DeliveryError>() {
        Some(match error {
            DeliveryError::Disk(error) => of(error),
            DeliveryError::Key(error) => of(error),
        })
    } else if let Some(error) = error.downcast_ref::<EnrolError>() {
        Some(match error {
            EnrolError::Enrolled { host } => {
                format!(
                    "このコンピューターは別のコレクターにホスト {host} として登録されています。その登録を捨てるには `--replace` を付けてください"
                )
            }
            EnrolError::Key(error) => of(error),
            EnrolError::Disk(error) => of(error),
            EnrolError::Transport(error) => of(error),
            EnrolError::Refused { code, message, .. } => {
                let message = message.iter().map(|text| format!(": {text}")).collect::<String>();
                format!("コレクターの応答は `{code}` でした{message}")
            }
            EnrolError::Incomplete(what) => format!("コレクターの応答に足りないものがあります: {what}"),
        })
    } else if let Some(error) = error.downcast_ref::<CheckError>() {
        Some(match error {
            CheckError::Disk(error) => of(error),
            CheckError::Policy { path, message } => format!("ポリシー {path} が正しくありません: {message}"),
            CheckError::NoPolicy(path) => format!("ポリシー {path} がありません"),
        })
    } else if let Some(error) = error.downcast_ref::<KeyError>() {
        Some(key(error))
    } else if let Some(error) = error.downcast_ref::<TransportError>() {
        Some(transport(error))
    } else if let Some(error) = error.downcast_ref::<ConfigError>() {
        Some(match error {
            ConfigError::Read { path, source } => {
                format!("設定ファイル {} を読めません: {source}", path.display())
            }
            ConfigError::Invalid { origin, message } => {
                format!("{origin} の設定が正しくありません: {message}")
            }
        })
    } else {
        error.downcast_ref::<DiskError>().map(|error| {
            let DiskError { what, path, source } = error;
            format!("{} を操作できません({what}): {source}", path.display())
        })
    }
}

fn key(error: &KeyError) -> String {
    const AGAIN: &str = "`tenken-agent enrol --replace` で登録し直してください";
    match error {
        KeyError::Disk(error) => japanese(error).unwrap_or_else(|| error.to_string()),
        KeyError::Damaged { path, detail } => format!("{path} が壊れています({detail})。{AGAIN}"),
        KeyError::Elsewhere { path, detail } => {
            format!(
                "{path} は別のコンピューターまたは別のWindowsで作られたため、ここでは開けません({detail})。{AGAIN}"
            )
        }
        KeyError::Make(detail) => format!("鍵を作れません: {detail}"),
        KeyError::Protect(detail) => format!("鍵を保護できません: {detail}"),
        KeyError::Random => "OSから乱数を得られません".into(),
    }
}

fn transport(error: &TransportError) -> String {
    match error {
        TransportError::Tls(TlsError::NoAnchor) => "信頼情報に使えるCA証明書がありません".into(),
        TransportError::Tls(TlsError::NoOsStore) => "OSの証明書ストアが空か、読めません".into(),
        TransportError::Tls(detail) => format!("TLSを準備できません: {detail}"),
        TransportError::BadProxy => "設定 proxy が http://ホスト:ポート の形ではありません".into(),
        TransportError::BadUrl(url) => format!("{url} は https のアドレスではありません"),
        TransportError::Connect { url, detail } => format!("{url} に接続できません: {detail}"),
        TransportError::Name { url, detail } => format!("{url} の名前を解決できません: {detail}"),
        TransportError::ProxyAuth { url } => {
            format!("プロキシが {url} への通信を拒否しました。ユーザー名とパスワードが必要です(407)")
        }
        TransportError::ProxyRefused { url, detail } => {
            format!("プロキシが {url} への通信を通しません: {detail}")
        }
        TransportError::Certificate { url, detail, issuer } => {
            format!("{url} の証明書は信頼できません({detail})。発行者: {issuer}")
        }
        TransportError::TimedOut { url } => format!("{url} から時間内に応答がありません"),
        TransportError::Broken { url, detail } => format!("{url} との接続が切れました: {detail}"),
        TransportError::Unsigned { url, status, detail } => {
            format!("{url} の応答にコレクターの署名がありません(HTTP {status}): {detail}")
        }
        TransportError::UnknownSigner { url } => {
            format!("{url} の応答は、ここで知らない鍵で署名されています")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: Text = Text::new("だめです", "no");

    #[test]
    fn each_sentence_is_said_once_in_the_language_asked_for() {
        let disk = DiskError::on("read", std::path::Path::new("/x"))(std::io::Error::other("gone"));
        let error = anyhow::Error::new(Refused::of("/y", SENTENCE).because(RunError::Disk(disk)));
        assert_eq!(told(&error, Lang::En), "/y: no: cannot read /x: gone");
        assert_eq!(told(&error, Lang::Ja), "/y: だめです: /x を操作できません(read): gone");
        let other = Refused::new(SENTENCE).because(std::io::Error::other("raw"));
        assert_eq!(told(&other.into(), Lang::Ja), "だめです: raw");
    }

    #[test]
    fn errors_inside_errors_are_japanese_too() {
        let url = || "https://c:8443".to_owned();
        for error in [
            anyhow::Error::new(EnrolError::Transport(TransportError::TimedOut { url: url() })),
            anyhow::Error::new(EnrolError::Key(KeyError::Random)),
            anyhow::Error::new(RunError::Delivery(DeliveryError::Key(KeyError::Random))),
            anyhow::Error::new(CheckError::NoPolicy("/p".into())),
        ] {
            assert_ne!(told(&error, Lang::Ja), told(&error, Lang::En));
            assert!(!told(&error, Lang::Ja).is_ascii());
        }
    }
}
