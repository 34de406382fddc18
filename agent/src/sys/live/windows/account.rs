//! Accounts of the running Windows, asked through netapi32 and advapi32.
#![allow(unsafe_code)]

use std::ptr::{null, null_mut};

use jiff::{SignedDuration, Timestamp, Unit};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INSUFFICIENT_BUFFER, ERROR_MORE_DATA, ERROR_NONE_MAPPED, GetLastError,
};
use windows_sys::Win32::NetworkManagement::NetManagement::{
    FILTER_NORMAL_ACCOUNT, LOCALGROUP_MEMBERS_INFO_0, NERR_Success, NetApiBufferFree, NetGetJoinInformation,
    NetLocalGroupGetMembers, NetSetupDomainName, NetSetupUnknownStatus, NetUserEnum, NetUserModalsGet,
    UF_ACCOUNTDISABLE, USER_INFO_3, USER_MODALS_INFO_0, USER_MODALS_INFO_2, USER_MODALS_INFO_3,
};
use windows_sys::Win32::Security::{
    GetLengthSid, IsValidSid, LookupAccountSidW, PSID, SID_NAME_USE, SidTypeAlias, SidTypeComputer,
    SidTypeDomain, SidTypeGroup, SidTypeUser, SidTypeWellKnownGroup,
};

use super::{LocalUser, LocalUsers, Member, MemberKind, PasswordRules, sid_text};
use crate::sys::SysError;

/// Most accounts or members; a domain controller answers with those of its domain.
const MAX_ROWS: usize = 20_000;
/// Longest name that is read, UTF-16 units.
const MAX_NAME: usize = 1_024;
/// Bytes asked for at a time.
const CHUNK: u32 = 256 * 1024;
/// "Never" among the times of the API.
const TIMEQ_FOREVER: u32 = u32::MAX;
/// `S-1-5-32-544`.
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];

/// The machine's own accounts.
pub fn users(now: Timestamp) -> Result<LocalUsers, SysError> {
    const WHAT: &str = "NetUserEnum";
    let modals = modals::<USER_MODALS_INFO_2>(2)?;
    // SAFETY: the SID lies in the buffer `modals` keeps.
    let machine_sid = unsafe { sid(modals.first(WHAT)?.usrmod2_domain_id) }
        .ok_or_else(|| SysError::malformed("NetUserModalsGet 2", "no SID"))?;
    let mut users = Vec::new();
    let mut resume = 0_u32;
    loop {
        let mut rows = Rows::<USER_INFO_3>::empty();
        let (mut read, mut total) = (0_u32, 0_u32);
        // SAFETY: no server is this machine; every out pointer is to a local of its type.
        let code = unsafe {
            NetUserEnum(
                null(),
                3,
                FILTER_NORMAL_ACCOUNT,
                rows.slot(),
                CHUNK,
                &mut read,
                &mut total,
                &mut resume,
            )
        };
        if code != NERR_Success && code != ERROR_MORE_DATA {
            return Err(refused(WHAT, code));
        }
        rows.count = read as usize;
        // SAFETY: the texts of each row lie in the same buffer.
        users.extend(rows.iter().filter_map(|row| unsafe { user(row, now) }));
        if users.len() > MAX_ROWS {
            return Err(SysError::TooLarge { what: WHAT.into(), cap: MAX_ROWS as u64 });
        }
        if code == NERR_Success {
            break;
        }
        if read == 0 {
            return Err(SysError::malformed(WHAT, "more rows, but none given"));
        }
    }
    Ok(LocalUsers { machine_sid, users })
}

/// # Safety
/// The texts of `row` must be null or end with NUL.
unsafe fn user(row: &USER_INFO_3, now: Timestamp) -> Option<LocalUser> {
    // SAFETY: as promised by the caller.
    let name = unsafe { text(row.usri3_name) }?;
    let seconds = |value: u32| (value != 0).then(|| Timestamp::from_second(i64::from(value)).ok()).flatten();
    // The API tells an age; whole minutes keep the date the same from run to run.
    let age = SignedDuration::from_secs(i64::from(row.usri3_password_age));
    let changed = now.checked_sub(age).ok().and_then(|at| at.round(Unit::Minute).ok());
    Some(LocalUser {
        name,
        rid: row.usri3_user_id,
        disabled: row.usri3_flags & UF_ACCOUNTDISABLE != 0,
        expires_at: (row.usri3_acct_expires != TIMEQ_FOREVER)
            .then(|| seconds(row.usri3_acct_expires))
            .flatten(),
        last_logon: seconds(row.usri3_last_logon),
        password_changed_at: changed.filter(|_| row.usri3_password_age != 0),
        has_password: None,
    })
}

