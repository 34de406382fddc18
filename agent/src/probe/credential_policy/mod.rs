//! Password and lockout rules of local log-on.

mod linux;
mod macos;
pub mod pam;
mod screen_lock;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "credential_policy",
    kinds: &[FactKind::CredentialPolicy],
    what: Text::new(
        "パスワードの長さ・複雑さ・履歴、失敗時のロックアウト、画面ロックの設定。パスワードそのものは収集しません。",
        "Rules for password length, complexity and history, lockout after failures, screen lock. Not the passwords.",
    ),
    why: Text::new(
        "パスワードとロックアウトの設定が社内の決まりどおりかを確かめるため（4-1-4、4-1-5）。",
        "To see that password and lockout settings follow the company's rules (4-1-4, 4-1-5).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/pam.d", "/etc/security", "/etc/login.defs"],
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    let error = match sys.family() {
        Family::Linux => return vec![linux::collect(sys)],
        Family::Windows => return vec![windows::collect(sys)],
        Family::Macos => macos::unsupported(),
    };
    vec![Collection::missing(FactKind::CredentialPolicy, &error, sys.now())]
}
