//! The account database of Windows as it stands in the `SAM` hive: accounts, members of groups, password rules.
//!
//! Only what the structures say about an account is read: of the stored password nothing but whether there is one,
//! by its length. Values are little-endian; times are FILETIME, spans are negative counts of 100 ns.
//!
//! * `Domains\Account` `F`: 24 longest password age, 48 lockout duration, 56 lockout window (8 bytes each);
//!   76 password properties (4); 80 shortest password, 82 history, 84 lockout threshold (2 each).
//! * `Domains\Account` `V` holds the machine's SID (`S-1-5-21-` and three parts) near its end.
//! * `Users\<RID>` `F`: 8 last log-on, 24 password set, 32 account expires; 48 RID (4); 56 flags (2).
//! * `Users\<RID>` `V`: a table of 12-byte entries (offset from 0xCC, length, flags): 1 the name, 14 the stored
//!   password.
//! * `Aliases\<RID>` `C`: 40 offset from 52 and 48 number of the members, which are SIDs one after the other.

use jiff::Timestamp;

use crate::sys::{
    LocalUser, LocalUsers, PasswordRules, RegistryKey, RegistryValue, Sys, SysError, filetime, sid_text,
    utf16,
};

/// The machine's own accounts.
pub const ACCOUNT: &str = r"HKLM\SAM\SAM\Domains\Account";
/// Members of the administrators' group (`S-1-5-32-544`).
pub const ADMINISTRATORS: &str = r"HKLM\SAM\SAM\Domains\Builtin\Aliases\00000220";
const MAX_USERS: usize = 20_000;
const MAX_MEMBERS: usize = 20_000;
/// Where the data of a user's `V` begin.
const V_DATA: usize = 0xcc;
/// The same of a group's `C`.
const C_DATA: usize = 52;
const DISABLED: u16 = 0x0001;
/// An account of a person, as against one of a machine or a trust.
const NORMAL: u16 = 0x0010;
/// "Never" among the spans.
const NEVER: i64 = i64::MIN;
const TICKS_PER_SECOND: u64 = 10_000_000;

/// The accounts of the hive, and whether it lacks its last changes.
/// Errors: `Failed` with `malformed` where a structure is cut or another; as for any key.
pub fn users(sys: &Sys) -> Result<(LocalUsers, bool), SysError> {
    let account = required(sys, ACCOUNT)?;
    let machine = bytes(&account, "V")?;
    let machine_sid = machine_sid(&machine).ok_or_else(|| malformed(&account, "V"))?;
    let list = account.open("Users")?.ok_or_else(|| malformed(&account, "Users"))?;
    let mut users = Vec::new();
    for key in list.children()? {
        // `Names` beside the accounts tells nothing more.
        if u32::from_str_radix(key.name(), 16).is_err() || key.name().len() != 8 {
            continue;
        }
        if users.len() >= MAX_USERS {
            return Err(SysError::TooLarge { what: ACCOUNT.into(), cap: MAX_USERS as u64 });
        }
        let (fixed, variable) = (bytes(&key, "F")?, bytes(&key, "V")?);
        users.extend(user(&fixed, &variable).ok_or_else(|| malformed(&key, "F, V"))?);
    }
    Ok((LocalUsers { machine_sid, users }, account.is_outdated()))
}

/// SIDs of the members of the administrators' group. Errors: as [`users`].
pub fn administrators(sys: &Sys) -> Result<Vec<String>, SysError> {
    let key = required(sys, ADMINISTRATORS)?;
    members(&bytes(&key, "C")?).ok_or_else(|| malformed(&key, "C"))
}

/// Password rules of the machine's own accounts, and whether the hive lacks its last changes. Errors: as [`users`].
pub fn rules(sys: &Sys) -> Result<(PasswordRules, bool), SysError> {
    let key = required(sys, ACCOUNT)?;
    let rules = password_rules(&bytes(&key, "F")?).ok_or_else(|| malformed(&key, "F"))?;
    Ok((rules, key.is_outdated()))
}

