//! Uninstall entries: the list of installed programs, of the machine in both views and of each user.

use tenken_shared::collected::{Reason, SourceState};
use tenken_shared::fact::software::SoftwareItem;
use tenken_shared::fact::updates::HistoryEntry;

use super::super::parse_windows::{EntryKind, entry_kind, install_date, is_product_code, kb_number};
use super::{Context, Part, each, item, of_user, part, text};
use crate::probe::package::settle;
use crate::sys::{RegistryKey, RegistryValue, Sys, SysError};

pub(super) const MACHINE: [(&str, bool); 2] = [
    ("HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall", false),
    ("HKLM\\SOFTWARE\\WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall", true),
];
const USER: [&str; 2] = [
    "Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "Software\\WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
];

pub(super) fn collect(context: &Context<'_>) -> Vec<Part> {
    let mut out = vec![];
    for (path, narrow) in MACHINE {
        let arch = if narrow { Some("x86") } else { context.native };
        let read = context.sys.registry(path).and_then(|key| {
            key.map(|key| each(&key, |name, key| title(context, name, key, arch))).transpose()
        });
        let source = format!("uninstall:{path}");
        out.push(match read {
            // Every Windows has this key: without it the hive is another one, or damaged.
            Ok(None) if !narrow => {
                let reason = Reason::with("not_present", path);
                (vec![], settle::partial(source, 0, reason))
            }
            read => part(&source, read),
        });
    }
    for user in &context.users {
        out.extend(of_hive(context, user));
    }
    out
}

fn of_hive(context: &Context<'_>, user: &crate::sys::UserHive) -> Vec<Part> {
    let source = |path: &str| format!("uninstall:HKU\\{}\\{path}", user.sid);
    let hive = match &user.hive {
        Ok(hive) => hive,
        Err(error) => return vec![(vec![], settle::gap(source(USER[0]), error))],
    };
    let read = |path: &&str| {
        let found = hive.open(path).and_then(|key| {
            key.map(|key| {
                each(&key, |name, key| Ok(title(context, name, key, None)?.map(|i| of_user(i, user))))
            })
            .transpose()
        });
        part(&source(path), found)
    };
    USER.iter().map(read).collect()
}

fn kind(name: &str, key: &RegistryKey) -> Result<(EntryKind, Option<String>), SysError> {
    let display = text(key, "DisplayName")?;
    let system = matches!(key.number("SystemComponent"), Ok(Some(1)));
    let (parent, release) = (text(key, "ParentKeyName")?, text(key, "ReleaseType")?);
    Ok((entry_kind(name, display.as_deref(), system, parent.as_deref(), release.as_deref()), display))
}

/// Product codes under a key of uninstall entries that are told of by their entry, as a title or as an update of
/// the history, in upper case. An entry without a name, or one that is a part of another, tells of nothing.
pub(super) fn told_codes(key: &RegistryKey) -> Result<Vec<String>, SysError> {
    let mut out = vec![];
    for name in key.subkeys()?.into_iter().filter(|name| is_product_code(name)) {
        // One that cannot be read gave none.
        let read = key.open(&name).and_then(|entry| entry.map(|entry| kind(&name, &entry)).transpose());
        if matches!(read, Ok(Some((EntryKind::Title | EntryKind::Hidden | EntryKind::Update, Some(_))))) {
            out.push(name.to_ascii_uppercase());
        }
    }
    Ok(out)
}

fn title(
    context: &Context<'_>,
    name: &str,
    key: &RegistryKey,
    arch: Option<&str>,
) -> Result<Option<SoftwareItem>, SysError> {
    let (kind, display) = kind(name, key)?;
    let Some(display) = display else { return Ok(None) };
    let source = match kind {
        EntryKind::Hidden => "component",
        EntryKind::Title if is_product_code(name) && is_msi(key) => "msi",
        EntryKind::Title => "uninstall",
        EntryKind::Update | EntryKind::Part => return Ok(None),
    };
    Ok(Some(SoftwareItem {
        arch: arch.map(str::to_owned),
        vendor: text(key, "Publisher")?,
        installed_at: installed(context, key)?,
        ..item(source, display, text(key, "DisplayVersion")?.unwrap_or_default())
    }))
}

fn is_msi(key: &RegistryKey) -> bool {
    matches!(key.number("WindowsInstaller"), Ok(Some(1)))
}

/// `InstallDate` as text, or as a number: that of the day, or of seconds since 1970.
pub(super) fn installed(
    context: &Context<'_>,
    key: &RegistryKey,
) -> Result<Option<jiff::Timestamp>, SysError> {
    let date = match key.value("InstallDate")? {
        Some(RegistryValue::String(text)) => text,
        Some(RegistryValue::Number(number)) => number.to_string(),
        _ => return Ok(None),
    };
    Ok(install_date(&date, &context.zone))
}

/// Updates among the uninstall entries of the machine (Office and .NET keep theirs here), for the history,
/// each with the state of its list.
pub(crate) fn update_entries(sys: &Sys) -> Vec<(Vec<HistoryEntry>, SourceState)> {
    let zone = sys.time_zone().unwrap_or(jiff::tz::TimeZone::UTC);
    let context = Context { sys, zone, native: None, users: vec![] };
    MACHINE.iter().map(|(path, _)| updates_in(&context, path)).collect()
}

fn updates_in(context: &Context<'_>, path: &str) -> (Vec<HistoryEntry>, SourceState) {
    let source = format!("uninstall:{path}");
    let mut found = vec![];
    let read = context.sys.registry(path).and_then(|key| {
        let Some(key) = key else { return Ok(None) };
        each(&key, |name, key| {
            let (kind, display) = kind(name, key)?;
            if kind == EntryKind::Update {
                let id = kb_number(name).or_else(|| display.as_deref().and_then(kb_number));
                found.push(HistoryEntry {
                    id,
                    title: display,
                    version: text(key, "DisplayVersion")?,
                    operation: "install".into(),
                    result: "succeeded".into(),
                    at: installed(context, key)?,
                    ..HistoryEntry::default()
                });
            }
            Ok(None)
        })
        .map(Some)
    });
    let (_, mut state) = part(&source, read);
    state.count = found.len() as u64;
    (found, state)
}