/// Members of the administrators' group.
pub fn administrators() -> Result<Vec<Member>, SysError> {
    const WHAT: &str = "NetLocalGroupGetMembers";
    let Some((_, group, _)) = lookup(ADMINISTRATORS.as_ptr().cast_mut().cast())? else {
        return Err(SysError::Failed {
            what: "S-1-5-32-544".into(),
            reason: "no_administrators_group".into(),
            detail: "the SID has no name".into(),
        });
    };
    let wide: Vec<u16> = group.encode_utf16().chain([0]).collect();
    let mut members = Vec::new();
    let mut resume = 0_usize;
    loop {
        let mut rows = Rows::<LOCALGROUP_MEMBERS_INFO_0>::empty();
        let (mut read, mut total) = (0_u32, 0_u32);
        // SAFETY: no server is this machine; `wide` ends with NUL; the out pointers are to locals.
        let code = unsafe {
            NetLocalGroupGetMembers(
                null(),
                wide.as_ptr(),
                0,
                rows.slot(),
                CHUNK,
                &mut read,
                &mut total,
                &mut resume,
            )
        };
        if code != NERR_Success && code != ERROR_MORE_DATA {
            return Err(refused(WHAT, code));
        }
        rows.count = read as usize;
        for row in rows.iter() {
            members.push(member(row.lgrmi0_sid)?);
        }
        if members.len() > MAX_ROWS {
            return Err(SysError::TooLarge { what: WHAT.into(), cap: MAX_ROWS as u64 });
        }
        if code == NERR_Success {
            return Ok(members);
        }
        if read == 0 {
            return Err(SysError::malformed(WHAT, "more rows, but none given"));
        }
    }
}

fn member(of: PSID) -> Result<Member, SysError> {
    // SAFETY: the SID came from the API and lies in a buffer that is kept.
    let sid = unsafe { sid(of) }.ok_or_else(|| SysError::malformed("NetLocalGroupGetMembers", "no SID"))?;
    // A directory that cannot be asked leaves the member with its SID.
    let found = lookup(of).ok().flatten();
    #[expect(non_upper_case_globals, reason = "names of the Windows API")]
    let kind = match found.as_ref().map(|(_, _, kind)| *kind) {
        Some(SidTypeUser | SidTypeComputer) => MemberKind::User,
        Some(SidTypeGroup | SidTypeAlias | SidTypeWellKnownGroup | SidTypeDomain) => MemberKind::Group,
        _ => MemberKind::Unknown,
    };
    let name =
        found.map(|(domain, name, _)| if domain.is_empty() { name } else { format!("{domain}\\{name}") });
    Ok(Member { sid, name, kind })
}

/// Domain, name and kind of a SID; `None` where nobody knows it.
fn lookup(of: PSID) -> Result<Option<(String, String, SID_NAME_USE)>, SysError> {
    const WHAT: &str = "LookupAccountSid";
    let (mut name, mut domain) = ([0_u16; MAX_NAME], [0_u16; MAX_NAME]);
    let (mut name_length, mut domain_length) = (MAX_NAME as u32, MAX_NAME as u32);
    let mut kind: SID_NAME_USE = 0;
    // SAFETY: `of` is a valid SID; the buffers have the lengths that are given.
    let done = unsafe {
        LookupAccountSidW(
            null(),
            of,
            name.as_mut_ptr(),
            &mut name_length,
            domain.as_mut_ptr(),
            &mut domain_length,
            &mut kind,
        )
    };
    if done == 0 {
        // SAFETY: reads this thread's last error.
        return match unsafe { GetLastError() } {
            ERROR_NONE_MAPPED => Ok(None),
            ERROR_INSUFFICIENT_BUFFER => Err(SysError::TooLarge { what: WHAT.into(), cap: MAX_NAME as u64 }),
            code => Err(refused(WHAT, code)),
        };
    }
    Ok(Some((until_nul(&domain), until_nul(&name), kind)))
}

