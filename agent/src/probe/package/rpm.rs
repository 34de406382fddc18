//! rpm's header blobs, the record format of all three database backends, and rpm's version order.
//!
//! A blob is `il` and `dl` (big-endian u32), `il` index entries of 16 bytes (tag, type, offset, count) and
//! `dl` bytes of data. Every offset is checked; a tag that points outside is as if it were not there.

use std::borrow::Cow;
use std::cmp::Ordering;

use rpm_version::Evr;

/// Most index entries of one header (rpm's own limit is 65,535).
const MAX_ENTRIES: usize = 0x10000;

const TAG_NAME: u32 = 1000;
const TAG_VERSION: u32 = 1001;
const TAG_RELEASE: u32 = 1002;
const TAG_EPOCH: u32 = 1003;
const TAG_INSTALLTIME: u32 = 1008;
const TAG_VENDOR: u32 = 1011;
const TAG_PACKAGER: u32 = 1015;
const TAG_ARCH: u32 = 1022;
const TAG_SOURCERPM: u32 = 1044;
const TAG_MODULARITYLABEL: u32 = 5096;

const TYPE_INT32: u32 = 4;
const TYPE_STRING: u32 = 6;
const TYPE_STRING_ARRAY: u32 = 8;
const TYPE_I18NSTRING: u32 = 9;

/// What is used of one header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Epoch; `None` is not the same text as 0, but compares like it.
    pub epoch: Option<u32>,
    /// Version.
    pub version: String,
    /// Release.
    pub release: String,
    /// Architecture.
    pub arch: Option<String>,
    /// Vendor, or else the packager.
    pub vendor: Option<String>,
    /// File name of the source package.
    pub source_rpm: Option<String>,
    /// Install time, seconds since 1970.
    pub installed: Option<i64>,
    /// Part of a module (`name:stream:version:context`).
    pub module: Option<String>,
}

impl Package {
    /// `[epoch:]version-release`; an epoch of 0 is left out.
    #[must_use]
    pub fn evr(&self) -> String {
        match self.epoch.filter(|&e| e > 0) {
            Some(epoch) => format!("{epoch}:{}-{}", self.version, self.release),
            None => format!("{}-{}", self.version, self.release),
        }
    }

    /// Name of the source package (`util-linux` of `util-linux-2.32.1-42.el8_8.src.rpm`).
    #[must_use]
    pub fn source_name(&self) -> Option<&str> {
        let stem = self.source_rpm.as_deref()?.rsplitn(3, '-').nth(2)?;
        (!stem.is_empty()).then_some(stem)
    }

    /// A signing key that rpm keeps as a package; no software.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.name == "gpg-pubkey"
    }
}

/// Reads a header blob; `None` where it is damaged or has no name or version.
#[must_use]
pub fn parse_header(blob: &[u8]) -> Option<Package> {
    let entries = usize::try_from(be32(blob, 0)?).ok().filter(|&n| n <= MAX_ENTRIES)?;
    let data_len = usize::try_from(be32(blob, 4)?).ok()?;
    let data_at = 8 + entries * 16;
    let data = blob.get(data_at..data_at.checked_add(data_len)?)?;
    let mut package = Package::default();
    for entry in blob.get(8..data_at)?.chunks_exact(16) {
        let (Some(tag), Some(kind), Some(offset)) = (be32(entry, 0), be32(entry, 4), be32(entry, 8)) else {
            continue;
        };
        let Some(value) = usize::try_from(offset).ok().and_then(|o| data.get(o..)) else { continue };
        let text = || string(kind, value);
        match tag {
            TAG_NAME => package.name = text()?,
            TAG_VERSION => package.version = text()?,
            TAG_RELEASE => package.release = text()?,
            TAG_EPOCH => package.epoch = int(kind, value),
            TAG_INSTALLTIME => package.installed = int(kind, value).map(i64::from),
            TAG_VENDOR => package.vendor = text().filter(|t| t != "(none)"),
            TAG_PACKAGER if package.vendor.is_none() => package.vendor = text(),
            TAG_ARCH => package.arch = text(),
            TAG_SOURCERPM => package.source_rpm = text(),
            TAG_MODULARITYLABEL => package.module = text(),
            _ => {}
        }
    }
    (!package.name.is_empty() && !package.version.is_empty()).then_some(package)
}

