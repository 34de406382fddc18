//! `setupapi.dev.log`: what Windows wrote down when it installed a device.
//!
//! A log is a row of sections (`>>>  [title]`, `>>>  Section start <local time>`, `<<<  Section end`,
//! `<<<  [Exit status: ...]`). Only the title of a device installation names a plugged device; lines inside
//! sections name drivers and models that were merely looked at. Times are local, without a zone; a device
//! is installed once, so the log tells of its first use and of no other.

use jiff::civil::DateTime;

use super::instance::Instance;

/// Most sections kept of one log.
pub const MAX_SECTIONS: usize = 50_000;
const MAX_TITLE: usize = 1_000;

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// What was done (`Device Install (Hardware initiated) - USB\VID_0781&PID_5530\...`).
    pub title: String,
    /// Start, local time of the machine.
    pub started: Option<DateTime>,
    /// End, local time of the machine; `None` where the log was cut.
    pub ended: Option<DateTime>,
    /// `SUCCESS` or `FAILURE(0x...)`.
    pub status: Option<String>,
}

impl Section {
    /// The storage or USB device this section installed, `None` for everything else.
    #[must_use]
    pub fn installed(&self) -> Option<Instance> {
        let rest = self.title.strip_prefix("Device Install")?;
        let (_, device) = rest.split_once(" - ")?;
        // A driver package, not a device.
        let is_path = device.as_bytes().get(1) == Some(&b':');
        if is_path { None } else { Instance::parse(device) }
    }
}

/// A read log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// Sections, in file order.
    pub sections: Vec<Section>,
    /// Whether [`MAX_SECTIONS`] cut it.
    pub truncated: bool,
}

/// Reads a log. Lines that fit nothing are passed over.
#[must_use]
pub fn parse(text: &str) -> Log {
    let mut log = Log::default();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix(">>>") {
            let rest = rest.trim();
            if let Some(title) = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
                if log.sections.len() >= MAX_SECTIONS {
                    log.truncated = true;
                    return log;
                }
                let title = title.chars().take(MAX_TITLE).collect();
                log.sections.push(Section { title, ..Section::default() });
            } else if let (Some(time), Some(section)) =
                (rest.strip_prefix("Section start "), log.sections.last_mut())
            {
                section.started = section.started.or_else(|| local_time(time));
            }
        } else if let Some(rest) = line.strip_prefix("<<<")
            && let Some(section) = log.sections.last_mut()
        {
            let rest = rest.trim();
            if let Some(time) = rest.strip_prefix("Section end ") {
                section.ended = section.ended.or_else(|| local_time(time));
            } else if let Some(status) = rest.strip_prefix("[Exit status: ").and_then(|r| r.strip_suffix(']'))
            {
                section.status.get_or_insert_with(|| status.chars().take(100).collect());
            }
        }
    }
    log
}

/// `2016/11/22 23:50:30.938`. The year is Gregorian whatever calendar the user has set.
fn local_time(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y/%m/%d %H:%M:%S%.f", text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fixture::corpus;
    use crate::sys::decode::decode;

    const LOG: &str = "\
[Device Install Log]\r
     OS Version = 10.0.22631\r
[BeginLog]\r
>>>  [Device Install (Hardware initiated) - USB\\VID_0411&PID_02BC\\B0001234567890]\r
>>>  Section start 2026/04/01 09:15:02.120\r
     dvi:           USBSTOR\\Disk&Ven_Other&Prod_Looked_At&Rev_1.00\\1234&0\r
<<<  Section end 2026/04/01 09:15:04.001\r
<<<  [Exit status: SUCCESS]\r
>>>  [Setup Import Driver Package - C:\\Users\\経理　太郎\\usbstor.inf]\r
>>>  Section start 2026/04/01 10:00:00.000\r
>>>  [Device Install (DiInstallDriver) - C:\\USB\\VID_0001&PID_0002\\x]\r
";

    #[test]
    fn only_titles_of_installations_name_devices() {
        let log = parse(LOG);
        assert_eq!(log.sections.len(), 3);
        let installed: Vec<_> = log.sections.iter().filter_map(Section::installed).collect();
        assert_eq!(installed.len(), 1);
        assert_eq!(installed[0].usb_ids(), Some(("0411".into(), "02bc".into())));
        let first = &log.sections[0];
        assert_eq!(first.started.unwrap().to_string(), "2026-04-01T09:15:02.12");
        assert_eq!((first.status.as_deref(), first.ended.is_some()), (Some("SUCCESS"), true));
        assert_eq!(log.sections[1].ended, None, "a section that was cut has no end");
    }

    #[test]
    fn encodings_give_one_log_and_broken_ones_no_panic() {
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(LOG.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let cp932 = encoding_rs::SHIFT_JIS.encode(LOG).0.into_owned();
        assert_eq!(parse(&decode(&utf16)), parse(LOG));
        assert_eq!(parse(&decode(&cp932)), parse(LOG));
        for end in 0..utf16.len() {
            assert!(parse(&decode(&utf16[..end])).sections.len() <= 3);
        }
        for broken in [">>>", ">>>  [", ">>>  []", "<<<  [Exit status: ]", ">>>  Section start 令和8/4/1"] {
            assert!(parse(broken).sections.iter().all(|s| s.started.is_none()), "{broken}");
        }
        let many = ">>>  [x]\n".repeat(MAX_SECTIONS + 1);
        assert!(parse(&many).truncated);
    }

    #[test]
    fn corpus_logs_agree() {
        let Some(folder) = corpus("windows-setupapi") else { return };
        for (name, devices) in [("setupapi.dev.log", 1), ("setupapi.setup.log", 0)] {
            let path = folder.join("plaso").join(name);
            let log = parse(&decode(&std::fs::read(&path).unwrap()));
            let expected =
                std::fs::read_to_string(path.with_file_name(format!("{name}.expected.json"))).unwrap();
            let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
            let facts = &expected["facts"];
            assert_eq!(Some(log.sections.len() as u64), facts["sections_by_line_match"].as_u64(), "{name}");
            let removable: Vec<_> = log.sections.iter().filter_map(|s| Some((s.installed()?, s))).collect();
            assert_eq!(removable.len(), devices, "{name}: {removable:?}");
            for ((instance, section), wanted) in removable.iter().zip(facts["removable"].as_array().unwrap())
            {
                let unit = instance.unit().unwrap();
                assert_eq!(unit.vendor.as_deref(), wanted["vendor"].as_str());
                assert_eq!(instance.id, wanted["serial"].as_str().unwrap());
                assert_eq!(section.title, wanted["seen_as"].as_str().unwrap());
                let local = section.started.unwrap().strftime("%Y/%m/%d %H:%M:%S%.3f").to_string();
                assert_eq!(local, wanted["time_local"].as_str().unwrap());
            }
            let Some(asserted) = facts.get("asserted") else { continue };
            let section =
                log.sections.iter().find(|s| s.title == asserted["entry"].as_str().unwrap()).unwrap();
            assert_eq!(section.status.as_deref(), asserted["exit_status"].as_str());
            assert_eq!(section.ended.unwrap().to_string(), asserted["end"].as_str().unwrap());
        }
    }
}
