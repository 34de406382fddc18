//! Why the service manager did not do it: stable codes, sentences in Japanese and English.

use tenken_shared::text::{Lang, Text};

/// Why it was not done. `Display` is the English sentence.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text(Lang::En))]
pub enum ServiceError {
    /// This program does not speak to this system's service manager.
    Unsupported,
    /// Administrator rights are needed.
    NotElevated,
    /// Not installed.
    NotInstalled,
    /// Removed, but still open somewhere; it goes at the next restart of Windows at the latest.
    MarkedForDeletion,
    /// Not an absolute, plain path.
    Path(String),
    /// A folder or file.
    Disk {
        /// Which.
        path: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The service manager is not there.
    NoManager(String),
    /// It did not reach the state asked for in time.
    TooSlow(&'static str),
    /// It ended at once; see its log.
    Ended(String),
    /// The manager refused.
    Failed {
        /// What was asked.
        command: String,
        /// What it said.
        message: String,
    },
}

impl ServiceError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::NotElevated => "not_elevated",
            Self::NotInstalled => "not_installed",
            Self::MarkedForDeletion => "marked_for_deletion",
            Self::Path(_) => "path",
            Self::Disk { .. } => "disk",
            Self::NoManager(_) => "no_manager",
            Self::TooSlow(_) => "too_slow",
            Self::Ended(_) => "ended",
            Self::Failed { .. } => "failed",
        }
    }

    /// Wraps an I/O error; for `map_err`.
    pub fn on(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Disk { path, source }
    }

    /// The whole sentence.
    #[must_use]
    pub fn text(&self, lang: Lang) -> String {
        let sentence = self.sentence().get(lang);
        match self.detail() {
            Some(detail) => format!("{sentence} [{}]: {detail}", self.code()),
            None => format!("{sentence} [{}]", self.code()),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Path(text) | Self::NoManager(text) | Self::Ended(text) => Some(text.clone()),
            Self::TooSlow(state) => Some((*state).to_owned()),
            Self::Disk { path, source } => Some(format!("{path}: {source}")),
            Self::Failed { command, message } => Some(format!("{command}: {message}")),
            Self::Unsupported | Self::NotElevated | Self::NotInstalled | Self::MarkedForDeletion => None,
        }
    }

    fn sentence(&self) -> Text {
        match self {
            Self::Unsupported => Text::new(
                "この OS のサービス管理にはまだ対応していません。お使いのサービス管理から `run` / `serve` を起動してください",
                "services are not supported on this system yet; start `run` / `serve` from your own service manager",
            ),
            Self::NotElevated => Text::new(
                "管理者権限が必要です。Windows では「管理者として実行」したコマンドプロンプトから、Linux では sudo で実行してください",
                "this needs administrator rights: use a command prompt that was started with “Run as administrator” (Windows) or sudo (Linux)",
            ),
            Self::NotInstalled => Text::new(
                "サービスは登録されていません。`service install` で登録してください",
                "the service is not installed; `service install` installs it",
            ),
            Self::MarkedForDeletion => Text::new(
                "サービスは削除待ちです。「サービス」画面やタスクマネージャーを閉じてからもう一度実行するか、Windows を再起動してください",
                "the service is marked for deletion; close the Services window and Task Manager and try again, or restart Windows",
            ),
            Self::Path(_) => Text::new(
                "このパスはユニットファイルに書けません。空白や記号のないパスに置いてください",
                "this path cannot be written into a unit file; use one without spaces or control characters",
            ),
            Self::Disk { .. } => {
                Text::new("ファイルまたはフォルダを使えません", "a file or folder cannot be used")
            }
            Self::NoManager(_) => Text::new(
                "サービス管理が動いていません。設定は書き込まれており、次の起動で有効になります",
                "no running service manager; what was written takes effect at the next boot",
            ),
            Self::TooSlow(_) => Text::new(
                "サービスが時間内に状態を変えませんでした",
                "the service did not reach this state in time",
            ),
            Self::Ended(_) => Text::new(
                "サービスは起動後すぐに終了しました。ログを確認してください",
                "the service ended right after its start; see its log",
            ),
            Self::Failed { .. } => {
                Text::new("サービス管理が要求を拒否しました", "the service manager refused")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_carries_its_code_in_both_languages() {
        for error in [
            ServiceError::NotElevated,
            ServiceError::NotInstalled,
            ServiceError::Failed { command: "create".into(), message: "x".into() },
        ] {
            for lang in [Lang::Ja, Lang::En] {
                assert!(error.text(lang).contains(error.code()));
            }
            assert_ne!(error.text(Lang::Ja), error.text(Lang::En));
        }
    }
}
