//! Backup products whose results are not read: being installed, they may hold jobs nobody sees here. Each is
//! a gap by name, until its jobs report with `backup-report --product`.

use tenken_shared::collected::{Reason, Status};

use super::super::status_file;
use super::Machine;
use crate::probe::sources::Sources;
use crate::sys::{RegistryKey, Sys, SysError, UserHive};

const SERVICES: &str = r"HKLM\SYSTEM\CurrentControlSet\Services";
const UNINSTALL: [&str; 2] = [
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall",
    r"SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall",
];

/// A product: its word in facts, its services, and how the names of its uninstall entries begin.
pub(super) struct Product {
    name: &'static str,
    services: &'static [&'static str],
    titles: &'static [&'static str],
}

impl Product {
    /// Its word in facts.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

const NOT_READ: &[Product] = &[
    // Results of newer versions are only in its own service. Older ones keep XML records whose codes are known
    // (6 good, 11 failed, 5 with exceptions, 1 cancelled), but neither their folder nor their form: guessed at, a
    // record of another task would pass for a backup.
    Product {
        name: "acronis",
        services: &["MMS", "AcrSch2Svc"],
        titles: &["Acronis Cyber Protect", "Acronis Backup", "Acronis True Image", "Cyber Protect Agent"],
    },
    // Its events have ids that are documented nowhere, and can be switched off; its logs are pages for people.
    Product { name: "macrium_reflect", services: &["MacriumService"], titles: &["Macrium Reflect"] },
    Product { name: "active_image_protector", services: &[], titles: &["ActiveImage Protector", "Actiphy"] },
    Product {
        name: "shadowprotect",
        services: &[],
        titles: &["StorageCraft", "ShadowProtect", "Arcserve ShadowProtect"],
    },
    Product { name: "cove", services: &["Backup Service Controller"], titles: &["N-able Backup Manager"] },
    Product {
        name: "azure_backup",
        services: &["obengine"],
        titles: &["Microsoft Azure Recovery Services Agent"],
    },
    Product { name: "duplicati", services: &["Duplicati"], titles: &["Duplicati"] },
    Product { name: "urbackup", services: &["UrBackupClientBackend"], titles: &["UrBackup"] },
    Product { name: "backblaze", services: &["bzserv"], titles: &["Backblaze"] },
    Product { name: "crashplan", services: &["CrashPlanService"], titles: &["CrashPlan"] },
    Product { name: "aomei_backupper", services: &[], titles: &["AOMEI Backupper"] },
    Product { name: "easeus_todo_backup", services: &[], titles: &["EaseUS Todo Backup"] },
    Product { name: "paragon", services: &[], titles: &["Paragon Backup", "Paragon Hard Disk Manager"] },
    Product { name: "hd_kakumei_backup", services: &[], titles: &["HD革命/BackUp", "HD革命／BackUp"] },
    Product {
        name: "lb_backup_works", services: &[], titles: &["LB バックアップ", "LBバックアップ"]
    },
    Product { name: "bunbackup", services: &[], titles: &["BunBackup"] },
    Product { name: "synology_drive", services: &[], titles: &["Synology Drive Client"] },
];

pub(super) const VEEAM_AGENT: Product = Product {
    name: "veeam_agent",
    services: &["VeeamEndpointBackupSvc"],
    titles: &["Veeam Agent for Microsoft Windows"],
};
pub(super) const ARCSERVE: Product = Product {
    name: "arcserve_udp",
    services: &["CASAD2DWebSvc"],
    titles: &["Arcserve Unified Data Protection", "Arcserve UDP"],
};
pub(super) const SYNOLOGY: Product = Product {
    name: super::super::synology::PRODUCT,
    services: &[],
    titles: &["Synology Active Backup for Business"],
};

/// Names every installed product that is not read.
pub(super) fn not_read(machine: &mut Machine<'_>) {
    let reported = status_file::reported(&machine.found);
    for product in NOT_READ.iter().filter(|product| is_installed(machine, product)).collect::<Vec<_>>() {
        if reported.contains(product.name) {
            machine.sources.known(product.name, 1);
        } else {
            let reason = Reason::with("product_not_read", product.name);
            machine.sources.gap(product.name, Status::Partial, reason);
        }
    }
}

/// Whether a product is installed, by its services and uninstall entries.
pub(super) fn is_installed(machine: &Machine<'_>, product: &Product) -> bool {
    let service = |name: &&str| matches!(machine.sys.registry(&format!("{SERVICES}\\{name}")), Ok(Some(_)));
    let begins = |title: &String| {
        let starts =
            |start: &&str| title.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start));
        product.titles.iter().any(starts)
    };
    product.services.iter().any(service) || machine.titles.iter().any(begins)
}

/// Names of the uninstall entries of the machine and of each user, in both views; a list that cannot be read is a
/// gap, since a product could hide in it.
pub(super) fn titles(sys: &Sys, users: &[UserHive], sources: &mut Sources) -> Vec<String> {
    let mut out = vec![];
    for path in UNINSTALL {
        let machine = format!("HKLM\\{path}");
        let of_machine = (format!("products:{machine}"), sys.registry(&machine));
        let hives = users.iter().filter_map(|user| user.hive.as_ref().ok());
        let of_users = hives.map(|hive| (format!("products:{}\\{path}", hive.path()), hive.open(path)));
        for (source, key) in std::iter::once(of_machine).chain(of_users) {
            match key.and_then(of_key) {
                Ok(titles) => {
                    sources.known(source, titles.len());
                    out.extend(titles);
                }
                Err(error) => sources.error(source, &error),
            }
        }
    }
    out
}

fn of_key(key: Option<RegistryKey>) -> Result<Vec<String>, SysError> {
    let Some(key) = key else { return Ok(vec![]) };
    let mut out = vec![];
    for entry in key.children()? {
        // A name of another type is none.
        out.extend(entry.string("DisplayName").ok().flatten());
    }
    Ok(out)
}
