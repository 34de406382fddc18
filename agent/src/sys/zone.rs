//! The machine's own time zone: several logs are written in local time.

use jiff::tz::TimeZone;

use super::{Family, RegistryValue, Sys, SysError};

impl Sys {
    /// IANA name of the machine's time zone, `None` where the machine does not name it.
    /// Source: `/etc/timezone`, else where `/etc/localtime` points; a machine without either runs in UTC.
    pub fn time_zone_name(&self) -> Result<Option<String>, SysError> {
        match self.read_link("/etc/localtime") {
            Ok(target) => {
                let name = target.split_once("/zoneinfo/").map(|(_, name)| name.to_owned());
                if let Some(name) = name.filter(|name| is_zone_name(name)) {
                    return Ok(Some(name));
                }
            }
            Err(SysError::Absent { .. }) if !self.exists("/etc/timezone")? => return Ok(Some("UTC".into())),
            Err(_) => {}
        }
        match self.read_line("/etc/timezone") {
            Ok(name) => Ok(name.filter(|name| is_zone_name(name))),
            Err(SysError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Rules of the machine's time zone: from its own `/etc/localtime`, of Windows from `TimeZoneInformation`
    /// (the rules of this year, taken for all years).
    pub fn time_zone(&self) -> Result<TimeZone, SysError> {
        if self.family() == Family::Windows {
            return self.windows_zone();
        }
        let name = self.time_zone_name()?.unwrap_or_else(|| "Local".into());
        match self.read_capped("/etc/localtime", 64 * 1024) {
            Ok(rules) => {
                TimeZone::tzif(&name, &rules).map_err(|error| SysError::malformed("/etc/localtime", error))
            }
            Err(SysError::Absent { .. }) if name == "UTC" => Ok(TimeZone::UTC),
            // The link may lead to a zone file that a minimal system does not ship.
            Err(SysError::Absent { .. }) => {
                TimeZone::get(&name).map_err(|_| SysError::Absent { what: "/etc/localtime".into() })
            }
            Err(error) => Err(error),
        }
    }
}

const WINDOWS_ZONE: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\TimeZoneInformation";

impl Sys {
    fn windows_zone(&self) -> Result<TimeZone, SysError> {
        let key =
            self.registry(WINDOWS_ZONE)?.ok_or_else(|| SysError::Absent { what: WINDOWS_ZONE.into() })?;
        let wrong = |what: &str| SysError::malformed(WINDOWS_ZONE, what);
        // Minutes to add to local time, as a DWORD that may be negative.
        let minutes = |name: &str| {
            let number = key.number(name)?.map(|n| i64::from(n as u32 as i32));
            Ok::<_, SysError>(number.filter(|n| n.abs() <= 24 * 60))
        };
        let bias = minutes("Bias")?.ok_or_else(|| wrong("Bias"))?;
        let standard = bias + minutes("StandardBias")?.unwrap_or(0);
        let daylight = bias + minutes("DaylightBias")?.unwrap_or(-60);
        let change = |name: &str| Ok::<_, SysError>(key.value(name)?.as_ref().and_then(change_rule));
        let off = key.number("DynamicDaylightTimeDisabled")? == Some(1);
        let posix = match (change("DaylightStart")?, change("StandardStart")?) {
            (Some(start), Some(end)) if !off => {
                format!("<STD>{}<DST>{},{start},{end}", posix_offset(standard), posix_offset(daylight))
            }
            _ => format!("<STD>{}", posix_offset(standard)),
        };
        TimeZone::posix(&posix).map_err(|_| wrong("rules"))
    }
}

/// Minutes west of Greenwich as POSIX writes them.
fn posix_offset(minutes: i64) -> String {
    let sign = if minutes < 0 { "-" } else { "" };
    format!("{sign}{}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// A `SYSTEMTIME` without a year: the n-th (5: last) weekday of a month at a time. `None` where there is no change.
fn change_rule(value: &RegistryValue) -> Option<String> {
    let RegistryValue::Binary(bytes) = value else { return None };
    let field = |i: usize| Some(u16::from_le_bytes([*bytes.get(i * 2)?, *bytes.get(i * 2 + 1)?]));
    // TimeZoneInformation keeps them as year, month, week, hour, minute, second, millisecond, weekday.
    let (month, week, hour, minute, weekday) = (field(1)?, field(2)?, field(3)?, field(4)?, field(7)?);
    ((1..=12).contains(&month)).then(|| format!("M{month}.{week}.{weekday}/{hour}:{minute:02}"))
}

fn is_zone_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_read_from_the_machines_own_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        assert_eq!(sys.time_zone_name().unwrap().as_deref(), Some("UTC"));
        assert_eq!(sys.time_zone().unwrap(), TimeZone::UTC);
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Asia/Tokyo", dir.path().join("etc/localtime"))
            .unwrap();
        assert_eq!(sys.time_zone_name().unwrap().as_deref(), Some("Asia/Tokyo"));
        std::fs::remove_file(dir.path().join("etc/localtime")).unwrap();
        std::fs::write(dir.path().join("etc/localtime"), b"rubbish").unwrap();
        std::fs::write(dir.path().join("etc/timezone"), "Asia/\u{202e}Tokyo\n").unwrap();
        assert_eq!(sys.time_zone_name().unwrap(), None);
        assert_eq!(sys.time_zone().unwrap_err().reason().code, "malformed");
    }
}
