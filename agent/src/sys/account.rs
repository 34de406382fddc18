//! Local accounts, members of the administrators' group and password rules of a running Windows, by its own
//! network-management API. Under a root folder the same is read from the `SAM` hive.
//!
//! Groups and accounts are known by their SID: their names are translated on every language of Windows.

use jiff::Timestamp;

use super::{Family, Sys, SysError};

#[cfg_attr(windows, path = "live/windows/account.rs")]
#[cfg_attr(not(windows), path = "live/no_account.rs")]
mod live;

/// Most sub-authorities of a SID (`SID_MAX_SUB_AUTHORITIES`).
const MAX_PARTS: usize = 15;

/// One account of the machine's own database (on a domain controller: of the domain).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalUser {
    /// Name.
    pub name: String,
    /// Last part of the SID; 500 is the built-in administrator, 501 the guest, whatever they are called.
    pub rid: u32,
    /// Switched off.
    pub disabled: bool,
    /// Not valid from this moment on; host clock.
    pub expires_at: Option<Timestamp>,
    /// Last log-on; host clock.
    pub last_logon: Option<Timestamp>,
    /// Last change of the password; host clock.
    pub password_changed_at: Option<Timestamp>,
    /// Whether there is a password; `None` where the system does not say.
    pub has_password: Option<bool>,
}

/// What a member of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A person's or a machine's account.
    User,
    /// A group, whose members are not listed here.
    Group,
    /// Not resolved: deleted, or of a directory that could not be asked.
    Unknown,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Security id.
    pub sid: String,
    /// `DOMAIN\name`; `None` where it could not be resolved.
    pub name: Option<String>,
    /// What it is.
    pub kind: MemberKind,
}

/// Password and lockout rules of the machine's own accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PasswordRules {
    /// Fewest characters.
    pub min_length: u32,
    /// Old passwords remembered.
    pub history: u32,
    /// Seconds until a password must change; `None` is never.
    pub max_age_s: Option<u64>,
    /// Failures until lock; 0 is never.
    pub lockout_threshold: u32,
    /// Seconds within which failures count.
    pub lockout_window_s: u64,
    /// Seconds until unlock; `None` is by an administrator.
    pub lockout_duration_s: Option<u64>,
    /// `PasswordProperties` (1: complexity, 8: the built-in administrator is locked too); `None` where the API
    /// does not tell it.
    pub properties: Option<u32>,
}

/// The machine's own accounts with the SID that all of theirs begin with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalUsers {
    /// SID of the account database.
    pub machine_sid: String,
    /// Accounts.
    pub users: Vec<LocalUser>,
}

impl Sys {
    /// The machine's own accounts.
    /// Source: `NetUserEnum`, `NetUserModalsGet` 2. Privilege: none for one's own machine by default.
    /// Errors: `Unsupported` (`live_only`, or where no Windows runs), `Denied`, `Failed` with the API's code.
    pub fn local_users(&self) -> Result<LocalUsers, SysError> {
        self.account_door("NetUserEnum")?;
        live::users(self.now())
    }

    /// Members of the administrators' group, which is found by its SID (`S-1-5-32-544`).
    /// Source: `NetLocalGroupGetMembers`, `LookupAccountSid`. Errors: as [`Sys::local_users`].
    pub fn administrators(&self) -> Result<Vec<Member>, SysError> {
        self.account_door("NetLocalGroupGetMembers")?;
        live::administrators()
    }

    /// Rules of the machine's own accounts.
    /// Source: `NetUserModalsGet` 0 and 3. Errors: as [`Sys::local_users`].
    pub fn password_rules(&self) -> Result<PasswordRules, SysError> {
        self.account_door("NetUserModalsGet")?;
        live::rules()
    }

    /// NetBIOS name of the Active Directory domain the machine is joined to; `None` for none.
    /// Source: `NetGetJoinInformation`. Errors: as [`Sys::local_users`].
    pub fn joined_domain(&self) -> Result<Option<String>, SysError> {
        self.account_door("NetGetJoinInformation")?;
        live::domain()
    }

    fn account_door(&self, what: &str) -> Result<(), SysError> {
        self.require_live(what)?;
        if self.family() != Family::Windows {
            return Err(SysError::Unsupported { what: what.into(), reason: "no_account_api".into() });
        }
        self.tracer.volatile(what);
        Ok(())
    }
}

/// Text of the binary SID that `bytes` begin with, and its length in bytes; `None` where they are none.
#[must_use]
pub fn sid_text(bytes: &[u8]) -> Option<(String, usize)> {
    let [1, count, rest @ ..] = bytes else { return None };
    let count = usize::from(*count);
    let (authority, parts) = rest.split_at_checked(6)?;
    if count > MAX_PARTS {
        return None;
    }
    let authority = authority.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mut text = format!("S-1-{authority}");
    for part in parts.get(..count * 4)?.chunks_exact(4) {
        text.push_str(&format!("-{}", u32::from_le_bytes(part.try_into().ok()?)));
    }
    Some((text, 8 + count * 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_reads_as_windows_writes_it() {
        let administrators = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0, 99];
        assert_eq!(sid_text(&administrators), Some(("S-1-5-32-544".into(), 16)));
        assert_eq!(sid_text(&[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), Some(("S-1-1-0".into(), 12)));
        for end in 0..16 {
            assert_eq!(sid_text(&administrators[..end]), None, "{end}");
        }
        assert_eq!(sid_text(&[2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), None, "another revision");
        assert_eq!(sid_text(&[[1, 16, 0, 0, 0, 0, 0, 5].as_slice(), &[0; 64]].concat()), None);
    }

    #[test]
    fn only_a_running_windows_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("Windows/System32/config")).unwrap();
        let sys = Sys::at_root(folder.path(), None).unwrap();
        assert!(
            matches!(sys.local_users(), Err(SysError::Unsupported { reason, .. }) if reason == "live_only")
        );
        assert!(matches!(sys.administrators(), Err(SysError::Unsupported { .. })));
    }
}
