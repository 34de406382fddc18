//! Pure readers of what Windows keeps about installed programs: dates, product codes, package names.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Largest text looked at, bytes.
const MAX_TEXT: usize = 4_096;

/// The day in an `InstallDate` value. Installers write `20240105`, but also dates in the form of the user's
/// locale: only what can mean one day alone is read, so `03/04/2024` gives none and `25/04/2024` does.
/// Nine and ten digits are seconds since 1970.
#[must_use]
pub fn install_date(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 || text.is_empty() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.len() {
            8 => midnight(date(text.get(..4)?, text.get(4..6)?, text.get(6..)?)?, zone),
            9 | 10 => Timestamp::from_second(text.parse().ok()?).ok(),
            _ => None,
        };
    }
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['/', '-', '.', '年', '月', '日']).filter(|p| !p.is_empty()).collect();
    let [a, b, c] = parts.as_slice() else { return None };
    let found = if a.len() == 4 {
        date(a, b, c)
    } else if c.len() == 4 {
        match (date(c, a, b), date(c, b, a)) {
            (Some(one), Some(other)) => (one == other).then_some(one),
            (one, other) => one.or(other),
        }
    } else {
        None
    };
    midnight(found?, zone)
}

fn date(year: &str, month: &str, day: &str) -> Option<Date> {
    let number = |text: &str| text.parse::<i16>().ok();
    let small = |text: &str| text.parse::<i8>().ok();
    let year = number(year).filter(|y| (1980..=2200).contains(y))?;
    Date::new(year, small(month)?, small(day)?).ok()
}

fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_timestamp(date.at(0, 0, 0, 0)).ok()
}

/// The product code of a packed one: Windows Installer names its keys by the GUID with the digits of each
/// group turned round (`00005109A10090400000000000F01FEC` is `{90150000-001A-0409-0000-0000000FF1CE}`).
#[must_use]
pub fn unpack_product_code(packed: &str) -> Option<String> {
    if packed.len() != 32 || !packed.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let upper = packed.to_ascii_uppercase();
    let turned =
        |range: std::ops::Range<usize>| upper.get(range).map(|s| s.chars().rev().collect::<String>());
    let mut tail = String::new();
    for start in (16..32).step_by(2) {
        tail.push_str(&turned(start..start + 2)?);
    }
    let (fourth, last) = tail.split_at_checked(4)?;
    Some(format!("{{{}-{}-{}-{fourth}-{last}}}", turned(0..8)?, turned(8..12)?, turned(12..16)?))
}

/// Whether a key is named by a product code of Windows Installer.
#[must_use]
pub fn is_product_code(name: &str) -> bool {
    let inner = name.strip_prefix('{').and_then(|n| n.strip_suffix('}'));
    inner.is_some_and(|n| {
        n.len() == 36
            && n.bytes()
                .enumerate()
                .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
    })
}

/// The first KB number in a text (`KB5044284`), letters in upper case.
#[must_use]
pub fn kb_number(text: &str) -> Option<String> {
    let text = text.get(..text.len().min(MAX_TEXT)).unwrap_or(text);
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(7)).find_map(|i| {
        let starts =
            bytes[i..i + 2].eq_ignore_ascii_case(b"KB") && (i == 0 || !bytes[i - 1].is_ascii_alphanumeric());
        let digits = bytes[i + 2..].iter().take(9).take_while(|b| b.is_ascii_digit()).count();
        (starts && (6..=8).contains(&digits))
            .then(|| format!("KB{}", String::from_utf8_lossy(&bytes[i + 2..i + 2 + digits])))
    })
}

/// The parts of an AppX package's full name (`Name_Version_Arch_Resource_PublisherId`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppxName<'a> {
    /// Name (`Microsoft.WindowsCalculator`).
    pub name: &'a str,
    /// Version.
    pub version: &'a str,
    /// `x64`, `x86`, `arm64`, `neutral`.
    pub arch: &'a str,
    /// Resource id; empty for the package itself, else a part of it (language, scale).
    pub resource: &'a str,
    /// Hash of the publisher.
    pub publisher: &'a str,
}

