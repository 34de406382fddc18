//! What the audit log says: every kind of change by its contract word and its title for people.

use std::str::FromStr;

use tenken_shared::ids::InvalidId;
use tenken_shared::text::{Lang, Text};

use crate::user::{API_TOKEN_ACTOR, COMMAND_LINE, LEDGER, SCHEDULE, SYSTEM, USER_ACTOR};

macro_rules! actions {
    ($($variant:ident, $word:literal, $ja:literal, $en:literal;)*) => {
        /// A kind of change. The words are `area.verb`, stable, and never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is described by its title")]
        pub enum Action { $($variant,)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The contract word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Title for people.
            #[must_use]
            pub const fn title(self) -> Text {
                match self { $(Self::$variant => Text::new($ja, $en),)* }
            }
        }
    };
}

actions! {
    OrgCreate, "org.create", "組織を作成", "Organisation made";
    HostPending, "host.pending", "機器を確認待ちに戻す", "Machine set back to pending";
    HostConfirm, "host.confirm", "機器を管理対象として確認", "Machine confirmed";
    HostRetire, "host.retire", "機器を廃止", "Machine retired";
    HostRevoke, "host.revoke", "機器の鍵を失効", "Machine revoked";
    HostLabel, "host.label", "機器のグループ・ラベルを変更", "Group and labels of a machine changed";
    TokenCreate, "token.create", "登録トークンを作成", "Enrolment token made";
    TokenRevoke, "token.revoke", "登録トークンを取消し", "Enrolment token revoked";
    UserAdd, "user.add", "ユーザーを追加", "User added";
    UserRole, "user.role", "ユーザーの権限を変更", "Role of a user changed";
    UserRemove, "user.remove", "ユーザーをこの組織から外す", "User removed from the organisation";
    UserDisable, "user.disable", "ユーザーを停止", "User disabled";
    UserEnable, "user.enable", "ユーザーを再開", "User enabled";
    UserPassword, "user.password", "パスワードを設定", "Password set";
    UserLink, "user.link", "パスワード設定リンクを発行", "Password link made";
    SessionOpen, "session.open", "ログイン", "Logged in";
    SessionClose, "session.close", "ログアウト", "Logged out";
    SessionSwitch, "session.switch", "組織を切替え", "Switched organisation";
    ApiTokenCreate, "api_token.create", "APIトークンを作成", "API token made";
    ApiTokenRevoke, "api_token.revoke", "APIトークンを取消し", "API token revoked";
    ExceptionAdd, "exception.add", "例外を記録", "Exception recorded";
    ExceptionRemove, "exception.remove", "例外を終了", "Exception ended";
    AttestationAdd, "attestation.add", "自己申告を記録", "Attestation recorded";
    AttestationEnd, "attestation.end", "自己申告を取下げ", "Attestation withdrawn";
    PolicySet, "policy.set", "ポリシーを変更", "Policy changed";
    CatalogImport, "catalog.import", "カタログを取込み", "Catalogue imported";
    LedgerImport, "ledger.import", "台帳を取込み", "Ledger imported";
    SnapshotTake, "snapshot.take", "スナップショットを取得", "Snapshot taken";
    SnapshotSchedule, "snapshot.schedule", "スナップショットの予定を変更", "Snapshot schedule changed";
    KeyRotate, "key.rotate", "コレクターの鍵を更新", "Collector key rotated";
}

impl FromStr for Action {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .iter()
            .copied()
            .find(|a| a.as_str() == text)
            .ok_or_else(|| InvalidId { what: "action", value: text.chars().take(80).collect() })
    }
}

/// An action's word as people read it; the word itself where a newer program wrote it.
#[must_use]
pub fn action_title(word: &str, lang: Lang) -> String {
    word.parse::<Action>().map_or_else(|_| word.to_owned(), |a| a.title().get(lang).to_owned())
}

/// The name of an actor ([`crate::user::Actor::name`]) as people read it.
#[must_use]
pub fn actor_title(name: &str, lang: Lang) -> String {
    const OWN: [(&str, Text); 4] = [
        (COMMAND_LINE, Text::new("コマンドライン", "command line")),
        (SYSTEM, Text::new("コレクター", "collector")),
        (SCHEDULE, Text::new("予定による実行", "schedule")),
        (LEDGER, Text::new("台帳との一致", "match with the ledger")),
    ];
    if let Some((_, title)) = OWN.iter().find(|(own, _)| *own == name) {
        return title.get(lang).to_owned();
    }
    if let Some(id) = name.strip_prefix(API_TOKEN_ACTOR) {
        return format!("{} {id}", Text::new("APIトークン", "API token").get(lang));
    }
    name.strip_prefix(USER_ACTOR).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_read_back() {
        let mut seen = std::collections::BTreeSet::new();
        for action in Action::ALL {
            assert!(seen.insert(action.as_str()), "{} twice", action.as_str());
            assert_eq!(action.as_str().parse::<Action>().unwrap(), *action);
            assert!(!action.title().ja.is_empty() && !action.title().en.is_empty());
        }
    }

    #[test]
    fn what_is_not_known_is_shown_as_it_is() {
        assert_eq!(action_title("host.retire", Lang::En), "Machine retired");
        assert_eq!(action_title("moon.land", Lang::Ja), "moon.land");
        assert_eq!(actor_title("user:sato", Lang::Ja), "sato");
        assert_eq!(actor_title("api-token:t1", Lang::Ja), "APIトークン t1");
        assert_eq!(actor_title("schedule", Lang::En), "schedule");
        assert_eq!(actor_title("somebody", Lang::En), "somebody");
    }
}
