//! The list of targets.

pub mod account;
pub mod apt;
pub mod backup;
pub mod collector;
pub mod event_log;
pub mod history;
pub mod kept;
pub mod machine;
pub mod package;
pub mod posture;
pub mod windows;
pub mod wire;

use crate::Target;

/// A subject: the name of its program and its targets.
pub type Group = (&'static str, &'static [Target]);

/// Every target, by subject; the slowest first, so that none runs on alone at the end.
pub const GROUPS: &[Group] = &[
    ("event_log", event_log::TARGETS),
    ("wire", wire::TARGETS),
    ("collector", collector::TARGETS),
    ("package", package::TARGETS),
    ("apt", apt::TARGETS),
    ("history", history::TARGETS),
    ("machine", machine::TARGETS),
    ("account", account::TARGETS),
    ("backup", backup::TARGETS),
    ("posture", posture::TARGETS),
    ("windows", windows::TARGETS),
    ("kept", kept::TARGETS),
];

/// Every target.
pub fn all() -> impl Iterator<Item = &'static Target> {
    GROUPS.iter().flat_map(|(_, targets)| targets.iter())
}

/// Runs `read` over the input as text, damage replaced as the probes do.
fn text(data: &[u8], read: impl FnOnce(&str)) {
    read(&String::from_utf8_lossy(data));
}
