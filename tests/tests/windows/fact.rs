//! What the running agent says of each kind under Wine: as the page has it, and never clean where Wine cannot
//! know.

use anyhow::{Context as _, Result, ensure};
use e2e::program::json;
use e2e::windows_page::{Place, agrees};
use e2e::wine::Wine;
use serde_json::Value;

/// Sources that Wine lacks behind facts that have others, and the only status they may have.
const LACKING: [(&str, &str, &str, &str); 12] = [
    ("update_history", "windows_update:history", "failed", "not_implemented"),
    ("update_history", "event_log:System/Microsoft-Windows-WindowsUpdateClient", "failed", "event_log_error"),
    ("backups", "event_log:Microsoft-Windows-Backup", "failed", "event_log_error"),
    ("backups", "event_log:Veeam Agent", "failed", "event_log_error"),
    ("removable_devices", "Microsoft-Windows-Partition/Diagnostic", "failed", "event_log_error"),
    ("removable_devices", "Microsoft-Windows-Kernel-PnP/Configuration", "failed", "event_log_error"),
    ("removable_devices", r"HKLM\SYSTEM\CurrentControlSet\Enum\USBSTOR", "absent", "not_present"),
    ("removable_devices", r"HKLM\SYSTEM\CurrentControlSet\Enum\USB", "absent", "not_present"),
    ("volumes", "Win32_EncryptableVolume", "partial", "no_such_wmi_class"),
    ("malware_protection", r"root\SecurityCenter2 AntiVirusProduct", "partial", "no_such_wmi_class"),
    ("firewall", r"root\SecurityCenter2 FirewallProduct", "partial", "no_such_wmi_class"),
    (
        "software",
        r"appx:HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore",
        "absent",
        "not_present",
    ),
];

pub(super) fn statuses_are_as_the_page_says(wine: &Wine) -> Result<()> {
    let inventory = json(wine.ours("tenken-agent").args(["inventory", "--format", "json"]))?;
    agrees(&inventory, Place::Wine)?;
    for (kind, source, status, code) in LACKING {
        let found = fact(&inventory, kind)?["body"]["sources"].as_array().cloned().unwrap_or_default();
        let found = found.iter().find(|state| state["source"] == source);
        let found = found.with_context(|| format!("{kind} says nothing of {source}"))?;
        ensure!(found["status"] == status && found["reason"]["code"] == code, "{kind}: {found}");
    }
    never_clean(&inventory)
}

/// Whatever the page says: these Wine cannot know, so none of them may read as "all is well".
fn never_clean(inventory: &Value) -> Result<()> {
    for kind in ["updates", "malware_protection", "firewall", "backups", "removable_devices", "accounts"] {
        let fact = fact(inventory, kind)?;
        ensure!(fact["status"] != "known" && fact["reason"]["code"].is_string(), "{fact}");
    }
    let body = |kind: &str| fact(inventory, kind).map(|fact| fact["body"].clone());
    ensure!(body("restart")?["pending"].is_null(), "servicing is not there, so nobody knows");
    ensure!(body("updates")?.is_null(), "a search that failed lists nothing");
    ensure!(body("firewall")?["active"] != true);
    let products = body("malware_protection")?["products"].as_array().cloned().unwrap_or_default();
    ensure!(products.iter().all(|product| product["running"] != true), "{products:?}");
    Ok(())
}

fn fact<'a>(inventory: &'a Value, kind: &str) -> Result<&'a Value> {
    let facts = inventory["facts"].as_array().context("no facts")?;
    facts.iter().find(|fact| fact["kind"] == kind).with_context(|| format!("no {kind}"))
}
