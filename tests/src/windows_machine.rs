//! A made-up Windows 11 of a Japanese office as a folder: hives written by an independent library, a set-up
//! log in code page 932 with local times, users with kanji and 全角 space, the era calendar switched on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use regf::structures::DataType;
use regf::writer::HiveBuilder;

const SOFTWARE: &str = "Windows/System32/config/SOFTWARE";
const SYSTEM: &str = "Windows/System32/config/SYSTEM";
const SECURITY: &str = "Windows/System32/config/SECURITY";
const VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";
const UNINSTALL: &str = r"Microsoft\Windows\CurrentVersion\Uninstall";
const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages";
/// `DEVPKEY_Device_FirstInstallDate` and its kin.
const DATES: &str = r"Properties\{83da6326-97a6-4088-9453-a1923f573b29}";
/// `DEVPROP_TYPE_FILETIME` as the registry stores it.
const FILETIME: u32 = 0xffff_0010;

/// The user of the machine.
pub const USER: &str = "経理　太郎";
/// Serial of the stick it has seen.
pub const STICK: &str = "B0001234567890";

/// A value of the registry.
#[derive(Debug, Clone)]
pub enum Value {
    /// REG_SZ.
    Text(&'static str),
    /// REG_DWORD.
    Number(u32),
    /// REG_BINARY.
    Bytes(Vec<u8>),
    /// A time among the properties of a device.
    Time(Timestamp),
}

/// The machine, as keys with their values.
#[derive(Debug, Clone, Default)]
pub struct WindowsMachine {
    hives: BTreeMap<String, BTreeMap<String, Vec<(String, Value)>>>,
}

impl WindowsMachine {
    /// A current Windows 11 Pro with media locked away.
    pub fn japanese() -> Result<Self> {
        let mut machine = Self::default();
        machine.identify();
        machine.install();
        machine.update();
        machine.restrict();
        machine.plug()?;
        machine.user();
        Ok(machine)
    }

    /// Puts a value into a hive; the last one of a name stands.
    pub fn put(&mut self, hive: &str, key: &str, name: &str, value: Value) -> &mut Self {
        let values = self.hives.entry(hive.into()).or_default().entry(key.into()).or_default();
        values.retain(|(of, _)| of != name);
        values.push((name.into(), value));
        self
    }

