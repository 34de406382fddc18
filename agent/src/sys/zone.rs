//! The machine's own time zone: several logs are written in local time.

use jiff::tz::TimeZone;

use super::{Family, Sys, SysError};

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

    /// Rules of the machine's time zone, from its own `/etc/localtime`. `Unsupported` on Windows files.
    pub fn time_zone(&self) -> Result<TimeZone, SysError> {
        if self.family() == Family::Windows {
            return Err(SysError::Unsupported {
                what: "time zone".into(),
                reason: "not_yet_collected".into(),
            });
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
