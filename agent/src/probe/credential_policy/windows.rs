//! Password and lockout rules of a Windows machine, and its screen locks.
//!
//! The rules are those of the machine's own accounts. Where it is joined to a directory, people log on with accounts
//! that follow the directory's rules, which this machine does not hold: a gap says so, and the local rules never
//! stand for them.
//!
//! Source: `NetUserModalsGet` on a running system, except that the API does not tell complexity: that is read from
//! the account database, as all of it is in a folder. Privilege: SYSTEM for complexity.

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::FactKind;
use tenken_shared::fact::credential_policy::CredentialPolicy;

use super::screen_lock;
use crate::probe::Collection;
use crate::probe::sam;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{directories, missing};
use crate::sys::{PasswordRules, Sys, SysError};

const SOURCE: &str = r"NetUserModalsGet; HKLM\SAM; screen saver and inactivity policies";
const RULES: &str = "password rules";
/// Bits of `PasswordProperties`.
const COMPLEX: u32 = 1;
const LOCKS_ADMINISTRATOR: u32 = 8;
const DAY: u64 = 86_400;

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System",
    r"HKU\*\Software\Policies\Microsoft\Windows\Control Panel\Desktop",
    r"HKU\*\Control Panel\Desktop",
];

/// Collects the fact.
pub(super) fn collect(sys: &Sys) -> Collection {
    let mut sources = Sources::new();
    let rules = match rules(sys, &mut sources) {
        Ok(rules) => rules,
        Err(error) => return Collection::missing(FactKind::CredentialPolicy, &error, sys.now()),
    };
    for directory in directories(sys, &mut sources) {
        sources.gap(
            format!("directory:{directory}"),
            Status::Partial,
            Reason::with("directory_policy_not_read", directory),
        );
    }
    let mut body = policy(&rules);
    let machine = screen_lock::machine(sys, &mut sources);
    body.screen_lock_s = machine;
    body.screen_locks = screen_lock::users(sys, machine, &mut sources);
    body.sources = sources.into_vec();
    let states = body.sources.clone();
    Collection::of(collected(body, &states), SOURCE, sys.now())
}

fn rules(sys: &Sys, sources: &mut Sources) -> Result<PasswordRules, SysError> {
    let stored = sam::rules(sys);
    if !sys.is_live() {
        let (rules, outdated) = stored?;
        if outdated {
            sources.gap(RULES, Status::Partial, Reason::with("hive_outdated", sam::ACCOUNT));
        } else {
            sources.known(RULES, 1);
        }
        return Ok(rules);
    }
    let mut rules = sys.password_rules()?;
    sources.known(RULES, 1);
    match stored {
        Ok((stored, _)) => {
            sources.known("complexity", 1);
            rules.properties = stored.properties;
        }
        Err(error) => missing("complexity", &error, sources),
    }
    Ok(rules)
}

fn policy(rules: &PasswordRules) -> CredentialPolicy {
    let has = |bit: u32| rules.properties.map(|properties| properties & bit != 0);
    let days = rules.max_age_s.map_or(0, |seconds| seconds.div_ceil(DAY));
    let locks = rules.lockout_threshold > 0;
    CredentialPolicy {
        lockout_threshold: Some(rules.lockout_threshold),
        lockout_window_s: locks.then_some(rules.lockout_window_s),
        lockout_duration_s: locks.then(|| rules.lockout_duration_s.unwrap_or(0)),
        min_length: Some(rules.min_length),
        complexity: has(COMPLEX),
        max_age_days: u32::try_from(days).ok(),
        history: Some(rules.history),
        applies_to_root: has(LOCKS_ADMINISTRATOR),
        ..CredentialPolicy::default()
    }
}

#[cfg(test)]
mod tests;
