//! The list of targets.

mod account;
mod apt;
mod backup;
mod collector;
mod event_log;
mod history;
mod kept;
mod machine;
mod package;
mod posture;
mod windows;
mod wire;

use crate::Target;

/// Every target, by subject.
const GROUPS: &[&[Target]] = &[
    wire::TARGETS,
    collector::TARGETS,
    package::TARGETS,
    apt::TARGETS,
    history::TARGETS,
    machine::TARGETS,
    account::TARGETS,
    backup::TARGETS,
    posture::TARGETS,
    windows::TARGETS,
    event_log::TARGETS,
    kept::TARGETS,
];

/// Every target.
pub fn all() -> impl Iterator<Item = &'static Target> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// Runs `read` over the input as text, damage replaced as the probes do.
fn text(data: &[u8], read: impl FnOnce(&str)) {
    read(&String::from_utf8_lossy(data));
}
