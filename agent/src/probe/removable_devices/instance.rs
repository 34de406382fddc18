//! Device instance paths of Windows (`USBSTOR\Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20\2006...&0`), in all the
//! forms in which registry keys, mount manager and logs write them.
//!
//! An instance id whose second character is `&` was made up by Windows because the device has no serial: the
//! same device gets another one on another computer.

/// Enumerators that media hang on.
const ENUMERATORS: [&str; 5] = ["USBSTOR", "USB", "SCSI", "SD", "SBP2"];
const MAX_PATH: usize = 1_000;
/// What Windows puts before the serial of some USB 3 devices.
const USB3_MARK: &str = "MSFT30";

/// One device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `USBSTOR`, `USB`, `SCSI`, `SD` or `SBP2`.
    pub enumerator: &'static str,
    /// Device id (`Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20`, `VID_0781&PID_5530`).
    pub device: String,
    /// Instance id.
    pub id: String,
}

/// What a storage unit says of itself. Vendor and revision may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// `Disk`, `CdRom`, `SFloppy`, `Other` ...
    pub kind: String,
    /// Vendor text.
    pub vendor: Option<String>,
    /// Product text.
    pub product: Option<String>,
    /// Revision.
    pub revision: Option<String>,
}

impl Instance {
    /// Finds the device in a path of any form: `USB\VID_..\id`, `_??_USBSTOR#Disk&..#id&0#{guid}`,
    /// `SWD\WPDBUSENUM\_??_USBSTOR#..`, `##?#USBSTOR#..`. `None` where it names no such device.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH {
            return None;
        }
        let mut start = 0;
        for part in path.split_inclusive(['\\', '#']) {
            let end = start + part.len();
            let word = part.trim_end_matches(['\\', '#']).trim_start_matches(['_', '?']);
            if let Some(enumerator) = ENUMERATORS.iter().find(|e| e.eq_ignore_ascii_case(word))
                && let Some(found) = Self::after(enumerator, path.get(end..)?)
            {
                return Some(found);
            }
            start = end;
        }
        None
    }

    fn after(enumerator: &'static str, rest: &str) -> Option<Self> {
        let mut parts = rest.split(['\\', '#']);
        let (device, id) = (parts.next()?, parts.next()?);
        let fits = enumerator != "USB" || device.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("VID_"));
        (fits && !device.is_empty() && !id.is_empty()).then(|| Self {
            enumerator,
            device: device.to_owned(),
            id: id.to_owned(),
        })
    }

    /// The same for every way of writing the path.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}\\{}\\{}", self.enumerator, self.device, self.id).to_uppercase()
    }

    /// USB vendor and product id, four lower-case hex digits each.
    #[must_use]
    pub fn usb_ids(&self) -> Option<(String, String)> {
        let id = |prefix: &str| {
            let part = self.device.split('&').find_map(|p| after_prefix(p, prefix))?;
            let fits = part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit());
            fits.then(|| part.to_ascii_lowercase())
        };
        Some((id("VID_")?, id("PID_")?))
    }

    /// Whether this is one interface of a composite device.
    #[must_use]
    pub fn is_interface(&self) -> bool {
        self.enumerator == "USB" && self.device.to_ascii_uppercase().contains("&MI_")
    }

    /// What the storage unit says of itself; `None` for USB device nodes.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        if self.enumerator == "USB" {
            return None;
        }
        let mut unit = Unit::default();
        let mut last = String::new();
        for (i, part) in self.device.split('&').enumerate() {
            if let Some(text) = after_prefix(part, "Ven_") {
                unit.vendor = words(text);
            } else if let Some(text) = after_prefix(part, "Prod_") {
                last = text.to_owned();
            } else if let Some(text) = after_prefix(part, "Rev_") {
                unit.revision = words(text);
            } else if i == 0 {
                unit.kind = part.to_owned();
            } else if !last.is_empty() {
                // A product name may itself hold the separator.
                last = format!("{last}&{part}");
            }
        }
        unit.product = words(&last);
        Some(unit)
    }

    /// The serial, without the unit number and the mark of USB 3; made-up ones too (see
    /// [`Self::is_made_up`]). `None` for nodes whose id never is one.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        let id = match self.enumerator {
            "USB" => self.id.as_str(),
            "USBSTOR" => match self.id.rsplit_once('&') {
                Some((serial, unit)) if is_number(unit) => serial,
                _ => &self.id,
            },
            _ => return None,
        };
        let bare = after_prefix(id, USB3_MARK).unwrap_or(id);
        Some(if bare.is_empty() { id } else { bare })
    }

    /// Whether Windows made the id up.
    #[must_use]
    pub fn is_made_up(&self) -> bool {
        self.id.chars().nth(1) == Some('&') || !matches!(self.enumerator, "USB" | "USBSTOR")
    }
}

