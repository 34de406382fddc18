//! What the settings of Windows Update add up to.

use jiff::{SignedDuration, Timestamp};

/// The values that decide whether updates install by themselves; `None` where a value is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Start type of the service `wuauserv`; 4 is disabled.
    pub service_start: Option<u64>,
    /// Policy `DisableWindowsUpdateAccess`.
    pub access_disabled: Option<u64>,
    /// Policy `NoAutoUpdate`.
    pub no_auto_update: Option<u64>,
    /// Policy `AUOptions`.
    pub policy_options: Option<u64>,
    /// Device management: `AllowAutoUpdate`.
    pub managed: Option<u64>,
    /// The administrator's own `AUOptions`, as Server and old versions keep it.
    pub own_options: Option<u64>,
    /// Whether the machine is a server; `None` where not known.
    pub server: Option<bool>,
}

/// State and the value that decides it; `None` where it could not be told.
#[must_use]
pub fn automatic(values: &Values) -> Option<(&'static str, String)> {
    if values.service_start == Some(4) {
        return Some(("off", "wuauserv Start=4".into()));
    }
    if values.access_disabled == Some(1) {
        return Some(("off", "DisableWindowsUpdateAccess=1".into()));
    }
    if values.no_auto_update == Some(1) {
        return Some(("off", "NoAutoUpdate=1".into()));
    }
    if let Some(state) = values.policy_options.and_then(options) {
        return Some((state, format!("policy AUOptions={}", values.policy_options.unwrap_or_default())));
    }
    if let Some(value) = values.managed {
        let state = match value {
            0 => "notify_only",
            5 => "off",
            _ => "on",
        };
        return Some((state, format!("AllowAutoUpdate={value}")));
    }
    if let Some(state) = values.own_options.and_then(options) {
        return Some((state, format!("AUOptions={}", values.own_options.unwrap_or_default())));
    }
    // Without any setting a client installs by itself; a server downloads and waits for someone.
    match values.server? {
        false => Some(("on", "default".into())),
        true => Some(("download_only", "default of servers".into())),
    }
}

/// `AUOptions`. 5 leaves it to the administrator of the machine, whose choice is kept elsewhere.
fn options(value: u64) -> Option<&'static str> {
    match value {
        1 => Some("off"),
        2 => Some("notify_only"),
        3 | 7 => Some("download_only"),
        4 => Some("on"),
        _ => None,
    }
}

/// Days a pause of quality updates lasts that has a start only.
const PAUSE_DAYS: i64 = 35;

/// A moment in a value of Windows Update: RFC 3339, or date and time without zone, which it writes in UTC.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 40 {
        return None;
    }
    let civil = |t: &str| -> Option<Timestamp> {
        let date: jiff::civil::DateTime = t.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(date).ok()
    };
    text.parse().ok().or_else(|| civil(text)).or_else(|| civil(&text.replace(' ', "T")))
}

/// Until when a pause lasts that began at `start`.
#[must_use]
pub fn pause_end(start: &str) -> Option<Timestamp> {
    moment(start)?.checked_add(SignedDuration::from_hours(PAUSE_DAYS * 24)).ok()
}

/// An address without the user and password it may carry.
#[must_use]
pub fn address(url: &str) -> String {
    let url: String = url.trim().chars().filter(|c| !c.is_control()).take(500).collect();
    let Some((scheme, rest)) = url.split_once("://") else { return url };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(h, p)| (h, Some(p)));
    let host = host.rsplit('@').next().unwrap_or(host);
    match path {
        Some(path) if !path.is_empty() => format!("{scheme}://{host}/{path}"),
        _ => format!("{scheme}://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(change: impl FnOnce(&mut Values)) -> Option<&'static str> {
        let mut values = Values { server: Some(false), ..Values::default() };
        change(&mut values);
        automatic(&values).map(|(state, _)| state)
    }

    #[test]
    fn the_strongest_setting_decides() {
        assert_eq!(state(|_| {}), Some("on"));
        assert_eq!(state(|v| v.server = Some(true)), Some("download_only"));
        assert_eq!(state(|v| v.server = None), None, "neither client nor server: not known");
        assert_eq!(state(|v| v.no_auto_update = Some(1)), Some("off"));
        assert_eq!(state(|v| v.no_auto_update = Some(0)), Some("on"));
        assert_eq!(state(|v| v.service_start = Some(4)), Some("off"));
        for (options, expected) in
            [(2, "notify_only"), (3, "download_only"), (4, "on"), (7, "download_only"), (1, "off")]
        {
            assert_eq!(state(|v| v.policy_options = Some(options)), Some(expected));
        }
        let left = |v: &mut Values| {
            v.policy_options = Some(5);
            v.own_options = Some(2);
        };
        assert_eq!(state(left), Some("notify_only"), "left to the administrator, who chose");
        assert_eq!(state(|v| v.managed = Some(5)), Some("off"));
        assert_eq!(state(|v| v.managed = Some(0)), Some("notify_only"));
    }

    #[test]
    fn moments_of_several_forms_and_pauses_with_a_start_only() {
        let at = |t| moment(t).map(|t| t.to_string());
        assert_eq!(at("2026-12-01T03:04:05Z").as_deref(), Some("2026-12-01T03:04:05Z"));
        assert_eq!(at("2019-03-02 10:11:12").as_deref(), Some("2019-03-02T10:11:12Z"));
        assert_eq!(at("2026-12-01").as_deref(), Some("2026-12-01T00:00:00Z"));
        for none in ["", "明日", "2026-13-01", &"9".repeat(50)] {
            assert_eq!(at(none), None);
        }
        assert_eq!(pause_end("2026-11-01").map(|t| t.to_string()).as_deref(), Some("2026-12-06T00:00:00Z"));
    }

    #[test]
    fn addresses_lose_their_password() {
        assert_eq!(address("http://user:secret@wsus.example:8530/"), "http://wsus.example:8530");
        assert_eq!(address("https://wsus.example/a"), "https://wsus.example/a");
        assert_eq!(address("wsus"), "wsus");
    }
}
