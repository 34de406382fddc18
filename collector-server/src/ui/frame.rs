//! What every page shares: language, who is logged in, and how values are written.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenken_shared::collected::Status;
use tenken_shared::criterion::{self, CriterionState};
use tenken_shared::finding::{Message, Outcome};
use tenken_shared::text::{Lang, Text, printable};

use crate::answer;
use crate::http::auth::Caller;
use crate::query::{HostRow, OutcomeCounts};
use crate::store::host::HostState;
use crate::user::Role;

/// Shared part of a page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) lang: Lang,
    pub(super) user: Option<String>,
    pub(super) org: String,
    /// Whether there are other organisations to go to.
    pub(super) several: bool,
    pub(super) role: Option<Role>,
    pub(super) csrf: String,
    /// Path and query of the page, for the language switch.
    pub(super) path: String,
    pub(super) active: &'static str,
    pub(super) zone: TimeZone,
}

/// The menu: key, address, title, least role.
const MENU: &[(&str, &str, Text, Role)] = &[
    ("overview", "/", Text::new("概要", "Overview"), Role::Auditor),
    ("hosts", "/hosts", Text::new("機器", "Machines"), Role::Auditor),
    ("software", "/software", Text::new("ソフトウェア", "Software"), Role::Auditor),
    ("exceptions", "/exceptions", Text::new("例外", "Exceptions"), Role::Auditor),
    ("attestations", "/attestations", Text::new("自己申告", "Attestations"), Role::Auditor),
    ("snapshots", "/snapshots", Text::new("スナップショット", "Snapshots"), Role::Auditor),
    ("query", "/query", Text::new("検索式", "Query"), Role::Auditor),
    ("policy", "/policy", Text::new("ポリシー", "Policy"), Role::Auditor),
    ("tokens", "/tokens", Text::new("登録トークン", "Enrolment"), Role::Operator),
    ("users", "/users", Text::new("ユーザー", "Users"), Role::Admin),
    ("audit", "/audit", Text::new("操作記録", "Audit log"), Role::Auditor),
];

impl Frame {
    /// A page before log-in.
    pub(super) fn outside(lang: Lang, path: String) -> Self {
        Self {
            lang,
            user: None,
            org: String::new(),
            several: false,
            role: None,
            csrf: String::new(),
            path,
            active: "",
            zone: TimeZone::UTC,
        }
    }

    /// A page of a logged-in person.
    pub(super) fn inside(lang: Lang, path: String, caller: &Caller, zone: TimeZone) -> Self {
        Self {
            lang,
            user: caller.user.clone(),
            org: caller.org_name.clone(),
            several: caller.several,
            role: Some(caller.actor.role),
            csrf: caller.csrf.clone().unwrap_or_default(),
            path,
            active: "",
            zone,
        }
    }

    pub(super) fn menu(&self) -> Vec<(&'static str, &'static str, Text)> {
        MENU.iter()
            .filter(|(_, _, _, least)| self.role.is_some_and(|role| role >= *least))
            .map(|(key, href, title, _)| (*key, *href, *title))
            .collect()
    }

    pub(super) fn is_ja(&self) -> bool {
        self.lang == Lang::Ja
    }

    pub(super) fn other(&self) -> Lang {
        if self.is_ja() { Lang::En } else { Lang::Ja }
    }

    pub(super) fn t<'a>(&self, ja: &'a str, en: &'a str) -> &'a str {
        if self.is_ja() { ja } else { en }
    }