    fn texts(&mut self, hive: &str, key: &str, values: &[(&str, &'static str)]) {
        for (name, value) in values {
            self.put(hive, key, name, Value::Text(value));
        }
    }

    fn numbers(&mut self, hive: &str, key: &str, values: &[(&str, u32)]) {
        for (name, value) in values {
            self.put(hive, key, name, Value::Number(*value));
        }
    }

    fn identify(&mut self) {
        // The product name of Windows 11 still says 10.
        let version = [
            ("ProductName", "Windows 10 Pro"),
            ("EditionID", "Professional"),
            ("InstallationType", "Client"),
            ("DisplayVersion", "24H2"),
            ("CurrentBuildNumber", "26100"),
        ];
        self.texts(SOFTWARE, VERSION, &version);
        let numbers = [
            ("CurrentMajorVersionNumber", 10),
            ("CurrentMinorVersionNumber", 0),
            ("UBR", 8875),
            ("InstallDate", 1_735_700_000),
        ];
        self.numbers(SOFTWARE, VERSION, &numbers);
        let guid = [("MachineGuid", "6f1f0f0a-2f5d-4a53-9d0e-0c6f5b1c7e11")];
        self.texts(SOFTWARE, r"Microsoft\Cryptography", &guid);
        let user = format!(r"{VERSION}\ProfileList\S-1-5-21-1111-2222-3333-1001");
        self.texts(SOFTWARE, &user, &[("ProfileImagePath", r"C:\Users\経理　太郎")]);
        self.numbers(SYSTEM, "Select", &[("Current", 1), ("Default", 1)]);
        let set = |key: &str| format!(r"ControlSet001\{key}");
        let name = [("ComputerName", "KEIRI-01")];
        self.texts(SYSTEM, &set(r"Control\ComputerName\ComputerName"), &name);
        self.texts(
            SYSTEM,
            &set(r"Services\Tcpip\Parameters"),
            &[("NV Hostname", "keiri-01"), ("Hostname", "keiri-01")],
        );
        let processor = [("PROCESSOR_ARCHITECTURE", "AMD64")];
        self.texts(SYSTEM, &set(r"Control\Session Manager\Environment"), &processor);
        self.texts(SYSTEM, &set(r"Control\Nls\CodePage"), &[("ACP", "932"), ("OEMCP", "932")]);
        let zone = set(r"Control\TimeZoneInformation");
        self.texts(SYSTEM, &zone, &[("TimeZoneKeyName", "Tokyo Standard Time")]);
        let minutes = (-540_i32).cast_unsigned();
        self.numbers(SYSTEM, &zone, &[("Bias", minutes), ("ActiveTimeBias", minutes), ("StandardBias", 0)]);
        let hardware = [
            ("SystemManufacturer", "FUJITSU CLIENT COMPUTING LIMITED"),
            ("SystemProductName", "LIFEBOOK U9313/N"),
        ];
        self.texts(SYSTEM, &set(r"Control\SystemInformation"), &hardware);
        self.put(SYSTEM, &set(r"Services\mssmbios\Data"), "SMBiosData", Value::Bytes(smbios()));
        // The account domain and the primary domain: no join.
        for (key, bytes) in [(r"Policy\PolDnDDN", vec![0; 8]), (r"Policy\PolPrDmN", vec![0; 8])] {
            self.put(SECURITY, key, "", Value::Bytes(bytes));
        }
    }

    fn install(&mut self) {
        let titles: [(&str, &[(&str, &'static str)]); 3] = [
            (
                r"{23170F69-40C1-2702-2408-000001000000}",
                &[
                    ("DisplayName", "勘定奉行　クライアント"),
                    ("DisplayVersion", "5.10"),
                    ("Publisher", "株式会社オービックビジネスコンサルタント"),
                    ("InstallDate", "20260105"),
                ],
            ),
            (
                "Kaiseki",
                // An installer that wrote the date as the era calendar shows it.
                &[("DisplayName", "解析①ツール"), ("DisplayVersion", "1.0"), ("InstallDate", "令和08/01/05")],
            ),
            ("7-Zip", &[("DisplayName", "7-Zip 24.08 (x64)"), ("DisplayVersion", "24.08")]),
        ];
        for (key, values) in titles {
            self.texts(SOFTWARE, &format!(r"{UNINSTALL}\{key}"), values);
        }
    }

    /// One cumulative update installed, the next one waits for the restart.
    fn update(&mut self) {
        let package = |build: &str| {
            format!(r"{SERVICING}\Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.{build}.1.10")
        };
        let installed = [("CurrentState", 0x70), ("InstallTimeHigh", 0x01DD_5B00), ("InstallTimeLow", 0)];
        self.numbers(SOFTWARE, &package("8875"), &installed);
        let policy = r"Policies\Microsoft\Windows\WindowsUpdate";
        self.numbers(
            SOFTWARE,
            policy,
            &[("DeferQualityUpdates", 1), ("DeferQualityUpdatesPeriodInDays", 21)],
        );
        self.numbers(SOFTWARE, &format!(r"{policy}\AU"), &[("AUOptions", 4), ("NoAutoUpdate", 0)]);
        self.numbers(SYSTEM, r"ControlSet001\Services\wuauserv", &[("Start", 3)]);
    }

    fn restrict(&mut self) {
        let storage = r"Policies\Microsoft\Windows\RemovableStorageDevices";
        self.numbers(SOFTWARE, storage, &[("Deny_All", 1)]);
        self.numbers(SYSTEM, r"ControlSet001\Services\USBSTOR", &[("Start", 4)]);
        let explorer = r"Microsoft\Windows\CurrentVersion\Policies\Explorer";
        self.numbers(SOFTWARE, explorer, &[("NoDriveTypeAutoRun", 0xff), ("NoAutorun", 1)]);
        self.numbers(SOFTWARE, r"Policies\Microsoft\Windows\Explorer", &[("NoAutoplayfornonVolume", 1)]);
    }

    /// A stick that was here before it was forbidden.
    fn plug(&mut self) -> Result<()> {
        let usb = format!(r"ControlSet001\Enum\USB\VID_0411&PID_02BC\{STICK}");
        let container = "{198d50c0-8236-5bd2-a6d0-1064a25ce761}";
        self.texts(SYSTEM, &usb, &[("Service", "USBSTOR"), ("ContainerID", container)]);
        let disk =
            format!(r"ControlSet001\Enum\USBSTOR\Disk&Ven_BUFFALO&Prod_USB_Flash_Disk&Rev_4.00\{STICK}&0");
        self.texts(SYSTEM, &disk, &[("Service", "disk"), ("ContainerID", container)]);
        let dates = [
            ("0065", "2026-04-01T00:15:00Z"),
            ("0064", "2026-05-02T00:00:00Z"),
            ("0066", "2026-11-20T01:00:00Z"),
            ("0067", "2026-11-20T02:00:00Z"),
        ];
        for (property, at) in dates {
            self.put(SYSTEM, &format!(r"{usb}\{DATES}\{property}"), "", Value::Time(at.parse()?));
        }
        Ok(())
    }

    fn user(&mut self) {
        let hive = format!("Users/{USER}/NTUSER.DAT");
        let international = r"Control Panel\International";
        // CAL_JAPAN: years of the era.
        let calendar = [
            ("iCalendarType", "3"),
            ("sShortDate", "gg y/MM/dd"),
            ("LocaleName", "ja-JP"),
            ("s1159", "午前"),
        ];
        self.texts(&hive, international, &calendar);
        let zoom = format!(r"Software\{UNINSTALL}\ZoomUMX");
        self.texts(&hive, &zoom, &[("DisplayName", "Zoom Workplace"), ("DisplayVersion", "6.2.11")]);
        let share =
            r"Software\Microsoft\Windows\CurrentVersion\Explorer\MountPoints2\##server#共有　フォルダ";
        self.texts(&hive, share, &[("_LabelFromReg", "共有")]);
    }

    /// Writes the machine's files under `root`.
    pub fn write(&self, root: &Path) -> Result<PathBuf> {
        for (file, keys) in &self.hives {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().context("no folder")?)?;
            std::fs::write(path, hive(keys)?)?;
        }
        let folder = root.join("Windows/INF");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("setupapi.dev.log"), setup_log())?;
        Ok(root.to_owned())
    }
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn hive(keys: &BTreeMap<String, Vec<(String, Value)>>) -> Result<Vec<u8>> {
    let mut builder = HiveBuilder::new()?;
    for (key, values) in keys {
        builder.create_key(key)?;
        for (name, value) in values {
            let (kind, bytes) = match value {
                Value::Text(text) => (DataType::String, wide(text)),
                Value::Number(number) => (DataType::Dword, number.to_le_bytes().to_vec()),
                Value::Bytes(bytes) => (DataType::Binary, bytes.clone()),
                Value::Time(at) => (DataType::Unknown(FILETIME), filetime(*at)),
            };
            builder.add_value_with_type(key, (!name.is_empty()).then_some(name.as_str()), &bytes, kind)?;
        }
    }
    Ok(builder.to_bytes()?)
}

/// 100 ns units since 1601.
fn filetime(at: Timestamp) -> Vec<u8> {
    let units = (at.as_nanosecond() / 100) as i64 + 116_444_736_000_000_000;
    units.to_le_bytes().to_vec()
}

/// The firmware's table as the driver keeps it: eight bytes with its length, then the structures.
fn smbios() -> Vec<u8> {
    let structure = |kind: u8, fixed: &[u8], strings: &[&str]| {
        let mut out = vec![kind, 4 + fixed.len() as u8, kind, 0];
        out.extend_from_slice(fixed);
        strings.iter().for_each(|text| out.extend(text.bytes().chain([0])));
        out.extend_from_slice(if strings.is_empty() { &[0, 0] } else { &[0] });
        out
    };
    let system: Vec<u8> = (1..=4).chain(1..=16).collect();
    let strings = ["FUJITSU CLIENT COMPUTING LIMITED", "LIFEBOOK U9313/N", "1", "R0X00001"];
    let mut module = vec![0; 0x24];
    module[0x08..0x0a].copy_from_slice(&16_384_u16.to_le_bytes());
    let table = [
        structure(0, &[1, 2, 0, 0, 3], &["FUJITSU // Insyde Software Corp.", "2.10", "07/15/2025"]),
        structure(1, &system, &strings),
        // A notebook.
        structure(3, &[1, 0x0a, 0, 2], &["FUJITSU CLIENT COMPUTING LIMITED", "R0X00001"]),
        structure(17, &module, &[]),
        structure(127, &[], &[]),
    ]
    .concat();
    let mut out = vec![0, 3, 4, 0];
    out.extend_from_slice(&(table.len() as u32).to_le_bytes());
    out.extend(table);
    out
}

/// The first connection of a second stick, in the machine's local time and code page.
fn setup_log() -> Vec<u8> {
    let text = "[Device Install Log]\r\n     OS Version = 10.0.26100\r\n     Architecture = amd64\r\n\r\n\
        [BeginLog]\r\n\r\n\
        >>>  [Device Install (Hardware initiated) - USBSTOR\\Disk&Ven_ELECOM&Prod_MF-PKU3&Rev_PMAP\\EL00112233&0]\r\n\
        >>>  Section start 2026/10/01 08:30:15.250\r\n\
        \x20    dvi: {Build Driver List} C:\\Users\\経理　太郎\\ドライバー\\表示.inf\r\n\
        <<<  Section end 2026/10/01 08:30:16.000\r\n<<<  [Exit status: SUCCESS]\r\n";
    encoding_rs::SHIFT_JIS.encode(text).0.into_owned()
}
