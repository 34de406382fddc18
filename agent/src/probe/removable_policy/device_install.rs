//! Device Installation Restrictions of Windows, as far as they concern USB storage.
//!
//! They act when a device is installed. Devices that were installed before go on working, unless the rule says
//! `Retroactive`: so what a rule is worth depends on which devices the machine knows already.

use tenken_shared::fact::removable::Restriction;

use super::windows::Context;
use crate::sys::{RegistryKey, RegistryValue, SysError};

pub(super) const KEY: &str = r"SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Restrictions";
const USB: &str = r"SYSTEM\CurrentControlSet\Enum\USB";
const AREAS: [&str; 2] = ["DeviceInstallation", "ADMX_DeviceInstallation"];
/// Ids that every USB mass-storage device has, UASP included.
const STORAGE_IDS: [&str; 2] = [r"usb\class_08", r"usb\class_08&subclass_06"];
/// Setup classes a USB storage device needs: USB devices, disk drives.
const STORAGE_CLASSES: [&str; 2] =
    ["{36fc9e60-c465-11cf-8056-444553540000}", "{4d36e967-e325-11ce-bfc1-08002be10318}"];
const MAX_LIST: usize = 10_000;

/// A USB storage device the machine knows, by all the ids a list may name it by, lower case.
struct Known {
    instance: String,
    ids: Vec<String>,
}

/// The settings of the key.
struct Rules {
    key: RegistryKey,
    known: Vec<Known>,
}

/// Reads them into `cx`.
pub(super) fn read(cx: &mut Context<'_>) -> Result<(), SysError> {
    let Some(key) = cx.key(KEY)? else { return Ok(()) };
    let rules = Rules { key, known: known(cx)? };
    let allowed_ids = rules.list("AllowDeviceIDs")?;
    let allowed_instances = rules.list("AllowInstanceIDs")?;
    let lists = allowed_ids.is_some() || allowed_instances.is_some();
    let exceptions = lists && rules.is_set("AllowDenyLayered")?;
    let admin = if rules.is_set("AllowAdminInstall")? { "; administrators may install" } else { "" };
    let note = |known: usize| match known {
        0 => String::new(),
        n => format!("; {n} USB storage devices known already go on working"),
    };

    if rules.is_set("DenyRemovableDevices")? {
        let reach = rules.known.len();
        rules.add(
            cx,
            "DenyRemovableDevices",
            effect(reach, exceptions),
            "all_removable",
            note(reach) + admin,
        )?;
    }
    for (value, hits) in [("DenyDeviceIDs", &STORAGE_IDS), ("DenyDeviceClasses", &STORAGE_CLASSES)] {
        let Some(list) = rules.list(value)? else { continue };
        let covers = list.iter().any(|entry| hits.contains(&entry.as_str()));
        let retroactive = rules.is_set(&format!("{value}Retroactive"))?;
        let reach = if retroactive { 0 } else { rules.known.len() };
        let (effect, target) =
            if covers { (effect(reach, exceptions), "usb_storage") } else { ("block", "listed_devices") };
        let detail = format!("; {} entries; retroactive: {retroactive}{}{admin}", list.len(), note(reach));
        rules.add(cx, value, effect, target, detail)?;
    }
    if rules.is_set("DenyUnspecified")? {
        let permitted = |device: &&Known| {
            let named =
                |list: &Option<Vec<String>>, id: &String| list.as_ref().is_some_and(|l| l.contains(id));
            named(&allowed_instances, &device.instance) || device.ids.iter().any(|id| named(&allowed_ids, id))
        };
        let others = rules.known.len() - rules.known.iter().filter(permitted).count();
        let effect = if others == 0 { "allow_list" } else { "allow_list_new" };
        let count = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
        let detail = format!(
            "; {} ids and {} instances allowed{}{admin}",
            count(&allowed_ids),
            count(&allowed_instances),
            note(others)
        );
        rules.add(cx, "DenyUnspecified", effect, "usb_storage", detail)?;
    }
    Ok(())
}

/// What a denial is worth: devices it does not reach go on working, and a layered allow list excepts some.
fn effect(unreached: usize, exceptions: bool) -> &'static str {
    match (unreached, exceptions) {
        (0, false) => "block",
        (0, true) => "allow_list",
        _ => "block_new",
    }
}

impl Rules {
    fn is_set(&self, value: &str) -> Result<bool, SysError> {
        Ok(self.key.number(value)? == Some(1))
    }

    /// The list under a switch, lower case; `None` where the switch is off.
    fn list(&self, value: &str) -> Result<Option<Vec<String>>, SysError> {
        if !self.is_set(value)? {
            return Ok(None);
        }
        let values = self.key.open(value)?.map(|k| k.values()).transpose()?.unwrap_or_default();
        let texts = values.into_iter().take(MAX_LIST).filter_map(|(_, value)| match value {
            RegistryValue::String(text) => Some(text.trim().to_lowercase()),
            _ => None,
        });
        Ok(Some(texts.collect()))
    }

    fn add(
        &self,
        cx: &mut Context<'_>,
        value: &str,
        effect: &str,
        target: &str,
        detail: String,
    ) -> Result<(), SysError> {
        // An administrator may install what the rule denies, so it holds for others only.
        let admin = self.is_set("AllowAdminInstall")?;
        let effect =
            if admin && matches!(effect, "block" | "allow_list") { "block_non_admin" } else { effect };
        let origin = cx.origins.of(KEY, value, &AREAS).to_owned();
        cx.add(Restriction {
            mechanism: format!("policy:{value}"),
            effect: effect.into(),
            target: target.into(),
            in_force: true,
            origin: Some(origin),
            setting: format!(r"HKLM\{KEY} {value}=1{detail}"),
        });
        Ok(())
    }
}

/// USB storage devices that were installed once.
fn known(cx: &Context<'_>) -> Result<Vec<Known>, SysError> {
    let mut out = Vec::new();
    let Some(root) = cx.key(USB)? else { return Ok(out) };
    for device in root.children()? {
        for instance in device.children()? {
            let service = instance.string("Service")?.unwrap_or_default().to_ascii_lowercase();
            if !matches!(service.as_str(), "usbstor" | "uaspstor") || out.len() >= MAX_LIST {
                continue;
            }
            let mut ids = Vec::new();
            for value in ["HardwareID", "CompatibleIDs"] {
                if let Some(RegistryValue::Strings(list)) = instance.value(value)? {
                    ids.extend(list.iter().map(|id| id.to_lowercase()));
                }
            }
            let path = format!(r"usb\{}\{}", device.name(), instance.name()).to_lowercase();
            out.push(Known { instance: path, ids });
        }
    }
    Ok(out)
}
