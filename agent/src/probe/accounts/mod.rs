//! Local accounts, and who is or can become administrator.

mod linux;
mod macos;
pub mod parse;
pub mod sudoers;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

const KINDS: &[FactKind] = &[FactKind::Accounts, FactKind::AccountsObserved];

/// The probe.
pub static PROBE: Probe = Probe {
    name: "accounts",
    kinds: KINDS,
    what: Text::new(
        "この端末のアカウント名、有効・無効、管理者権限の有無とその根拠、最終ログオンとパスワード変更の日付。パスワードやそのハッシュは収集しません。",
        "Names of local accounts, enabled or not, administrator rights and why, last log-on and password change. No passwords and no hashes.",
    ),
    why: Text::new(
        "不要なアカウントや過剰な管理者権限がないかを確かめるため（4-1-1、4-1-2）。",
        "To see that there are no needless accounts and administrators (4-1-1, 4-1-2).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/sudoers.d"],
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    let error = match sys.family() {
        Family::Linux => return linux::collect(sys),
        Family::Windows => return windows::collect(sys),
        Family::Macos => macos::unsupported(),
    };
    KINDS.iter().map(|kind| Collection::missing(*kind, &error, sys.now())).collect()
}