fn required(sys: &Sys, path: &str) -> Result<RegistryKey, SysError> {
    // Every Windows has these keys: a hive without them is another file.
    sys.registry(path)?.ok_or_else(|| SysError::malformed(path, "no such key"))
}

fn malformed(key: &RegistryKey, detail: &str) -> SysError {
    SysError::malformed(key.path(), detail)
}

fn bytes(key: &RegistryKey, name: &str) -> Result<Vec<u8>, SysError> {
    match key.value(name)? {
        Some(RegistryValue::Binary(bytes) | RegistryValue::Other { bytes, .. }) => Ok(bytes),
        _ => Err(malformed(key, name)),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// A moment; `None` within where it is 0 or "never".
fn moment_at(bytes: &[u8], at: usize) -> Option<Option<Timestamp>> {
    let ticks = i64_at(bytes, at)?;
    Some(u64::try_from(ticks).ok().filter(|t| *t != 0 && ticks != i64::MAX).and_then(filetime))
}

/// The last SID of the value with four parts, of which the first is 21.
pub fn machine_sid(bytes: &[u8]) -> Option<String> {
    const HEAD: [u8; 12] = [1, 4, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
    let at = bytes.windows(HEAD.len()).rposition(|window| window == HEAD)?;
    sid_text(bytes.get(at..)?).map(|(text, _)| text)
}

/// An account; `None` within for one of a machine or a trust.
pub fn user(fixed: &[u8], variable: &[u8]) -> Option<Option<LocalUser>> {
    let flags = u16_at(fixed, 56)?;
    let name = utf16(entry(variable, 1)?);
    let rid = u32_at(fixed, 48)?;
    let user = LocalUser {
        name: name.trim_end_matches('\0').to_owned(),
        rid,
        disabled: flags & DISABLED != 0,
        expires_at: moment_at(fixed, 32)?,
        last_logon: moment_at(fixed, 8)?,
        password_changed_at: moment_at(fixed, 24)?,
        has_password: has_password(variable),
    };
    Some((flags & NORMAL != 0 && !user.name.is_empty()).then_some(user))
}

/// One entry of the table at the start of `V`.
fn entry(variable: &[u8], index: usize) -> Option<&[u8]> {
    let start = u32_at(variable, index * 12)? as usize;
    let length = u32_at(variable, index * 12 + 4)? as usize;
    let start = start.checked_add(V_DATA)?;
    variable.get(start..start.checked_add(length)?)
}

/// By the length of what is stored: a header alone is no password. Windows stores none for an empty one.
/// The header is 4 bytes of the old form and 24 of that of Windows 10 1607 and later (its second number is 2).
fn has_password(variable: &[u8]) -> Option<bool> {
    let stored = entry(variable, 14)?;
    match (u16_at(stored, 2), stored.len()) {
        (_, 0) => Some(false),
        (Some(1), length) => Some(length > 4),
        (Some(2), length) => Some(length > 24),
        _ => None,
    }
}

/// SIDs of the members of a group's value `C`; `None` where it is cut.
pub fn members(group: &[u8]) -> Option<Vec<String>> {
    let start = (u32_at(group, 40)? as usize).checked_add(C_DATA)?;
    let count = u32_at(group, 48)? as usize;
    let mut rest = group.get(start..)?;
    if count > MAX_MEMBERS {
        return None;
    }
    let mut out = Vec::new();
    for _ in 0..count {
        let (sid, length) = sid_text(rest)?;
        out.push(sid);
        rest = rest.get(length..)?;
    }
    Some(out)
}

/// Password and lockout rules of the domain's value `F`; `None` where it is cut.
pub fn password_rules(fixed: &[u8]) -> Option<PasswordRules> {
    let span = |at| {
        let ticks = i64_at(fixed, at)?;
        Some((ticks != NEVER && ticks != 0).then(|| ticks.unsigned_abs() / TICKS_PER_SECOND))
    };
    Some(PasswordRules {
        min_length: u16_at(fixed, 80)?.into(),
        history: u16_at(fixed, 82)?.into(),
        max_age_s: span(24)?,
        lockout_threshold: u16_at(fixed, 84)?.into(),
        lockout_window_s: span(56)?.unwrap_or(0),
        lockout_duration_s: span(48)?,
        properties: Some(u32_at(fixed, 76)?),
    })
}

#[cfg(test)]
pub mod made {
    //! Structures of the hive for probe tests.

    use super::{C_DATA, V_DATA};

    /// Parts of the machine's SID in tests.
    pub const MACHINE: [u32; 3] = [1_004_336_348, 1_177_238_915, 682_003_330];
    /// The same as text.
    pub const MACHINE_SID: &str = "S-1-5-21-1004336348-1177238915-682003330";

    /// Ticks of a moment.
    pub fn ticks(at: &str) -> u64 {
        let at: jiff::Timestamp = at.parse().unwrap();
        (at.as_second() as u64 + 11_644_473_600) * 10_000_000
    }

    /// `F` and `V` of an account; `stored` is the length of the stored password, header and all.
    pub fn user(name: &str, rid: u32, flags: u16, last_logon: u64, stored: usize) -> (Vec<u8>, Vec<u8>) {
        let mut fixed = vec![0_u8; 80];
        fixed[8..16].copy_from_slice(&last_logon.to_le_bytes());
        fixed[24..32].copy_from_slice(&ticks("2026-04-01T00:00:00Z").to_le_bytes());
        fixed[32..40].copy_from_slice(&i64::MAX.to_le_bytes());
        fixed[48..52].copy_from_slice(&rid.to_le_bytes());
        fixed[56..58].copy_from_slice(&flags.to_le_bytes());
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        // The descriptor of who may change it comes first, then the name, then the password.
        let descriptor = vec![0xdd_u8; 8];
        let password: Vec<u8> =
            [1, 0, 2, 0].into_iter().chain(std::iter::repeat(0xaa)).take(stored).collect();
        let mut variable = vec![0_u8; V_DATA];
        let mut data: Vec<u8> = Vec::new();
        for (index, part) in [(0, &descriptor), (1, &wide), (14, &password)] {
            let at = index * 12;
            variable[at..at + 4].copy_from_slice(&(data.len() as u32).to_le_bytes());
            variable[at + 4..at + 8].copy_from_slice(&(part.len() as u32).to_le_bytes());
            data.extend(part);
        }
        variable.extend(data);
        (fixed, variable)
    }

    /// A SID of domain parts and a RID.
    pub fn sid(parts: [u32; 3], rid: u32) -> Vec<u8> {
        let mut out = vec![1, 5, 0, 0, 0, 0, 0, 5];
        for part in [21, parts[0], parts[1], parts[2], rid] {
            out.extend(part.to_le_bytes());
        }
        out
    }

    /// `C` of a group with a name and members.
    pub fn group(name: &str, members: &[Vec<u8>]) -> Vec<u8> {
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let sids: Vec<u8> = members.concat();
        let mut out = vec![0_u8; C_DATA];
        out[0..4].copy_from_slice(&0x220_u32.to_le_bytes());
        out[20..24].copy_from_slice(&(wide.len() as u32).to_le_bytes());
        out[40..44].copy_from_slice(&(wide.len() as u32).to_le_bytes());
        out[44..48].copy_from_slice(&(sids.len() as u32).to_le_bytes());
        out[48..52].copy_from_slice(&(members.len() as u32).to_le_bytes());
        out.extend(wide);
        out.extend(sids);
        out
    }

    /// `F` of the account database.
    pub fn rules(min_length: u16, threshold: u16, properties: u32) -> Vec<u8> {
        let mut out = vec![0_u8; 0xf0];
        let minutes = |n: i64| (-n * 60 * 10_000_000).to_le_bytes();
        out[24..32].copy_from_slice(&minutes(42 * 24 * 60));
        out[48..56].copy_from_slice(&minutes(10));
        out[56..64].copy_from_slice(&minutes(15));
        out[76..80].copy_from_slice(&properties.to_le_bytes());
        out[80..82].copy_from_slice(&min_length.to_le_bytes());
        out[82..84].copy_from_slice(&24_u16.to_le_bytes());
        out[84..86].copy_from_slice(&threshold.to_le_bytes());
        out
    }

    /// `V` of the account database.
    pub fn database() -> Vec<u8> {
        // Offset and length (less 4) of the SID stand at 0x38; offsets count from 0x40.
        let mut out = vec![0_u8; 0x40];
        out[0x3c] = 0x14;
        out.extend([1, 4, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0]);
        MACHINE.iter().for_each(|part| out.extend(part.to_le_bytes()));
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_account_is_read() {
        let (fixed, variable) =
            made::user("経理　太郎", 1_001, NORMAL, made::ticks("2026-11-20T01:02:03Z"), 56);
        let user = user(&fixed, &variable).unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.rid, user.disabled), ("経理　太郎", 1_001, false));
        assert_eq!(user.has_password, Some(true));
        assert_eq!(user.expires_at, None);
        assert_eq!(user.last_logon.unwrap().to_string(), "2026-11-20T01:02:03Z");
        assert_eq!(user.password_changed_at.unwrap().to_string(), "2026-04-01T00:00:00Z");
    }

    #[test]
    fn a_header_alone_is_no_password() {
        let stored = |version: u8, length: usize| {
            let (_, mut variable) = made::user("x", 1, NORMAL, 0, length);
            // Behind the descriptor (8) and the name (2).
            if length > 2 {
                variable[V_DATA + 10 + 2] = version;
            }
            has_password(&variable)
        };
        assert_eq!(stored(1, 4), Some(false));
        assert_eq!(stored(1, 20), Some(true));
        assert_eq!(stored(2, 24), Some(false));
        assert_eq!(stored(2, 56), Some(true));
        assert_eq!(stored(2, 0), Some(false));
        assert_eq!(stored(9, 56), None, "another form is not guessed at");
    }

    #[test]
    fn machine_accounts_are_nobody() {
        let (fixed, variable) = made::user("PC$", 1_002, 0x80, 0, 56);
        assert_eq!(user(&fixed, &variable), Some(None));
    }

    #[test]
    fn rules_are_read_and_never_is_no_number() {
        let mut fixed = made::rules(8, 10, 9);
        let rules = password_rules(&fixed).unwrap();
        assert_eq!((rules.min_length, rules.history, rules.lockout_threshold), (8, 24, 10));
        assert_eq!(rules.max_age_s, Some(42 * 86_400));
        assert_eq!((rules.lockout_duration_s, rules.lockout_window_s), (Some(600), 900));
        assert_eq!(rules.properties, Some(9));
        fixed[24..32].copy_from_slice(&i64::MIN.to_le_bytes());
        fixed[48..56].copy_from_slice(&i64::MIN.to_le_bytes());
        let rules = password_rules(&fixed).unwrap();
        assert_eq!((rules.max_age_s, rules.lockout_duration_s), (None, None));
    }

    #[test]
    fn members_are_sids_and_a_cut_list_is_none() {
        let group = made::group("管理者", &[made::sid(made::MACHINE, 500), made::sid([1, 2, 3], 512)]);
        let found = members(&group).unwrap();
        assert_eq!(found, [format!("{}-500", made::MACHINE_SID), "S-1-5-21-1-2-3-512".into()]);
        for end in 0..group.len() {
            assert_eq!(members(&group[..end]), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(a: Vec<u8>, b in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = (user(&b, &a), user(&b, &b), members(&b), password_rules(&b), machine_sid(&a));
        }
    }
}
