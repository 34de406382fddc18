//! The event log of a Windows machine: the running one's channels, or the `.evtx` files under a root folder.
//! Both give XML of one schema, which is read here once.

mod file;
mod xml;

use jiff::Timestamp;

pub use file::events_in;
pub use xml::parse;

use super::{Family, Sys, SysError, live};

/// Most events of one query, whatever its limit.
pub(super) const MAX_EVENTS: usize = 100_000;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Channel (`System`, `Microsoft-Windows-Partition/Diagnostic`).
    pub channel: String,
    /// Provider; any where `None`.
    pub provider: Option<String>,
    /// Event ids; all where empty.
    pub ids: Vec<u32>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Most events given; the newest are kept.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// Newest first.
    pub events: Vec<Event>,
    /// Whether there were more than the limit.
    pub truncated: bool,
    /// Time of the oldest event of the channel, whatever was looked for: how far back the answer reaches.
    pub oldest: Option<Timestamp>,
    /// Chunks and records that could not be read: what they held is missing from the answer.
    pub damaged: usize,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Number within the channel.
    pub record: u64,
    /// Provider.
    pub provider: String,
    /// Event id, without qualifiers.
    pub id: u32,
    /// 1 critical, 2 error, 3 warning, 4 information, 0 always.
    pub level: u8,
    /// When, host clock.
    pub at: Timestamp,
    /// Computer it was logged on.
    pub computer: String,
    /// Account it was logged for.
    pub user_sid: Option<String>,
    /// `EventData` in order, with an empty name for what is only positional; the leaves of `UserData`.
    pub data: Vec<(String, String)>,
}

impl Event {
    /// A datum by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.data.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl EventQuery {
    /// Whether an event is looked for.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        (self.ids.is_empty() || self.ids.contains(&event.id))
            && self.provider.as_ref().is_none_or(|provider| provider.eq_ignore_ascii_case(&event.provider))
            && self.since.is_none_or(|since| event.at >= since)
    }
}

impl Sys {
    /// Events of a channel.
    /// Source: the event log service; under a root folder `Windows/System32/winevt/Logs` with its archives.
    /// Privilege: administrator for `Security`.
    /// Errors: `Absent` where there is no such channel, `Denied`, `Failed` with `malformed` where a file is no
    /// event log at all; parts that cannot be read are counted in the answer.
    pub fn events(&self, query: &EventQuery) -> Result<Events, SysError> {
        if self.family() != Family::Windows {
            return Err(SysError::Unsupported { what: query.channel.clone(), reason: "no_event_log".into() });
        }
        if !self.is_live() {
            return file::events(self, query);
        }
        self.tracer.volatile(&query.channel);
        live::events(query)
    }
}

/// Gathers events, the newest up to a limit.
#[derive(Debug)]
pub(super) struct Gathered {
    found: Events,
    limit: usize,
}

impl Gathered {
    pub(super) fn new(query: &EventQuery) -> Self {
        Self { found: Events::default(), limit: query.limit.min(MAX_EVENTS) }
    }

    /// Takes one event that was looked for.
    pub(super) fn add(&mut self, event: Event) {
        self.found.events.push(event);
        if self.found.events.len() >= self.limit.saturating_mul(2).max(1024) {
            self.trim();
        }
    }

    /// Notes how far back the channel reaches.
    pub(super) fn reaches(&mut self, at: Timestamp) {
        self.found.oldest = Some(self.found.oldest.map_or(at, |oldest| oldest.min(at)));
    }

    /// Counts what could not be read.
    pub(super) fn damaged(&mut self) {
        self.found.damaged += 1;
    }

    fn trim(&mut self) {
        let events = &mut self.found.events;
        events.sort_by_key(|event| std::cmp::Reverse((event.at, event.record)));
        // Archives and the log itself may overlap.
        events.dedup_by(|a, b| (a.record, a.at, a.id) == (b.record, b.at, b.id));
        self.found.truncated |= events.len() > self.limit;
        events.truncate(self.limit);
    }

    pub(super) fn finish(mut self) -> Events {
        self.trim();
        self.found
    }
}

#[cfg(test)]
mod tests;