fn string(kind: u32, value: &[u8]) -> Option<String> {
    if !matches!(kind, TYPE_STRING | TYPE_STRING_ARRAY | TYPE_I18NSTRING) {
        return None;
    }
    let end = memchr::memchr(0, value)?;
    let text = String::from_utf8_lossy(&value[..end]).into_owned();
    (!text.is_empty()).then_some(text)
}

fn int(kind: u32, value: &[u8]) -> Option<u32> {
    (kind == TYPE_INT32).then(|| be32(value, 0)).flatten()
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Compares two `[epoch:]version[-release]`. A release missing on one side does not count.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (with_epoch(a), with_epoch(b));
    let (x, y) = (Evr::parse(&a), Evr::parse(&b));
    if x.release().is_empty() || y.release().is_empty() {
        return Evr::new(x.epoch(), x.version(), "").cmp(&Evr::new(y.epoch(), y.version(), ""));
    }
    x.cmp(&y)
}

fn with_epoch(evr: &str) -> Cow<'_, str> {
    if evr.contains(':') { Cow::Borrowed(evr) } else { Cow::Owned(format!("0:{evr}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header blob of string tags and one number, as rpm writes it.
    pub(crate) fn blob(strings: &[(u32, &str)], ints: &[(u32, u32)]) -> Vec<u8> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        let mut entry = |tag: u32, kind: u32, offset: usize| {
            for n in [tag, kind, u32::try_from(offset).unwrap(), 1] {
                index.extend(n.to_be_bytes());
            }
        };
        for (tag, number) in ints {
            entry(*tag, TYPE_INT32, data.len());
            data.extend(number.to_be_bytes());
        }
        for (tag, text) in strings {
            entry(*tag, TYPE_STRING, data.len());
            data.extend(text.bytes().chain([0]));
        }
        let mut out = Vec::new();
        out.extend(u32::try_from(index.len() / 16).unwrap().to_be_bytes());
        out.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(index);
        out.extend(data);
        out
    }

    #[test]
    fn header_and_every_cut_of_it() {
        let whole = blob(
            &[
                (TAG_NAME, "bash"),
                (TAG_VERSION, "5.1"),
                (TAG_RELEASE, "1.el9"),
                (TAG_SOURCERPM, "bash-5.1-1.el9.src.rpm"),
            ],
            &[(TAG_EPOCH, 1), (TAG_INSTALLTIME, 1_700_000_000)],
        );
        let package = parse_header(&whole).unwrap();
        assert_eq!(package.evr(), "1:5.1-1.el9");
        assert_eq!(package.source_name(), Some("bash"));
        assert_eq!(package.installed, Some(1_700_000_000));
        for end in 0..whole.len() {
            assert_eq!(parse_header(&whole[..end]), None);
        }
    }

    #[test]
    fn offsets_outside_are_refused() {
        let mut hostile = blob(&[(TAG_NAME, "x"), (TAG_VERSION, "1")], &[]);
        hostile[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(parse_header(&hostile), None);
        assert_eq!(parse_header(&[0xFF; 64]), None);
    }

    #[test]
    fn order_is_that_of_rpm() {
        assert_eq!(compare("1.0-1", "0:1.0-1"), Ordering::Equal);
        assert_eq!(compare("1.0~rc1-1", "1.0-1"), Ordering::Less);
        assert_eq!(compare("1.0^git1-1", "1.0-1"), Ordering::Greater);
        assert_eq!(compare("1:0.1-1", "9.9-1"), Ordering::Greater);
        assert_eq!(compare("1.0-10.el9", "1.0-9.el9"), Ordering::Greater);
        assert_eq!(compare("1.0", "1.0-9.el9"), Ordering::Equal);
    }
}
