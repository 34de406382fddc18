//! OneDrive known-folder move ("PC folder backup"): synchronisation, never a backup. What is deleted or
//! encrypted here is deleted or encrypted there.
//!
//! `Software\Microsoft\OneDrive\Accounts\<account>`: `KfmFoldersProtectedNow` is a set of bits whose
//! meaning differs between versions, so only "not zero" counts, and the folders themselves say what is true:
//! `User Shell Folders` that lie in the account's `UserFolder`. `LastKnownFolderBackupTime` (Unix seconds) is when
//! OneDrive last took folders in; that all of their content arrived is not said anywhere, so it is an attempt and no
//! success. The policy `KFMSilentOptIn` orders it: an account under it that holds no folders is listed as not in
//! force.

use jiff::Timestamp;
use tenken_shared::fact::backups::BackupJob;

use super::{Found, Machine};
use crate::probe::windows::{key, text};
use crate::sys::{RegistryKey, SysError, UserHive};

const ACCOUNTS: &str = r"Software\Microsoft\OneDrive\Accounts";
const POLICY: &str = r"HKLM\SOFTWARE\Policies\Microsoft\OneDrive";
const FOLDERS: &str = r"Software\Microsoft\Windows\CurrentVersion\Explorer\User Shell Folders";
/// Desktop, documents, pictures; in the names of newer systems too.
const KNOWN: [&str; 5] = [
    "Desktop",
    "Personal",
    "My Pictures",
    "{F42EE2D3-909F-4907-8871-4C22FC0BF756}",
    "{0DDD015D-B06C-45D5-8C4C-F59713854639}",
];

/// One entry per user and account that holds known folders, or should.
pub(super) fn read(machine: &mut Machine<'_>) {
    let mut found = vec![];
    let policy = key(machine.sys, POLICY, &mut machine.sources);
    let ordered = policy.and_then(|key| text(&key, "KFMSilentOptIn", &mut machine.sources)).is_some();
    let now = machine.sys.now();
    for user in &machine.users {
        let Ok(hive) = &user.hive else { continue };
        match of_user(hive, user, ordered, now) {
            Ok(jobs) => {
                machine.sources.known(format!("onedrive:{}", hive.path()), jobs.len());
                found.extend(jobs);
            }
            Err(error) => machine.sources.error(format!("onedrive:{}", hive.path()), &error),
        }
    }
    machine.found.extend(found);
}

fn of_user(
    hive: &RegistryKey,
    user: &UserHive,
    ordered: bool,
    now: Timestamp,
) -> Result<Vec<Found>, SysError> {
    let Some(accounts) = hive.open(ACCOUNTS)? else { return Ok(vec![]) };
    let moved = hive.open(FOLDERS)?.map(|key| shell_folders(&key, user)).unwrap_or_default();
    let mut out = vec![];
    for account in accounts.children()? {
        let protected = account.number("KfmFoldersProtectedNow").ok().flatten().is_some_and(|bits| bits != 0);
        let folder = account.string("UserFolder")?.filter(|folder| folder.len() > 3);
        let inside = folder.as_ref().is_some_and(|folder| moved.iter().any(|path| lies_in(path, folder)));
        // The policy is for accounts of organisations.
        let ordered = ordered && folder.is_some() && account.name().starts_with("Business");
        if !protected && !inside && !ordered {
            continue;
        }
        let taken_in = account.number("LastKnownFolderBackupTime").ok().flatten().filter(|at| *at != 0);
        let taken_in = taken_in.and_then(|at| Timestamp::from_second(i64::try_from(at).ok()?).ok());
        let who = user.user.as_deref().unwrap_or(&user.sid);
        let job = BackupJob {
            product: "onedrive".into(),
            name: format!("{who}/{}", account.name()),
            role: "sync".into(),
            destination: Some("OneDrive".into()),
            destination_class: Some("sync".into()),
            scheduled: if protected && !inside { None } else { Some(inside) },
            evidence: "configuration".into(),
            ..BackupJob::default()
        };
        out.push(Found { job, last_attempt: taken_in.filter(|at| *at <= now), ..Found::default() });
    }
    Ok(out)
}

fn shell_folders(key: &RegistryKey, user: &UserHive) -> Vec<String> {
    let home = user.profile.as_deref().unwrap_or("%USERPROFILE%");
    let path = |name: &&str| key.string(name).ok().flatten();
    KNOWN.iter().filter_map(path).map(|path| expand(&path, home)).collect()
}

fn expand(path: &str, home: &str) -> String {
    let start = "%USERPROFILE%";
    match path.get(..start.len()).filter(|part| part.eq_ignore_ascii_case(start)) {
        Some(_) => format!("{home}{}", &path[start.len()..]),
        None => path.to_owned(),
    }
}

fn lies_in(path: &str, folder: &str) -> bool {
    let (path, folder) = (path.to_lowercase(), folder.trim_end_matches('\\').to_lowercase());
    path.strip_prefix(&folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
}