fn is_number(text: &str) -> bool {
    (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Windows writes blanks as underscores and pads with them.
fn words(text: &str) -> Option<String> {
    let text = text.replace('_', " ");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Instance {
        Instance::parse(path).unwrap_or_else(|| panic!("{path}"))
    }

    #[test]
    fn one_device_in_all_its_forms() {
        let forms = [
            r"USBSTOR\Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20\200608767007B7C08A6A&0",
            r"_??_USBSTOR#Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20#200608767007B7C08A6A&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}",
            r"\??\USBSTOR#Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20#200608767007B7C08A6A&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}",
            r"##?#USBSTOR#Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20#200608767007B7C08A6A&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}",
            r"SWD\WPDBUSENUM\_??_USBSTOR#DISK&VEN_SANDISK&PROD_CRUZER&REV_1.20#200608767007B7C08A6A&0#{53F56307-B6BF-11D0-94F2-00A0C91EFB8B}",
            r"SWD#WPDBUSENUM#_??_USBSTOR#DISK&VEN_SANDISK&PROD_CRUZER&REV_1.20#200608767007B7C08A6A&0#{53F56307-B6BF-11D0-94F2-00A0C91EFB8B}",
            r"WPDBUSENUMROOT\UMB\2&37C186B&0&STORAGE#VOLUME#_??_USBSTOR#DISK&VEN_SANDISK&PROD_CRUZER&REV_1.20#200608767007B7C08A6A&0#",
            r"STORAGE\Volume\_??_USBSTOR#Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20#200608767007B7C08A6A&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}",
        ];
        for form in forms {
            let instance = parse(form);
            assert_eq!(instance.key(), parse(forms[0]).key(), "{form}");
            assert_eq!(instance.serial(), Some("200608767007B7C08A6A"));
            assert!(!instance.is_made_up());
        }
    }

    #[test]
    fn missing_parts_stay_missing() {
        let unit = parse(r"USBSTOR\Disk&Prod_USB_Flash_Drive\7&1a2b3c4d&0").unit().unwrap();
        assert_eq!((unit.vendor, unit.revision), (None, None));
        assert_eq!(unit.product.as_deref(), Some("USB Flash Drive"));
        let unit = parse(r"USBSTOR\CdRom&Ven_&Prod_&Rev_\123456&0").unit().unwrap();
        assert_eq!((unit.kind.as_str(), unit.vendor, unit.product), ("CdRom", None, None));
        let unit = parse(r"USBSTOR\Disk&Ven_A&Prod_R&W_Disk&Rev_2\99&0").unit().unwrap();
        assert_eq!(unit.product.as_deref(), Some("R&W Disk"));
    }

    #[test]
    fn made_up_ids_and_marks_are_known() {
        assert!(parse(r"USBSTOR\Disk&Ven_x&Prod_y\7&1a2b3c4d&0").is_made_up());
        assert!(parse(r"USB\VID_0E0F&PID_0002\6&30c8ca5f&0&7").is_made_up());
        let uasp = parse(r"USB\VID_0781&PID_558C\MSFT30313735303835343230333437");
        assert_eq!(uasp.serial(), Some("313735303835343230333437"));
        assert_eq!(uasp.usb_ids(), Some(("0781".into(), "558c".into())));
        assert!(parse(r"USB\VID_0E0F&PID_0003&MI_01\7&1ffda586&0&0001").is_interface());
        assert_eq!(parse(r"SCSI\Disk&Ven_SanDisk&Prod_Extreme_SSD\000000").serial(), None);
    }

    #[test]
    fn what_is_no_device_gives_none() {
        let long = format!(r"USB\VID_0001&PID_0002\{}", "x".repeat(2_000));
        for path in
            ["", r"USB\ROOT_HUB30\5&20be2fcd&0&0", r"USB\", r"USBSTOR\Disk", "##server#共有　フォルダ", &long]
        {
            assert_eq!(Instance::parse(path), None, "{path}");
        }
        assert_eq!(parse(r"USB\VID_12\x").usb_ids(), None);
    }
}