impl<'a> AppxName<'a> {
    /// Splits a full name.
    #[must_use]
    pub fn parse(full: &'a str) -> Option<Self> {
        let parts: Vec<&str> = full.split('_').collect();
        let [name, version, arch, resource, publisher] = parts.as_slice() else { return None };
        let numeric = version.split('.').count() == 4
            && version.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        let known = matches!(*arch, "x64" | "x86" | "arm" | "arm64" | "neutral" | "x86a64");
        (numeric && known && publisher.len() == 13 && !name.is_empty()).then_some(Self {
            name,
            version,
            arch,
            resource,
            publisher,
        })
    }

    /// Whether it is a package of its own, not a language or scale of one, nor the bundle around one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.resource.starts_with("split.") && self.resource != "~"
    }

    /// The publisher, where its hash is one of Microsoft's.
    #[must_use]
    pub fn vendor(&self) -> Option<&'static str> {
        match self.publisher {
            "8wekyb3d8bbwe" => Some("Microsoft Corporation"),
            "cw5n1h2txyewy" => Some("Microsoft Windows"),
            _ => None,
        }
    }
}

/// Architecture in the word of the other systems (`x86_64`, `x86`, `aarch64`).
#[must_use]
pub fn arch(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "x64" | "amd64" => Some("x86_64"),
        "x86" => Some("x86"),
        "arm64" | "x86a64" => Some("aarch64"),
        "arm" => Some("armv7"),
        _ => None,
    }
}

/// Update channel of Office Click-to-Run, from the GUID in its address.
#[must_use]
pub fn office_channel(url: &str) -> Option<&'static str> {
    const CHANNELS: [(&str, &str); 9] = [
        ("492350f6-3a01-4f97-b9c0-c7c6ddf67d60", "Current"),
        ("64256afe-f5d9-4f86-8936-8840a6a4f5be", "CurrentPreview"),
        ("55336b82-a18d-4dd6-b5f6-9e5095c314a6", "MonthlyEnterprise"),
        ("7ffbc6bf-bc32-4f92-8982-f9dd17fd3114", "SemiAnnual"),
        ("b8f9b850-328d-4355-9145-c59439a0c4cf", "SemiAnnualPreview"),
        ("5440fd1f-7ecb-4221-8110-145efaa6372f", "BetaChannel"),
        ("f2e724c1-748f-4b47-8fb8-8e0d210e9208", "PerpetualVL2019"),
        ("5030841d-c919-4594-8d2d-84ae4f96e58e", "PerpetualVL2021"),
        ("7983bac0-e531-40cf-be00-fd24fe66619c", "PerpetualVL2024"),
    ];
    let url = url.to_ascii_lowercase();
    CHANNELS.iter().find(|(guid, _)| url.contains(guid)).map(|(_, name)| *name)
}

/// What an uninstall entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A title of its own.
    Title,
    /// A title that Windows hides from its list (`SystemComponent`).
    Hidden,
    /// An update of a title.
    Update,
    /// A part of another title, which is listed by itself, or no title at all.
    Part,
}

