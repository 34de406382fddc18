//! modprobe.d, kernel arguments, udev rules and `modules.builtin`.

use std::collections::BTreeMap;

/// What modprobe.d says of one module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleRule {
    /// The command an `install` line runs instead of loading.
    pub install: Option<String>,
    /// A `blacklist` line: not loaded for a device by itself, but still by name.
    pub blacklisted: bool,
}

/// Reads `install` and `blacklist` lines of `modprobe.d(5)`; `-` and `_` in module names are the same.
/// Later lines win.
pub fn modprobe(text: &str, into: &mut BTreeMap<String, ModuleRule>) {
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim).filter(|l| !l.starts_with('#')).take(100_000) {
        let mut words = line.split_whitespace();
        let (Some(verb), Some(module)) = (words.next(), words.next()) else { continue };
        match verb {
            "install" => {
                let command = words.collect::<Vec<_>>().join(" ");
                into.entry(module_name(module)).or_default().install = Some(command);
            }
            "blacklist" => into.entry(module_name(module)).or_default().blacklisted = true,
            _ => {}
        }
    }
}

/// Whether an `install` command surely loads nothing.
#[must_use]
pub fn loads_nothing(command: &str) -> bool {
    let first = command.split_whitespace().next().unwrap_or_default();
    let name = first.rsplit('/').next().unwrap_or_default();
    let plain = !command.contains([';', '|', '&', '`', '$']);
    plain && matches!(name, "true" | "false" | "nologin" | ":")
}

/// A module's name as the kernel writes it.
#[must_use]
pub fn module_name(text: &str) -> String {
    text.trim_end_matches(".ko").replace('-', "_")
}

/// Whether `modules.builtin` (one path per line) names the module.
#[must_use]
pub fn is_builtin(text: &str, module: &str) -> bool {
    text.lines().any(|l| l.trim().rsplit('/').next().is_some_and(|file| module_name(file) == module))
}

/// Arguments of the kernel that restrict USB: `nousb`, `usbcore.authorized_default=N`,
/// `modprobe.blacklist=...`, `module_blacklist=...` with a storage module.
#[must_use]
pub fn kernel_arguments(cmdline: &str) -> Vec<String> {
    let storage = |list: &str| list.split(',').any(|m| module_name(m) == "usb_storage");
    cmdline
        .split_whitespace()
        .filter(|word| match word.split_once('=') {
            None => matches!(*word, "nousb" | "usbcore.nousb"),
            Some(("usbcore.nousb", value)) => matches!(value, "1" | "Y" | "y"),
            Some(("usbcore.authorized_default", value)) => matches!(value, "0" | "2"),
            Some(("modprobe.blacklist" | "module_blacklist", list)) => storage(list),
            _ => false,
        })
        .map(str::to_owned)
        .collect()
}

/// Lines of a udev rules file that take authorisation away from USB devices.
#[must_use]
pub fn udev_deauthorising(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with('#'))
        .filter(|l| {
            let compact: String = l.split_whitespace().collect();
            ["ATTR{authorized}=\"0\"", "ATTR{authorized_default}=\"0\"", "ATTR{../authorized}=\"0\""]
                .iter()
                .any(|assignment| compact.contains(assignment))
        })
        .map(|l| l.chars().take(300).collect())
        .take(100)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_lines_and_blacklists_are_told_apart() {
        let mut rules = BTreeMap::new();
        modprobe(
            "# install usb-storage /bin/false\ninstall usb-storage \\\n  /bin/true\nblacklist uas\noptions x y=1\n",
            &mut rules,
        );
        assert_eq!(rules["usb_storage"].install.as_deref(), Some("/bin/true"));
        assert!(rules["uas"].blacklisted && rules["uas"].install.is_none());
        assert_eq!(rules.len(), 2);
    }

    #[test]
    fn only_commands_that_do_nothing_block() {
        for (command, blocks) in [
            ("/bin/false", true),
            ("/usr/bin/true", true),
            ("/bin/true; /sbin/modprobe --ignore-install usb_storage", false),
            ("/sbin/modprobe --ignore-install usb_storage", false),
            ("", false),
        ] {
            assert_eq!(loads_nothing(command), blocks, "{command}");
        }
    }

    #[test]
    fn arguments_builtins_and_udev_rules_are_found() {
        assert_eq!(
            kernel_arguments(
                "ro quiet usbcore.authorized_default=0 nousb module_blacklist=a,usb-storage usbcore.authorized_default=1"
            ),
            ["usbcore.authorized_default=0", "nousb", "module_blacklist=a,usb-storage"]
        );
        assert!(is_builtin("kernel/drivers/usb/storage/usb-storage.ko\n", "usb_storage"));
        assert!(!is_builtin("kernel/drivers/usb/storage/usb-storage-x.ko\n", "usb_storage"));
        let rules = "# ATTR{authorized}=\"0\"\nACTION==\"add\", SUBSYSTEM==\"usb\", ATTR{authorized} = \"0\"\nATTR{authorized}==\"0\", RUN+=\"x\"\n";
        assert_eq!(udev_deauthorising(rules).len(), 1);
    }
}