    pub(super) fn text(&self, text: &Text) -> &'static str {
        text.get(self.lang)
    }

    pub(super) fn role_title(&self, role: &Role) -> &'static str {
        role.title().get(self.lang)
    }

    pub(super) fn is_active(&self, key: &str) -> bool {
        self.active == key
    }

    pub(super) fn same(&self, a: &str, b: &str) -> bool {
        a == b
    }

    pub(super) fn is(&self, member: &Option<String>, value: &str) -> bool {
        member.as_deref().unwrap_or_default() == value
    }

    pub(super) fn or_empty<'a>(&self, member: &'a Option<String>) -> &'a str {
        member.as_deref().unwrap_or_default()
    }

    /// Text from outside without control and direction characters; HTML is escaped by the template.
    pub(super) fn safe(&self, text: impl AsRef<str>) -> String {
        printable(text.as_ref())
    }

    /// Lines a field for longer text shows.
    pub(super) fn rows(&self, text: &str) -> usize {
        (text.lines().count() + 1).clamp(5, 30)
    }

    pub(super) fn dash(&self, text: &Option<String>) -> String {
        text.as_deref().map_or_else(|| "-".to_owned(), printable)
    }

    pub(super) fn time(&self, at: &Timestamp) -> String {
        self.zone.to_datetime(*at).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// Until when something holds that ends at a moment.
    pub(super) fn until(&self, end: &Timestamp) -> String {
        answer::until(*end, &self.zone)
    }

    /// A reason of a roll-up with its moment in the organisation's own time.
    pub(super) fn reason(&self, message: &Message) -> String {
        let mut message = message.clone();
        if let Some(date) = message.params.get_mut("date")
            && let Ok(at) = date.parse::<Timestamp>()
        {
            *date = self.time(&at);
        }
        criterion::sentence(&message, self.lang)
    }

    pub(super) fn time_or_dash(&self, at: &Option<Timestamp>) -> String {
        at.as_ref().map_or_else(|| "-".to_owned(), |at| self.time(at))
    }

    pub(super) fn outcome(&self, outcome: &Outcome) -> String {
        badge("o", outcome.as_str(), outcome.title().get(self.lang))
    }

    pub(super) fn state(&self, state: &CriterionState) -> String {
        badge("c", state.as_str(), state.title().get(self.lang))
    }

    pub(super) fn status(&self, status: &Status) -> String {
        badge("s", status.as_str(), status_title(*status).get(self.lang))
    }

    pub(super) fn host_state(&self, state: &HostState) -> &'static str {
        host_state_title(*state).get(self.lang)
    }

    pub(super) fn maker_model(&self, host: &HostRow) -> String {
        let known: Vec<String> =
            [&host.maker, &host.model].into_iter().flatten().map(|t| printable(t)).collect();
        if known.is_empty() { "-".to_owned() } else { known.join(" ") }
    }

    /// What kind of machine it is.
    pub(super) fn chassis(&self, host: &HostRow) -> String {
        let Some(kind) = &host.chassis else { return "-".to_owned() };
        let title = match kind.as_str() {
            "desktop" => self.t("デスクトップPC", "desktop"),
            "laptop" => self.t("ノートPC", "laptop"),
            "tablet" => self.t("タブレット", "tablet"),
            "all_in_one" => self.t("一体型PC", "all-in-one"),
            "server" => self.t("サーバー", "server"),
            "blade" => self.t("ブレードサーバー", "blade server"),
            "mini_pc" => self.t("小型PC", "mini PC"),
            "thin_client" => self.t("シンクライアント", "thin client"),
            "virtual" => self.t("仮想マシン", "virtual machine"),
            "container" => self.t("コンテナー", "container"),
            "other" => self.t("その他", "other"),
            _ => return printable(kind),
        };
        title.to_owned()
    }

    /// Where software comes from.
    pub(super) fn software_source(&self, source: &str) -> String {
        match source {
            "uninstall" => self.t("Windowsアプリ", "Windows program").to_owned(),
            "msi" => "Windows Installer".to_owned(),
            "appx" => self.t("ストアアプリ", "store app").to_owned(),
            "app" => self.t("macOSアプリ", "macOS app").to_owned(),
            other => printable(other),
        }
    }

    pub(super) fn os(&self, host: &HostRow) -> String {
        match (&host.os_name, &host.os_version, &host.os_family) {
            (Some(name), Some(version), _) if !name.contains(version.as_str()) => format!("{name} {version}"),
            (Some(name), _, _) => name.clone(),
            (None, _, Some(family)) => match family.as_str() {
                "windows" => "Windows".to_owned(),
                "linux" => "Linux".to_owned(),
                "macos" => "macOS".to_owned(),
                other => other.to_owned(),
            },
            (None, _, None) => "-".to_owned(),
        }
    }
}

impl OutcomeCounts {
    /// Over all outcomes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.pass + self.fail + self.unknown + self.not_applicable
    }
}

/// A word with a shape of its own; all parts are this program's own text.
fn badge(family: &str, class: &str, title: &str) -> String {
    format!(
        r#"<span class="badge {family}-{class}"><span class="shape" aria-hidden="true"></span>{title}</span>"#
    )
}

/// What a fact's status means, for people.
pub(crate) fn status_title(status: Status) -> Text {
    match status {
        Status::Known => Text::new("取得済み", "Known"),
        Status::Partial => Text::new("一部のみ", "Partial"),
        Status::Absent => Text::new("存在しない", "Absent"),
        Status::Unsupported => Text::new("対象外の環境", "Unsupported"),
        Status::Denied => Text::new("権限なし", "Denied"),
        Status::Failed => Text::new("取得失敗", "Failed"),
        Status::TimedOut => Text::new("時間切れ", "Timed out"),
    }
}

/// Where a host stands, for people.
pub(crate) fn host_state_title(state: HostState) -> Text {
    match state {
        HostState::Pending => Text::new("確認待ち", "Pending"),
        HostState::Confirmed => Text::new("管理対象", "Confirmed"),
        HostState::Retired => Text::new("廃止", "Retired"),
        HostState::Revoked => Text::new("失効", "Revoked"),
    }
}
