//! Physical, virtual or container, and by which hypervisor; whether this machine hosts others.

use tenken_shared::fact::hardware::Virtualization;

use super::parse;
use crate::probe::sources::Sources;
use crate::sys::Sys;

/// Words in SMBIOS maker, model, board or firmware that name a hypervisor, most telling first.
const VENDOR_WORDS: [(&str, &str); 20] = [
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("parallels", "parallels"),
    ("bhyve", "bhyve"),
    ("apple virtualization", "apple"),
    ("nutanix", "kvm"),
    ("ahv", "kvm"),
    ("openstack", "kvm"),
    ("rhev", "kvm"),
    ("ovirt", "kvm"),
    ("google compute engine", "kvm"),
    ("alibaba cloud ecs", "kvm"),
    ("digitalocean", "kvm"),
    ("amazon ec2", "kvm"),
    ("kubevirt", "kvm"),
    ("hvm domu", "xen"),
    ("xen", "xen"),
    ("kvm", "kvm"),
    ("qemu", "qemu"),
];

/// Words in the control groups of process 1 that name a container engine.
const CGROUP_WORDS: [(&str, &str); 6] = [
    ("/docker", "docker"),
    ("/kubepods", "kubernetes"),
    ("/lxc", "lxc"),
    ("/machine.slice/machine-", "systemd-nspawn"),
    ("/libpod", "podman"),
    ("/garden", "garden"),
];

/// The hypervisor that SMBIOS words name; bare-metal cloud machines are physical though their maker is a cloud.
#[must_use]
pub fn of_vendor(words: &[&str]) -> Option<&'static str> {
    // Whole words only: "xen" must not be found in "Xenon".
    let spaced = |text: &str| text.replace(|c: char| !c.is_alphanumeric(), " ");
    let all = format!(" {} ", spaced(&words.join(" ").to_lowercase()));
    if words.iter().any(|word| word.ends_with(".metal")) {
        return None;
    }
    if all.contains("microsoft corporation") && all.contains("virtual machine") {
        return Some("hyper-v");
    }
    VENDOR_WORDS.iter().find(|(word, _)| all.contains(&format!(" {word} "))).map(|(_, name)| *name)
}

/// What the machine is. `vendor` are the SMBIOS words, empty where there is no SMBIOS.
/// `None` where no sign decides: a machine without SMBIOS may be either.
pub fn detect(
    sys: &Sys,
    vendor: &[&str],
    cpuinfo: Option<&str>,
    sources: &mut Sources,
) -> Option<Virtualization> {
    let found = |kind: &str, name: Option<&str>, source: &str| {
        Some(Virtualization {
            kind: kind.into(),
            hypervisor: name.map(Into::into),
            source: Some(source.into()),
        })
    };
    if let Some((name, source)) = container(sys, sources) {
        return found("container", Some(&name), source);
    }
    let kernel = sources.optional_text(sys, "/proc/sys/kernel/osrelease").unwrap_or_default().to_lowercase();
    if kernel.contains("microsoft") {
        return found("virtual", Some("wsl"), "/proc/sys/kernel/osrelease");
    }
    let xen_host = is_xen_host(sys, sources);
    if let Some(name) = of_vendor(vendor).filter(|_| !xen_host) {
        return found("virtual", Some(name), "smbios");
    }
    if let Some(kind) = sources.optional_text(sys, "/sys/hypervisor/type").filter(|_| !xen_host) {
        return found("virtual", Some(kind.trim()), "/sys/hypervisor/type");
    }
    if let Some(tree) = sources.optional_text(sys, "/proc/device-tree/hypervisor/compatible") {
        let name = ["xen", "kvm", "vmware"].into_iter().find(|name| tree.contains(name));
        return found("virtual", name, "/proc/device-tree/hypervisor/compatible");
    }
    let flagged = cpuinfo.is_some_and(parse::has_hypervisor_flag);
    if flagged && !xen_host {
        return found("virtual", None, "/proc/cpuinfo");
    }
    if !vendor.is_empty() {
        return found("physical", None, "smbios");
    }
    let board = sources.optional_text(sys, "/proc/device-tree/model");
    board.and_then(|_| found("physical", None, "/proc/device-tree/model"))
}

fn container(sys: &Sys, sources: &mut Sources) -> Option<(String, &'static str)> {
    if let Some(name) = sources.optional_text(sys, "/run/systemd/container") {
        return Some((name.trim().to_lowercase(), "/run/systemd/container"));
    }
    // One sign among several: where it may not be read, the others decide.
    if let Ok(text) = sys.read_text("/proc/1/environ") {
        let name = text.split('\0').find_map(|pair| pair.strip_prefix("container="));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            return Some((name.to_lowercase(), "/proc/1/environ"));
        }
    }
    for (path, name) in [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")] {
        if matches!(sys.exists(path), Ok(true)) {
            return Some((name.into(), path));
        }
    }
    let groups = sources.optional_text(sys, "/proc/1/cgroup")?;
    let word = CGROUP_WORDS.iter().find(|(word, _)| groups.contains(word));
    word.map(|(_, name)| ((*name).to_owned(), "/proc/1/cgroup"))
}

fn is_xen_host(sys: &Sys, sources: &mut Sources) -> bool {
    sources.optional_text(sys, "/proc/xen/capabilities").is_some_and(|text| text.contains("control_d"))
}

/// With what this machine hosts virtual machines: Xen's first domain, defined libvirt or Proxmox guests,
/// or a hypervisor module in use. A processor that merely could is no host.
pub fn host_of(sys: &Sys, sources: &mut Sources) -> Option<String> {
    if is_xen_host(sys, sources) {
        return Some("xen".into());
    }
    for folder in ["/etc/libvirt/qemu", "/etc/pve/qemu-server"] {
        let guests = sys.list(folder).unwrap_or_default();
        if guests.iter().any(|entry| entry.name.ends_with(".xml") || entry.name.ends_with(".conf")) {
            return Some("kvm".into());
        }
    }
    let modules = sys.read_still("/proc/modules").ok()?;
    modules.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (name, users) = (words.next()?, words.nth(1)?.parse::<u32>().ok()?);
        let host = match name {
            "kvm_intel" | "kvm_amd" => "kvm",
            "vboxdrv" => "virtualbox",
            "vmmon" => "vmware",
            _ => return None,
        };
        // vboxdrv is held by its own network modules; a running guest adds one more.
        let idle = if name == "vboxdrv" { 2 } else { 0 };
        (users > idle).then(|| host.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_name_their_hypervisor() {
        assert_eq!(of_vendor(&["VMware, Inc.", "VMware7,1"]), Some("vmware"));
        assert_eq!(of_vendor(&["Microsoft Corporation", "Virtual Machine"]), Some("hyper-v"));
        assert_eq!(of_vendor(&["Microsoft Corporation", "Surface Laptop 5"]), None);
        assert_eq!(of_vendor(&["Amazon EC2", "m5.metal"]), None);
        assert_eq!(of_vendor(&["QEMU", "Standard PC (Q35 + ICH9, 2009)"]), Some("qemu"));
        assert_eq!(of_vendor(&["Xenon Systems", "KVMaster"]), None);
        assert_eq!(of_vendor(&["LENOVO", "20XWCTO1WW"]), None);
    }
}