/// Password and lockout rules.
pub fn rules() -> Result<PasswordRules, SysError> {
    const WHAT: &str = "NetUserModalsGet";
    let password = modals::<USER_MODALS_INFO_0>(0)?;
    let password = password.first(WHAT)?;
    let lockout = modals::<USER_MODALS_INFO_3>(3)?;
    let lockout = lockout.first(WHAT)?;
    let bounded = |seconds: u32| (seconds != TIMEQ_FOREVER).then_some(u64::from(seconds));
    Ok(PasswordRules {
        min_length: password.usrmod0_min_passwd_len,
        history: password.usrmod0_password_hist_len,
        max_age_s: bounded(password.usrmod0_max_passwd_age),
        lockout_threshold: lockout.usrmod3_lockout_threshold,
        lockout_window_s: lockout.usrmod3_lockout_observation_window.into(),
        lockout_duration_s: bounded(lockout.usrmod3_lockout_duration),
        properties: None,
    })
}

/// The Active Directory domain the machine is joined to.
pub fn domain() -> Result<Option<String>, SysError> {
    const WHAT: &str = "NetGetJoinInformation";
    let mut name = Rows::<u16>::empty();
    let mut status = NetSetupUnknownStatus;
    // SAFETY: no server is this machine; both out pointers are to locals.
    let code = unsafe { NetGetJoinInformation(null(), name.slot().cast(), &mut status) };
    if code != NERR_Success {
        return Err(refused(WHAT, code));
    }
    if status == NetSetupUnknownStatus {
        return Err(SysError::malformed(WHAT, "unknown"));
    }
    // SAFETY: the API gives a text that ends with NUL, kept by `name`.
    let text = unsafe { text(name.start.cast()) };
    Ok(text.filter(|_| status == NetSetupDomainName))
}

fn modals<T>(level: u32) -> Result<Rows<T>, SysError> {
    let mut rows = Rows::<T>::empty();
    // SAFETY: no server is this machine; `T` is the structure of that level.
    let code = unsafe { NetUserModalsGet(null(), level, rows.slot()) };
    if code != NERR_Success {
        return Err(refused(&format!("NetUserModalsGet {level}"), code));
    }
    rows.count = 1;
    Ok(rows)
}

/// Rows in a buffer of the API, given back when dropped.
struct Rows<T> {
    start: *mut u8,
    count: usize,
    of: std::marker::PhantomData<T>,
}

impl<T> Rows<T> {
    fn empty() -> Self {
        Self { start: null_mut(), count: 0, of: std::marker::PhantomData }
    }

    /// Where the API puts its buffer.
    fn slot(&mut self) -> *mut *mut u8 {
        &mut self.start
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let count = if self.start.is_null() { 0 } else { self.count };
        // SAFETY: the API wrote `count` rows of `T`, aligned, to the buffer, which lives as long as `self`.
        (0..count).map(|index| unsafe { &*self.start.cast::<T>().add(index) })
    }

    fn first(&self, what: &str) -> Result<&T, SysError> {
        self.iter().next().ok_or_else(|| SysError::malformed(what, "no row"))
    }
}

impl<T> Drop for Rows<T> {
    fn drop(&mut self) {
        if !self.start.is_null() {
            // SAFETY: the buffer came from the API and is given back only here.
            unsafe { NetApiBufferFree(self.start.cast()) };
        }
    }
}

/// # Safety
/// `of` must be null or point to a readable SID.
unsafe fn sid(of: PSID) -> Option<String> {
    // SAFETY: as promised by the caller.
    if of.is_null() || unsafe { IsValidSid(of) } == 0 {
        return None;
    }
    // SAFETY: the SID is valid, so it has that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(of.cast::<u8>(), GetLengthSid(of) as usize) };
    sid_text(bytes).map(|(text, _)| text)
}

/// # Safety
/// `of` must be null or end with NUL within `MAX_NAME` units.
unsafe fn text(of: *const u16) -> Option<String> {
    if of.is_null() {
        return None;
    }
    // SAFETY: reads up to the NUL, as promised by the caller.
    let units: Vec<u16> =
        (0..MAX_NAME).map(|at| unsafe { *of.add(at) }).take_while(|unit| *unit != 0).collect();
    Some(String::from_utf16_lossy(&units))
}

fn until_nul(units: &[u16]) -> String {
    let units: Vec<u16> = units.iter().copied().take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

fn refused(what: &str, code: u32) -> SysError {
    match code {
        ERROR_ACCESS_DENIED => SysError::Denied { what: what.into() },
        // ERROR_NOT_SUPPORTED, ERROR_CALL_NOT_IMPLEMENTED
        50 | 120 => SysError::Unsupported { what: what.into(), reason: "api_not_supported".into() },
        code => SysError::Failed { what: what.into(), reason: "api_error".into(), detail: code.to_string() },
    }
}
