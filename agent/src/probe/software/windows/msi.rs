//! Windows Installer products, from what the installer keeps by itself. A product whose uninstall entry tells of
//! it is listed there already (its key is named by the product code); the others have removed their entry, never
//! made one, or made one without a name or as a part of another.

use std::collections::BTreeSet;

use tenken_shared::fact::software::SoftwareItem;

use super::super::parse_windows::unpack_product_code;
use super::uninstall::{MACHINE, installed, told_codes};
use super::{Context, Part, Read, each, item, of_user, part, text};
use crate::sys::{RegistryKey, SysError};

const USER_DATA: &str = "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Installer\\UserData";
/// The account products of the machine are kept under.
const MACHINE_SID: &str = "S-1-5-18";
const USER_UNINSTALL: &str = "Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall";

pub(super) fn collect(context: &Context<'_>) -> Vec<Part> {
    let owners = match context.sys.registry(USER_DATA) {
        Ok(Some(key)) => key.subkeys().map(|sids| (key, sids)),
        Ok(None) => return vec![part(&format!("msi:{USER_DATA}"), Ok(None))],
        Err(error) => Err(error),
    };
    match owners {
        Ok((key, sids)) => sids.iter().take(1_000).map(|sid| of_owner(context, &key, sid)).collect(),
        Err(error) => vec![part(&format!("msi:{USER_DATA}"), Err(error))],
    }
}

fn of_owner(context: &Context<'_>, data: &RegistryKey, sid: &str) -> Part {
    let source = format!("msi:{USER_DATA}\\{sid}\\Products");
    let read = listed(context, sid).and_then(|listed| {
        let Some(products) = data.open(&format!("{sid}\\Products"))? else { return Ok(None) };
        let mut read = each(&products, |packed, key| product(context, packed, key, &listed))?;
        if let Some(user) = context.users.iter().find(|u| u.sid.eq_ignore_ascii_case(sid)) {
            read.items = read.items.into_iter().map(|i| of_user(i, user)).collect();
        } else if sid != MACHINE_SID {
            let of_sid = |i: SoftwareItem| SoftwareItem { scope: "user".into(), user: Some(sid.into()), ..i };
            read.items = read.items.into_iter().map(of_sid).collect();
        }
        Ok(Some(read))
    });
    part(&source, read.map(|r| r.or_else(|| Some(Read::default()))))
}

/// Product codes whose uninstall entry tells of them already, in upper case.
fn listed(context: &Context<'_>, sid: &str) -> Result<BTreeSet<String>, SysError> {
    let mut out = BTreeSet::new();
    let mut take = |key: Option<RegistryKey>| -> Result<(), SysError> {
        if let Some(key) = key {
            out.extend(told_codes(&key)?);
        }
        Ok(())
    };
    for (path, _) in MACHINE {
        take(context.sys.registry(path)?)?;
    }
    let user = context.users.iter().find(|u| u.sid.eq_ignore_ascii_case(sid));
    if let Some(Ok(hive)) = user.map(|u| &u.hive) {
        take(hive.open(USER_UNINSTALL)?)?;
    }
    Ok(out)
}

fn product(
    context: &Context<'_>,
    packed: &str,
    key: &RegistryKey,
    listed: &BTreeSet<String>,
) -> Result<Option<SoftwareItem>, SysError> {
    let Some(code) = unpack_product_code(packed) else { return Ok(None) };
    if listed.contains(&code) {
        return Ok(None);
    }
    let Some(properties) = key.open("InstallProperties")? else { return Ok(None) };
    let Some(name) = text(&properties, "DisplayName")? else { return Ok(None) };
    Ok(Some(SoftwareItem {
        vendor: text(&properties, "Publisher")?,
        installed_at: installed(context, &properties)?,
        ..item("msi", name, text(&properties, "DisplayVersion")?.unwrap_or_default())
    }))
}