/// Tells what an entry is by its key name, `SystemComponent`, `ParentKeyName` and `ReleaseType`.
#[must_use]
pub fn entry_kind(
    key: &str,
    display_name: Option<&str>,
    system: bool,
    parent: Option<&str>,
    release: Option<&str>,
) -> EntryKind {
    const RELEASES: [&str; 5] = ["Update", "Hotfix", "Security Update", "Update Rollup", "Service Pack"];
    let Some(name) = display_name.map(str::trim).filter(|n| !n.is_empty()) else { return EntryKind::Part };
    let parent = parent.map(str::trim).filter(|p| !p.is_empty());
    let released = release.is_some_and(|r| RELEASES.iter().any(|word| r.trim().eq_ignore_ascii_case(word)));
    let named = kb_number(key).is_some() || (parent.is_some() && kb_number(name).is_some());
    match parent {
        _ if released || named => EntryKind::Update,
        Some(_) => EntryKind::Part,
        None if system => EntryKind::Hidden,
        None => EntryKind::Title,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<String> {
        install_date(text, &TimeZone::get("Asia/Tokyo").unwrap()).map(|t| t.to_string())
    }

    #[test]
    fn install_dates_of_any_form_are_one_day_or_none() {
        let fifth = Some("2024-01-04T15:00:00Z".to_owned());
        for text in [
            "20240105",
            " 20240105 ",
            "2024/1/5",
            "2024-01-05",
            "2024.01.05",
            "2024年1月5日",
            "2024-01-05T10:00:00",
        ] {
            assert_eq!(date(text), fifth, "{text}");
        }
        assert_eq!(date("1/25/2024"), date("20240125"));
        assert_eq!(date("25.01.2024"), date("20240125"));
        assert_eq!(date("5/5/2024"), date("20240505"));
        assert_eq!(date("1704412800").as_deref(), Some("2024-01-05T00:00:00Z"));
        for text in [
            "03/04/2024",
            "20240230",
            "20241301",
            "",
            "令和6年1月5日",
            "yesterday",
            "1/2/3",
            "٢٠٢٤0105",
            "00000000",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn packed_product_code_is_turned_round() {
        let code = unpack_product_code("00005109A10090400000000000F01FEC");
        assert_eq!(code.as_deref(), Some("{90150000-001A-0409-0000-0000000FF1CE}"));
        assert!(is_product_code(&code.unwrap()));
        for bad in [
            "",
            "00005109A10090400000000000F01FE",
            "0000５109A10090400000000000F01F",
            "zz005109A10090400000000000F01FEC",
        ] {
            assert_eq!(unpack_product_code(bad), None);
        }
        assert!(!is_product_code("Mozilla Firefox 57.0.2 (fr)"));
    }

    #[test]
    fn kb_numbers_are_whole_words() {
        assert_eq!(kb_number("2024-10 累積更新プログラム (KB5044284)").as_deref(), Some("KB5044284"));
        assert_eq!(
            kb_number("{90160000-0011}_Office16.PROPLUS_{GUID}.KB5002623").as_deref(),
            Some("KB5002623")
        );
        assert_eq!(kb_number("kb890830").as_deref(), Some("KB890830"));
        assert_eq!(kb_number("ThinKB5044284"), None);
        assert_eq!(kb_number("KB12"), None);
        assert_eq!(kb_number("KB1234567890"), None);
    }

    #[test]
    fn appx_names_split_and_parts_are_told() {
        let calc = AppxName::parse("Microsoft.WindowsCalculator_10.1906.55.0_x64__8wekyb3d8bbwe").unwrap();
        assert_eq!(
            (calc.name, calc.version, calc.arch),
            ("Microsoft.WindowsCalculator", "10.1906.55.0", "x64")
        );
        assert!(calc.is_whole());
        assert_eq!(calc.vendor(), Some("Microsoft Corporation"));
        let part = AppxName::parse(
            "Microsoft.WindowsCalculator_10.1906.55.0_neutral_split.language-ja_8wekyb3d8bbwe",
        );
        assert!(!part.unwrap().is_whole());
        assert!(!AppxName::parse("A.B_1.2.3.4_neutral_~_8wekyb3d8bbwe").unwrap().is_whole());
        for bad in ["", "S-1-5-18", "A_1_x64__8wekyb3d8bbwe", "A_1.2.3.4_x64__short", "____"] {
            assert_eq!(AppxName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn entries_are_titles_hidden_updates_or_parts() {
        use EntryKind::{Hidden, Part, Title, Update};
        for (key, name, system, parent, release, kind) in [
            ("7-Zip", Some("7-Zip 24.08 (x64)"), false, None, None, Title),
            ("{23170F69}", Some("Visual C++ Minimum Runtime"), true, None, None, Hidden),
            ("KB2468871", Some("Update for .NET (KB2468871)"), false, Some("{F5B}"), Some("Update"), Update),
            ("x.KB5002623", Some("セキュリティ更新 (KB5002623)"), true, None, None, Update),
            ("x", Some("Office 更新プログラム (KB5002623)"), false, Some("Office16"), None, Update),
            ("x", Some("言語パック"), false, Some("Office16"), None, Part),
            ("MPlayer2", None, false, None, None, Part),
            ("blank", Some("  "), false, None, None, Part),
            ("tool", Some("KB4000000 viewer"), false, None, None, Title),
        ] {
            assert_eq!(entry_kind(key, name, system, parent, release), kind, "{key}");
        }
    }
}
