//! A made-up Windows 11 of a Japanese office as a folder: hives written by an independent library, event
//! logs, a set-up log in code page 932 with local times, users with kanji and 全角 space, the era calendar
//! switched on.

mod event_log;
mod firmware;
mod hive;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use event_log::Event;
use hive::{Keys, Value};

const SOFTWARE: &str = "Windows/System32/config/SOFTWARE";
const SYSTEM: &str = "Windows/System32/config/SYSTEM";
const SECURITY: &str = "Windows/System32/config/SECURITY";
const VERSION: &str = r"Microsoft\Windows NT\CurrentVersion";
const UNINSTALL: &str = r"Microsoft\Windows\CurrentVersion\Uninstall";
const SERVICING: &str = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages";
/// `DEVPKEY_Device_FirstInstallDate` and its kin.
const DATES: &str = r"Properties\{83da6326-97a6-4088-9453-a1923f573b29}";

const UPDATE_POLICY: &str = r"Policies\Microsoft\Windows\WindowsUpdate";
const STORAGE_POLICY: &str = r"Policies\Microsoft\Windows\RemovableStorageDevices";
const EXPLORER_POLICY: &str = r"Microsoft\Windows\CurrentVersion\Policies\Explorer";
/// Channel and provider of Windows' own backup.
const BACKUP: &str = "Microsoft-Windows-Backup";

/// When its newest update was installed.
pub const UPDATED: &str = "2026-10-15T03:20:10Z";
/// When its last backup ended well.
pub const BACKED_UP: &str = "2026-11-16T12:42:00Z";
/// The user of the machine.
pub const USER: &str = "経理　太郎";
/// Serial of the stick it has seen.
pub const STICK: &str = "B0001234567890";

/// The machine, as keys with their values.
#[derive(Debug, Clone, Default)]
pub struct WindowsMachine {
    hives: BTreeMap<String, Keys>,
    logs: BTreeMap<&'static str, Vec<Event>>,
}

impl WindowsMachine {
    /// A current Windows 11 Pro with media locked away.
    pub fn japanese() -> Result<Self> {
        let mut machine = Self::default();
        machine.identify();
        machine.install();
        machine.update()?;
        machine.back_up()?;
        machine.restrict();
        machine.plug()?;
        machine.user();
        Ok(machine)
    }

    /// The same, left to itself: behind by three months, updates put off, no backup, media and auto-run free.
    pub fn neglected() -> Result<Self> {
        let mut machine = Self::japanese()?;
        machine.numbers(SOFTWARE, VERSION, &[("UBR", 8875)]);
        let deferral = [("DeferQualityUpdates", 1), ("DeferQualityUpdatesPeriodInDays", 21)];
        machine.numbers(SOFTWARE, UPDATE_POLICY, &deferral);
        machine.logs.remove(BACKUP);
        machine.numbers(SOFTWARE, STORAGE_POLICY, &[("Deny_All", 0)]);
        machine.numbers(SYSTEM, r"ControlSet001\Services\USBSTOR", &[("Start", 3)]);
        machine.numbers(SOFTWARE, EXPLORER_POLICY, &[("NoDriveTypeAutoRun", 0x91), ("NoAutorun", 0)]);
        Ok(machine)
    }

    /// Puts a value into a hive; the last one of a name stands.
    fn put(&mut self, hive: &str, key: &str, name: &str, value: Value) {
        let values = self.hives.entry(hive.into()).or_default().entry(key.into()).or_default();
        values.retain(|(of, _)| of != name);
        values.push((name.into(), value));
    }

    fn texts(&mut self, hive: &str, key: &str, values: &[(&str, &str)]) {
        for (name, value) in values {
            self.put(hive, key, name, Value::Text((*value).to_owned()));
        }
    }

    fn numbers(&mut self, hive: &str, key: &str, values: &[(&str, u32)]) {
        for (name, value) in values {
            self.put(hive, key, name, Value::Number(*value));
        }
    }

