//! Hives of the people who use a machine: loaded ones, and `NTUSER.DAT` of those who are logged off.

use std::collections::BTreeSet;

use super::{RegistryKey, SysError, hive_missing, is_elsewhere};
use crate::sys::{FileKind, Sys};

/// Where Windows lists the profiles by SID.
const PROFILES: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList";
/// Folders of profiles, where no list names them.
const HOMES: [&str; 2] = ["/Users", "/Documents and Settings"];
/// Profiles of nobody.
const NOBODY: [&str; 4] = ["All Users", "Default", "Default User", "Public"];

/// One user's part of the registry.
#[derive(Debug)]
pub struct UserHive {
    /// Security id; empty where only the folder of the profile is known.
    pub sid: String,
    /// Name of the profile's folder, which is the name the account had at first log-on.
    pub user: Option<String>,
    /// Folder of the profile as Windows names it (`C:\...`).
    pub profile: Option<String>,
    /// The root of the hive, or why it could not be read; `Absent` where the profile was removed and only its entry
    /// in the list is left ([`Self::is_gone`]).
    pub hive: Result<RegistryKey, SysError>,
}

impl UserHive {
    /// Whether nothing is left of the profile: its user has no settings on this machine, which is no gap.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.hive, Err(SysError::Absent { .. }))
    }
}

impl Sys {
    /// Every user's hive: the loaded one (`HKU\<SID>`), else `NTUSER.DAT` of the profile. A hive that could not
    /// be read is in the list with its error.
    /// Source: `ProfileList`; under a root folder without it the folders of `/Users`, and registry exports, where
    /// one more entry says that there may be others.
    /// Privilege: administrator for the hives of others.
    pub fn user_hives(&self) -> Result<Vec<UserHive>, SysError> {
        match self.registry(PROFILES) {
            Ok(Some(list)) => self.listed_users(&list),
            Ok(None) => Err(SysError::Absent { what: PROFILES.into() }),
            Err(error) if is_elsewhere(&error) => self.users_without_list(error),
            Err(error) => Err(error),
        }
    }

    fn users_without_list(&self, error: SysError) -> Result<Vec<UserHive>, SysError> {
        let mut out = self.users_by_folder()?;
        if self.has_exports() {
            out.extend(self.exported_people()?);
            out.push(UserHive { sid: String::new(), user: None, profile: None, hive: Err(error) });
        }
        Ok(out)
    }

    /// People whose hives were exported, and who exported his own, whose SID is not known.
    fn exported_people(&self) -> Result<Vec<UserHive>, SysError> {
        let mut out = vec![];
        for sid in self.exported_users()?.into_iter().filter(|sid| is_person(sid)) {
            if let Some(key) = self.exported(&format!("HKU\\{sid}"))? {
                out.push(UserHive { sid, user: None, profile: None, hive: Ok(key) });
            }
        }
        if let Some(key) = self.exported("HKCU")? {
            let user = Some("HKEY_CURRENT_USER".into());
            out.push(UserHive { sid: String::new(), user, profile: None, hive: Ok(key) });
        }
        Ok(out)
    }

    fn listed_users(&self, list: &RegistryKey) -> Result<Vec<UserHive>, SysError> {
        let mut out: Vec<UserHive> = Vec::new();
        let mut profiles = BTreeSet::new();
        for key in list.children()? {
            // Windows renames the entry of a profile it could not load.
            let sid = key.name().strip_suffix(".bak").unwrap_or(key.name()).to_owned();
            if !is_person(&sid) {
                continue;
            }
            let profile = key.string("ProfileImagePath")?;
            if profile.as_ref().is_some_and(|profile| !profiles.insert(profile.to_lowercase())) {
                continue;
            }
            let user = profile.as_ref().and_then(|p| p.rsplit('\\').next()).map(str::to_owned);
            let hive = self.hive_of(&sid, profile.as_deref());
            out.push(UserHive { sid, user, profile, hive });
        }
        Ok(out)
    }

    fn hive_of(&self, sid: &str, profile: Option<&str>) -> Result<RegistryKey, SysError> {
        let name = format!("HKU\\{sid}");
        if self.is_live() {
            match self.registry(&name)? {
                Some(loaded) => return Ok(loaded),
                None => tracing::trace!(sid, "The hive is not loaded."),
            }
        }
        match self.hive_of_profile(&name, profile) {
            Err(error) if is_elsewhere(&error) => self.exported(&name)?.ok_or(error),
            found => found,
        }
    }

    fn hive_of_profile(&self, name: &str, profile: Option<&str>) -> Result<RegistryKey, SysError> {
        let profile = profile.ok_or_else(|| hive_missing(name))?;
        let folder = self.windows_path(profile)?;
        if self.is_removed(folder.trim_end_matches('/'))? {
            return Err(SysError::Absent { what: folder });
        }
        self.hive(&format!("{folder}/NTUSER.DAT"), name)
    }

    /// Whether the folder of a profile is surely gone. That is only known where the folder it lay in is there: a
    /// few hives saved from a machine, or a drive that is not mounted, prove nothing.
    fn is_removed(&self, folder: &str) -> Result<bool, SysError> {
        let Some((home, _)) = folder.rsplit_once('/').filter(|(home, _)| home.contains('/')) else {
            return Ok(false);
        };
        Ok(!self.exists(folder)? && self.exists(home)?)
    }

    fn users_by_folder(&self) -> Result<Vec<UserHive>, SysError> {
        let mut out = Vec::new();
        for home in HOMES {
            let entries = match self.list(home) {
                Ok(entries) => entries,
                Err(SysError::Absent { .. }) => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let file = format!("{home}/{}/NTUSER.DAT", entry.name);
                let skip = entry.kind != FileKind::Dir || NOBODY.contains(&entry.name.as_str());
                if skip || !self.exists(&file)? {
                    continue;
                }
                out.push(UserHive {
                    sid: String::new(),
                    profile: Some(format!("C:{}\\{}", home.replace('/', "\\"), entry.name)),
                    hive: self.hive(&file, &format!("HKU\\{}", entry.name)),
                    user: Some(entry.name),
                });
            }
        }
        Ok(out)
    }

    /// A key of one user's hive under a root folder.
    pub(super) fn key_of_user(&self, sid: &str, rest: &str) -> Result<Option<RegistryKey>, SysError> {
        let entry = self.registry(&format!("{PROFILES}\\{sid}"))?;
        let Some(entry) = entry else { return Ok(None) };
        let profile = entry.string("ProfileImagePath")?;
        self.hive_of(sid, profile.as_deref())?.open(rest)
    }
}

/// Whether a SID is a person's account: of this machine or a domain, or of Entra ID.
fn is_person(sid: &str) -> bool {
    (sid.starts_with("S-1-5-21-") || sid.starts_with("S-1-12-1-"))
        && sid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
