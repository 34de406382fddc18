//! OS of a Windows machine. The build decides what it is: `ProductName` still says 10 on Windows 11.

use jiff::Timestamp;
use tenken_shared::fact::os::Os;

use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{CONTROL_SET, key, number, text};
use crate::sys::{RegistryKey, Sys, SysError};

const VERSION: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const SOURCE: &str =
    r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion; HKLM\SYSTEM\CurrentControlSet\Control";

/// First build of each client and server, newest first.
const CLIENTS: [(u64, &str); 6] = [
    (22_000, "Windows 11"),
    (10_240, "Windows 10"),
    (9_600, "Windows 8.1"),
    (9_200, "Windows 8"),
    (7_600, "Windows 7"),
    (6_000, "Windows Vista"),
];
const SERVERS: [(u64, &str); 8] = [
    (26_100, "Windows Server 2025"),
    (20_348, "Windows Server 2022"),
    (17_763, "Windows Server 2019"),
    (14_393, "Windows Server 2016"),
    (9_600, "Windows Server 2012 R2"),
    (9_200, "Windows Server 2012"),
    (7_600, "Windows Server 2008 R2"),
    (6_001, "Windows Server 2008"),
];

/// Collects `os`. Privilege: none.
#[must_use]
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let version = match sys.registry(VERSION) {
        Ok(Some(_)) => key(sys, VERSION, &mut sources),
        Ok(None) => return vec![absent(sys)],
        Err(error) => return vec![Collection::missing(super::PROBE.kinds[0], &error, sys.now())],
    };
    let Some(version) = version else { return vec![absent(sys)] };
    let mut body = of_version(&version, &mut sources);
    let session = format!(r"{CONTROL_SET}\Control\Session Manager\Environment");
    let arch =
        key(sys, &session, &mut sources).and_then(|key| text(&key, "PROCESSOR_ARCHITECTURE", &mut sources));
    body.arch = arch.map(|arch| architecture(&arch).to_owned());
    let zone = format!(r"{CONTROL_SET}\Control\TimeZoneInformation");
    body.time_zone =
        key(sys, &zone, &mut sources).and_then(|key| text(&key, "TimeZoneKeyName", &mut sources));
    body.locale = locale(sys);
    vec![Collection::of(collected(body, &sources.into_vec()), SOURCE, sys.now())]
}

fn absent(sys: &Sys) -> Collection {
    Collection::missing(super::PROBE.kinds[0], &SysError::Absent { what: VERSION.into() }, sys.now())
}

fn of_version(version: &RegistryKey, sources: &mut Sources) -> Os {
    let mut get = |name: &str| text(version, name, sources);
    let product = get("ProductName");
    let kind = get("InstallationType");
    let build = get("CurrentBuildNumber").or_else(|| get("CurrentBuild"));
    let release = get("DisplayVersion").or_else(|| get("ReleaseId")).or_else(|| get("CSDVersion"));
    let edition = get("EditionID");
    let old = get("CurrentVersion");
    let major = number(version, "CurrentMajorVersionNumber", sources);
    let minor = number(version, "CurrentMinorVersionNumber", sources);
    let revision = number(version, "UBR", sources);
    let installed = number(version, "InstallDate", sources);
    let number = build.as_deref().and_then(|build| build.parse::<u64>().ok());
    let server = kind.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().contains("server"));
    let kernel = match major {
        Some(major) => Some(format!("{major}.{}", minor.unwrap_or(0))),
        None => old.clone(),
    };
    let build = build.map(|build| revision.map_or(build.clone(), |revision| format!("{build}.{revision}")));
    Os {
        family: "windows".into(),
        id: "windows".into(),
        name: number.and_then(|build| name_of(build, server)).map(str::to_owned).or(product),
        edition,
        installation_type: kind,
        version: release.or(old),
        version_full: kernel.zip(build.clone()).map(|(kernel, build)| format!("{kernel}.{build}")),
        build,
        installed_at: installed
            .filter(|seconds| *seconds > 0)
            .and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok()),
        ..Os::default()
    }
}

/// Name by build, which no translation and no upgrade changes.
fn name_of(build: u64, server: bool) -> Option<&'static str> {
    let table: &[(u64, &str)] = if server { &SERVERS } else { &CLIENTS };
    table.iter().find(|(first, _)| build >= *first).map(|(_, name)| *name)
}

fn architecture(word: &str) -> &str {
    match word.to_ascii_uppercase().as_str() {
        "AMD64" => "x86_64",
        "ARM64" => "aarch64",
        "X86" => "x86",
        _ => word,
    }
}

/// Language of the system account, which is that of the installation; not everywhere recorded.
fn locale(sys: &Sys) -> Option<String> {
    let key = sys.registry(r"HKU\.DEFAULT\Control Panel\International").ok()??;
    key.string("LocaleName").ok()?.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::body;
    use crate::probe::winhive::Machine;

    fn os(machine: &Machine) -> Os {
        body(machine.collect::<Os>(&super::super::PROBE, &ProbeConfig::default()))
    }

    #[test]
    fn the_build_tells_11_from_10_whatever_the_product_name_says() {
        let mut machine = Machine::new();
        let nt = r"Microsoft\Windows NT\CurrentVersion";
        machine
            .software(nt, "ProductName", "Windows 10 Pro")
            .software(nt, "CurrentBuildNumber", "26100")
            .software(nt, "DisplayVersion", "24H2")
            .software(nt, "EditionID", "Professional")
            .software(nt, "InstallationType", "Client")
            .software(nt, "UBR", 2314u32)
            .software(nt, "InstallDate", 1_700_000_000u32)
            .software(nt, "CurrentMajorVersionNumber", 10u32)
            .software(nt, "CurrentMinorVersionNumber", 0u32)
            .system("Select", "Current", 1u32)
            .system(r"ControlSet001\Control\Session Manager\Environment", "PROCESSOR_ARCHITECTURE", "AMD64")
            .system(r"ControlSet001\Control\TimeZoneInformation", "TimeZoneKeyName", "Tokyo Standard Time");
        let os = os(&machine);
        assert_eq!(os.name.as_deref(), Some("Windows 11"));
        assert_eq!(os.build.as_deref(), Some("26100.2314"));
        assert_eq!(os.version_full.as_deref(), Some("10.0.26100.2314"));
        assert_eq!((os.version.as_deref(), os.edition.as_deref()), (Some("24H2"), Some("Professional")));
        assert_eq!(
            (os.arch.as_deref(), os.time_zone.as_deref()),
            (Some("x86_64"), Some("Tokyo Standard Time"))
        );
        assert_eq!(os.installed_at.unwrap().as_second(), 1_700_000_000);
    }

    #[test]
    fn a_missing_hive_is_failed_and_a_value_of_the_wrong_type_is_partial() {
        let mut machine = Machine::new();
        let answer = machine.collect::<Os>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "hive_missing");
        machine.software(r"Microsoft\Windows NT\CurrentVersion", "UBR", "two");
        machine.system("Select", "Current", 1u32);
        let answer = machine.collect::<Os>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "malformed");
    }
}
