//! Chrome, Edge and Firefox, from what they and their updaters keep: the version that runs next, also where
//! the uninstall entry has fallen behind, for the machine and for each user's own copy.

use tenken_shared::fact::software::SoftwareItem;

use super::{Context, Part, Read, item, of_user, part, text};
use crate::probe::package::settle;
use crate::sys::{RegistryKey, SysError};

struct Browser {
    name: &'static str,
    vendor: &'static str,
    /// Below `SOFTWARE` or `SOFTWARE\WOW6432Node`.
    key: &'static str,
    value: &'static str,
}

const BROWSERS: [Browser; 3] = [
    Browser {
        name: "Google Chrome",
        vendor: "Google LLC",
        key: "Google\\Update\\Clients\\{8A69D345-D564-463C-AFF1-A69D9E530F96}",
        value: "pv",
    },
    Browser {
        name: "Microsoft Edge",
        vendor: "Microsoft Corporation",
        key: "Microsoft\\EdgeUpdate\\Clients\\{56EB18F8-B008-4CBD-B6D2-8C97FE7E9062}",
        value: "pv",
    },
    Browser {
        name: "Mozilla Firefox",
        vendor: "Mozilla",
        key: "Mozilla\\Mozilla Firefox",
        value: "CurrentVersion",
    },
];

pub(super) fn collect(context: &Context<'_>) -> Vec<Part> {
    let mut out = vec![];
    for (view, narrow) in [("HKLM\\SOFTWARE", false), ("HKLM\\SOFTWARE\\WOW6432Node", true)] {
        let arch = if narrow { Some("x86") } else { context.native };
        let read = || -> Result<Read, SysError> {
            let mut read = Read::default();
            for browser in &BROWSERS {
                let key = context.sys.registry(&format!("{view}\\{}", browser.key))?;
                read.items.extend(of_key(browser, key, arch)?);
            }
            Ok(read)
        };
        out.push(part(&format!("browser:{view}"), read().map(Some)));
    }
    for user in &context.users {
        let source = format!("browser:HKU\\{}\\Software", user.sid);
        let hive = match &user.hive {
            Ok(hive) => hive,
            Err(error) => {
                out.push((vec![], settle::gap(source, error)));
                continue;
            }
        };
        let read = || -> Result<Read, SysError> {
            let mut read = Read::default();
            for browser in &BROWSERS {
                let key = hive.open(&format!("Software\\{}", browser.key))?;
                read.items.extend(of_key(browser, key, None)?.map(|i| of_user(i, user)));
            }
            Ok(read)
        };
        out.push(part(&source, read().map(Some)));
    }
    out
}

fn of_key(
    browser: &Browser,
    key: Option<RegistryKey>,
    arch: Option<&str>,
) -> Result<Option<SoftwareItem>, SysError> {
    let Some(key) = key else { return Ok(None) };
    let Some(version) = text(&key, browser.value)? else { return Ok(None) };
    // Firefox writes `131.0 (x64 ja)`.
    let (version, note) = version.split_once(' ').unwrap_or((version.as_str(), ""));
    let told = note.trim_start_matches('(').split(' ').next().and_then(super::parse_windows::arch);
    Ok(Some(SoftwareItem {
        // The updaters are 32-bit and keep their records in that view, whatever the browser is.
        arch: told.or(arch.filter(|_| browser.value != "pv")).map(str::to_owned),
        vendor: Some(browser.vendor.to_owned()),
        ..item("browser", browser.name.to_owned(), version.to_owned())
    }))
}
