//! Office Click-to-Run: products, build and update channel (in `source_package`, as `channel:Current`).
//!
//! The channel decides how long a build gets security updates, which a name and version do not tell. Several
//! values may name it; the one that policy or the last change set comes first.

use tenken_shared::fact::software::SoftwareItem;

use super::super::parse_windows::{arch, office_channel};
use super::{Context, Part, Read, item, part, text};
use crate::sys::{RegistryKey, SysError};

const CONFIGURATION: [&str; 2] = [
    "HKLM\\SOFTWARE\\Microsoft\\Office\\ClickToRun\\Configuration",
    "HKLM\\SOFTWARE\\WOW6432Node\\Microsoft\\Office\\ClickToRun\\Configuration",
];
const CHANNEL: [&str; 3] = ["UpdateChannel", "AudienceId", "CDNBaseUrl"];

pub(super) fn collect(context: &Context<'_>) -> Part {
    let source = format!("click_to_run:{}", CONFIGURATION[0]);
    let mut found = None;
    for path in CONFIGURATION {
        match context.sys.registry(path) {
            Ok(Some(key)) => {
                found = Some(key);
                break;
            }
            Ok(None) => {}
            Err(error) => return part(&source, Err(error)),
        }
    }
    part(&source, found.map(|key| products(&key)).transpose())
}

fn products(key: &RegistryKey) -> Result<Read, SysError> {
    let version = text(key, "VersionToReport")?.unwrap_or_default();
    let arch = text(key, "Platform")?.as_deref().and_then(arch);
    let mut channel = None;
    for name in CHANNEL {
        channel = channel.or(text(key, name)?.as_deref().and_then(office_channel));
    }
    let ids = text(key, "ProductReleaseIds")?.unwrap_or_default();
    let items = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).take(100).map(|id| SoftwareItem {
        arch: arch.map(str::to_owned),
        vendor: Some("Microsoft Corporation".into()),
        source_package: channel.map(|name| format!("channel:{name}")),
        ..item("click_to_run", id.to_owned(), version.clone())
    });
    Ok(Read { items: items.collect(), ..Read::default() })
}
