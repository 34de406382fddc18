//! The host of a Wine run at its collector: judged on all four items, with nothing passed that Wine cannot
//! know.

use anyhow::{Result, ensure};
use e2e::judged::{Expected, Judged};
use e2e::process::wait_for;
use e2e::program::{Collector, json};
use e2e::wine::Wine;

const EXPECTED: [Expected; 12] = [
    ("inventory.client_known", "unknown", "maker_unknown", Some(("hardware", "/maker", "null"))),
    ("inventory.configuration_known", "unknown", "fact_absent", None),
    ("inventory.software_known", "unknown", "none_found", Some(("software", "/items/length", "0"))),
    ("patch.automatic_update", "unknown", "setting_unknown", Some(("update_settings", "/automatic", "null"))),
    ("patch.applied_in_time", "unknown", "fact_failed", Some(("updates", "/reason/code", "not_implemented"))),
    ("patch.restart_not_pending", "unknown", "setting_unknown", Some(("restart", "/pending", "null"))),
    ("patch.metadata_fresh", "unknown", "fact_failed", None),
    ("patch.history_recorded", "unknown", "fact_partial", None),
    ("backup.declared_targets_met", "unknown", "fact_partial", None),
    ("media.autorun_disabled", "fail", "on", Some(("autorun", "/active", "true"))),
    ("media.ledger_known", "unknown", "fact_partial", None),
    ("malware.protection_present", "unknown", "fact_partial", None),
];
/// Every criterion of the four items that machines answer, and auto-run. Whether the made version is still
/// supported (4-4-4-1) depends on the day.
const STATES: [(&str, &str); 11] = [
    ("3-1-1-1", "unknown"),
    ("3-1-1-2", "not_applicable"),
    ("3-1-1-4", "unknown"),
    ("3-1-1-6", "unknown"),
    ("4-4-4-2", "unknown"),
    ("4-3-4-1", "unknown"),
    ("4-3-4-2", "unknown"),
    ("4-1-9-1", "unknown"),
    ("4-1-9-2", "unknown"),
    ("4-1-9-3", "unknown"),
    ("4-4-1-2", "not_met"),
];

pub(super) fn nothing_passes_that_wine_cannot_know(
    wine: &Wine,
    collector: &Collector,
    host: &str,
) -> Result<()> {
    let judged = wait_for("the host to be judged", || {
        let judged = Judged::read(&collector.json(&["criteria", "--host", host])?)?;
        Ok((judged.state("4-4-1-2") != "unknown").then_some(judged))
    })?;
    judged.expect(&EXPECTED, &STATES)?;
    ensure!(judged.state("4-4-4-1") != "met", "automatic update is not known");
    let inventory = json(wine.ours("tenken-agent").args(["inventory", "--format", "json"]))?;
    judged.passes_only_on_known_facts(&inventory)
}
