//! Controls: rules with stable ids, pure functions of what they are handed. [`ALL`] is the only list.
//!
//! One file per control: `<family>/<name>.rs`. A rule asks for its facts through `rule::Rule`, which
//! makes anything less than a known fact `unknown`, and collects evidence and the end of validity.

mod account;
mod backup;
pub mod date;
#[cfg(test)]
mod fixture;
mod history;
mod inventory;
mod malware;
mod media;
mod network;
pub mod patch;
pub(crate) mod rule;
mod sentence;
mod software;
mod volume;

pub use history::{HISTORY_KINDS, History, Replaced, Sighting, job_key, update_key};

use jiff::Timestamp;

use crate::catalog::Catalog;
use crate::fact::FactKind;
use crate::finding::{Message, Severity, Verdict};
use crate::inventory::Inventory;
use crate::policy::Policy;
use crate::text::{Lang, Text};

/// Everything a control may look at. No store, no clock, no network.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Current facts of the host.
    pub inventory: &'a Inventory,
    /// What was seen before.
    pub history: &'a History,
    /// The organisation's policy.
    pub policy: &'a Policy,
    /// Dated outside facts.
    pub catalog: &'a Catalog,
    /// The moment to judge for.
    pub now: Timestamp,
    /// Host name and group, to match targets of the policy.
    pub host: HostLabel<'a>,
}

/// How policy entries may name the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostLabel<'a> {
    /// Host id.
    pub id: &'a str,
    /// Host name.
    pub name: &'a str,
    /// Group, where it has one.
    pub group: Option<&'a str>,
}

/// A rule with a stable id.
#[derive(Debug)]
pub struct Control {
    /// `area.subject`; never reused.
    pub id: &'static str,
    /// Grows when the rule changes.
    pub version: u32,
    /// Criteria (x-x-x-x) it serves.
    pub criteria: &'static [&'static str],
    /// Title.
    pub title: Text,
    /// How much a failure matters.
    pub severity: Severity,
    /// OS families it applies to; empty is all.
    pub families: &'static [&'static str],
    /// Facts it looks at.
    pub facts: &'static [FactKind],
    /// What to do when it fails.
    pub remediation: Text,
    /// Sentences by message code.
    pub messages: &'static [(&'static str, Text)],
    /// The rule.
    pub evaluate: fn(&Context<'_>) -> Verdict,
}

impl Control {
    /// Whether its outcome may rest on what earlier inventories showed.
    #[must_use]
    pub fn uses_history(&self) -> bool {
        self.facts.iter().any(|kind| HISTORY_KINDS.contains(kind))
    }

    /// Renders a message of this control; a code it does not know is shown as it is.
    #[must_use]
    pub fn sentence(&self, message: &Message, lang: Lang) -> String {
        sentence::render(self.messages, message, lang)
    }
}

/// Judges one host by every control, in the order of [`ALL`].
#[must_use]
pub fn judge(ctx: &Context<'_>) -> Vec<(&'static Control, Verdict)> {
    ALL.iter().map(|control| (*control, (control.evaluate)(ctx))).collect()
}

/// Every control. The only list.
pub static ALL: &[&Control] = &[
    &inventory::client_known::CONTROL,
    &inventory::server_known::CONTROL,
    &inventory::software_known::CONTROL,
    &inventory::configuration_known::CONTROL,
    &inventory::information_current::CONTROL,
    &patch::supported_os::CONTROL,
    &patch::automatic_update::CONTROL,
    &patch::applied_in_time::CONTROL,
    &patch::restart_not_pending::CONTROL,
    &patch::metadata_fresh::CONTROL,
    &patch::history_recorded::CONTROL,
    &backup::declared_targets_met::CONTROL,
    &backup::remote_copy::CONTROL,
    &media::autorun_disabled::CONTROL,
    &media::restriction_in_force::CONTROL,
    &media::only_permitted_used::CONTROL,
    &media::ledger_known::CONTROL,
    &volume::encrypted::CONTROL,
    &software::only_permitted::CONTROL,
    &software::supported::CONTROL,
    &account::administrators_known::CONTROL,
    &account::default_ids_stopped::CONTROL,
    &account::lockout::CONTROL,
    &account::minimum_length::CONTROL,
    &account::password_rule::CONTROL,
    &malware::protection_present::CONTROL,
    &malware::scans_run::CONTROL,
    &malware::signatures_current::CONTROL,
    &malware::real_time::CONTROL,
    &network::firewall_active::CONTROL,
    &network::unneeded_services_off::CONTROL,
];

/// Names the rules and built-in data this program judges by: another print, another judgement.
#[must_use]
pub fn print() -> String {
    let controls: Vec<_> = ALL.iter().map(|c| format!("{}:{}", c.id, c.version)).collect();
    let data = Catalog::embedded();
    let text = format!("{} {} {}", controls.join(" "), data.support.version, data.builds.version);
    crate::ids::Digest::of(text.as_bytes()).to_string()
}

/// A control by id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Control> {
    ALL.iter().copied().find(|c| c.id == id)
}

#[cfg(test)]
mod tests;