    /// Adds an event to a log, newest last.
    fn event(
        &mut self,
        channel: &'static str,
        provider: &'static str,
        (id, at): (u32, &str),
        data: &[(&'static str, &str)],
    ) -> Result<()> {
        let data = data.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let event = Event { provider, id, at: at.parse()?, data };
        self.logs.entry(channel).or_default().push(event);
        Ok(())
    }

    fn identify(&mut self) {
        // The product name of Windows 11 still says 10.
        let version = [
            ("ProductName", "Windows 10 Pro"),
            ("EditionID", "Professional"),
            ("InstallationType", "Client"),
            ("DisplayVersion", "25H2"),
            ("CurrentBuildNumber", "26200"),
        ];
        self.texts(SOFTWARE, VERSION, &version);
        let numbers = [
            ("CurrentMajorVersionNumber", 10),
            ("CurrentMinorVersionNumber", 0),
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
        let interface = set(r"Services\Tcpip\Parameters\Interfaces\{0ab4ffb6-3c5d-44b1-9c0e-1f3a5b7c9d10}");
        self.texts(SYSTEM, &interface, &[("DhcpIPAddress", "192.168.10.21"), ("DhcpServer", "192.168.10.1")]);
        self.numbers(SYSTEM, &interface, &[("EnableDHCP", 1)]);
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
        self.put(SYSTEM, &set(r"Services\mssmbios\Data"), "SMBiosData", Value::Bytes(firmware::smbios()));
        // The account domain and the primary domain: no join.
        for (key, bytes) in [(r"Policy\PolDnDDN", vec![0; 8]), (r"Policy\PolPrDmN", vec![0; 8])] {
            self.put(SECURITY, key, "", Value::Bytes(bytes));
        }
    }

    fn install(&mut self) {
        let titles: [(&str, &[(&str, &str)]); 3] = [
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

    /// One cumulative update is installed, and the next ones install themselves.
    fn update(&mut self) -> Result<()> {
        self.numbers(SOFTWARE, VERSION, &[("UBR", 9711)]);
        let package = format!(r"{SERVICING}\Package_for_RollupFix~31bf3856ad364e35~amd64~~26200.9711.1.10");
        let time = hive::filetime(UPDATED.parse()?);
        let installed = [
            ("CurrentState", 0x70),
            ("InstallTimeHigh", (time >> 32) as u32),
            ("InstallTimeLow", time as u32),
        ];
        self.numbers(SOFTWARE, &package, &installed);
        self.numbers(SOFTWARE, &format!(r"{UPDATE_POLICY}\AU"), &[("AUOptions", 4), ("NoAutoUpdate", 0)]);
        self.numbers(SYSTEM, r"ControlSet001\Services\wuauserv", &[("Start", 3)]);
        self.event(
            "System",
            "Microsoft-Windows-WindowsUpdateClient",
            (19, UPDATED),
            &[
                ("updateTitle", "2026-10 x64 ベース システム用 Windows 11 の累積更新プログラム (KB5109711)"),
                ("updateGuid", "{5d0f5ad9-0000-4000-8000-000000000001}"),
            ],
        )
    }

    /// The system image of every night, to a server.
    fn back_up(&mut self) -> Result<()> {
        self.event(BACKUP, BACKUP, (1, "2026-11-16T12:00:00Z"), &[])?;
        self.event(BACKUP, BACKUP, (4, BACKED_UP), &[("BackupTarget", r"\\backup01\画像"), ("HRESULT", "0")])
    }

    fn restrict(&mut self) {
        self.numbers(SOFTWARE, STORAGE_POLICY, &[("Deny_All", 1)]);
        self.numbers(SYSTEM, r"ControlSet001\Services\USBSTOR", &[("Start", 4)]);
        self.numbers(SOFTWARE, EXPLORER_POLICY, &[("NoDriveTypeAutoRun", 0xff), ("NoAutorun", 1)]);
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
            ("0066", "2026-11-13T01:00:00Z"),
            ("0067", "2026-11-13T02:00:00Z"),
        ];
        for (property, at) in dates {
            self.put(SYSTEM, &format!(r"{usb}\{DATES}\{property}"), "", Value::Time(at.parse()?));
        }
        let disk = [
            ("BusType", "7"),
            ("Capacity", "31457280000"),
            ("Manufacturer", "BUFFALO"),
            ("Model", "USB Flash Disk"),
            ("ParentId", &format!(r"USB\VID_0411&PID_02BC\{STICK}")),
        ];
        let channel = "Microsoft-Windows-Partition/Diagnostic";
        self.event(channel, "Microsoft-Windows-Partition", (1006, "2026-11-13T01:00:00Z"), &disk)
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
            std::fs::write(path, hive::hive(keys)?)?;
        }
        let folder = root.join("Windows/System32/winevt/Logs");
        std::fs::create_dir_all(&folder)?;
        for (channel, events) in &self.logs {
            let file = folder.join(format!("{}.evtx", channel.replace('/', "%4")));
            std::fs::write(file, event_log::log(channel, "KEIRI-01", events))?;
        }
        let folder = root.join("Windows/INF");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("setupapi.dev.log"), setup_log())?;
        Ok(root.to_owned())
    }
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
