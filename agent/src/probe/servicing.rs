//! Update packages as Windows servicing (CBS) keeps them in the registry: what is in force, what waits for a
//! restart. This is the truth of the component store, also in a hive without a running system.
//! Privilege: none; `Packages` is readable for everyone on most versions.

use jiff::Timestamp;
use tenken_shared::collected::{Reason, SourceState};

use super::package::settle;
use super::updates::parse_windows::{PackageName, PackageState};
use crate::sys::{RegistryKey, Sys, SysError};

/// Where servicing keeps its state.
pub const SERVICING: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing";
/// Most packages looked at; a Windows of many years has some ten thousand.
const MAX_PACKAGES: usize = 100_000;

/// One update package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `RollupFix`, `KB5044284` ...
    pub name: String,
    /// Version (`26100.2314.1.10`).
    pub version: String,
    /// State.
    pub state: PackageState,
    /// When it was installed last.
    pub installed_at: Option<Timestamp>,
}

/// The state of a source read from a key: `partial` where its hive lacks changes that no log holds.
#[must_use]
pub fn key_state(key: &RegistryKey, source: impl Into<String>, count: usize) -> SourceState {
    let source = source.into();
    if key.is_outdated() {
        let reason = Reason::with("hive_outdated", key.path());
        return settle::partial(source, count, reason);
    }
    SourceState::known(source, count)
}

/// Update packages by name and version. Errors: `Absent` without the key; `Failed` with `hive_outdated`, for
/// what a stale hive calls installed may be so no more.
pub fn packages(sys: &Sys) -> Result<Vec<Package>, SysError> {
    let path = format!("{SERVICING}\\Packages");
    let Some(key) = sys.registry(&path)? else { return Err(SysError::Absent { what: path }) };
    if key.is_outdated() {
        let detail = "changes without a log".to_owned();
        return Err(SysError::Failed { what: path, reason: "hive_outdated".into(), detail });
    }
    let names = key.subkeys()?;
    if names.len() > MAX_PACKAGES {
        return Err(SysError::TooLarge { what: path, cap: MAX_PACKAGES as u64 });
    }
    let mut out = vec![];
    for name in &names {
        let Some(parsed) = PackageName::parse(name) else { continue };
        let Some(key) = key.open(name)? else { continue };
        out.push(Package {
            name: parsed.name.to_owned(),
            version: parsed.version.to_owned(),
            state: PackageState::of(key.number("CurrentState")?.unwrap_or_default()),
            installed_at: installed(&key)?,
        });
    }
    out.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(out)
}

/// `InstallTimeHigh` and `InstallTimeLow` are one FILETIME.
fn installed(key: &RegistryKey) -> Result<Option<Timestamp>, SysError> {
    let (Some(high), Some(low)) = (key.number("InstallTimeHigh")?, key.number("InstallTimeLow")?) else {
        return Ok(None);
    };
    Ok(filetime((high & 0xffff_ffff) << 32 | (low & 0xffff_ffff)))
}

/// 100 ns since 1601, whole seconds.
fn filetime(ticks: u64) -> Option<Timestamp> {
    const EPOCH: u64 = 11_644_473_600;
    let seconds = (ticks / 10_000_000).checked_sub(EPOCH)?;
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filetime_is_a_moment_or_none() {
        assert_eq!(
            filetime(131_277_024_000_000_000).map(|t| t.to_string()).as_deref(),
            Some("2017-01-01T00:00:00Z")
        );
        assert_eq!(filetime(0), None);
        assert_eq!(filetime(u64::MAX).map(|t| t.to_string()), None);
    }
}
