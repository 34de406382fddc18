//! What tells the machine itself: firmware tables, kernel tables, release files, mounts, names.

use tenken_agent::probe::{hardware, identity, network, os, volumes};

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("smbios", smbios, &[]).made(made_smbios).max_len(1024),
    Target::over(
        "hardware_files",
        hardware_files,
        &[
            "agent/fixtures/hardware/linux-firecracker/proc/cpuinfo",
            "agent/fixtures/hardware/linux-firecracker/proc/meminfo",
        ],
    )
    .samples(DMI),
    Target::over(
        "os_release",
        os_release,
        &["agent/fixtures/os/linux-debian-12/etc", "agent/fixtures/hardware/linux-firecracker/etc"],
    )
    .samples(RELEASES)
    .max_len(1024),
    Target::over("kernel_releases", kernel_releases, &[]).samples(KERNELS).max_len(128),
    Target::over("elf_head", elf_head, &[]).made(made_elf).max_len(64),
    Target::over("network_files", network_files, &[]).samples(NETWORK).max_len(1024),
    Target::over("mounts", mounts, &[]).samples(MOUNTS).max_len(1024),
    Target::over("identity_files", identity_files, &[]).samples(IDENTITY).max_len(1024),
];

const DMI: &[&str] = &["Default string", "QEMU", "To Be Filled By O.E.M.", "10/01/2024", "LENOVO\n20XW"];
const RELEASES: &[&str] = &[
    "NAME=\"Red Hat Enterprise Linux\"\nVERSION_ID='9.4'\nID=rhel\nID_LIKE=\"fedora\"\nPRETTY_NAME=a\\ b\n",
    "Red Hat Enterprise Linux Server release 7.9 (Maipo)\n",
    "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\nDISTRIB_CODENAME=jammy\n",
    "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n",
    "LANG=ja_JP.UTF-8\nLC_ALL=\"C\"\n",
];
const KERNELS: &[&str] =
    &["6.1.0-40-amd64\n6.1.0-9-amd64", "5.14.0-427.el9.x86_64\n5.14.0-70.el9.x86_64", "6.6.1-arch1-1\n6.6.1"];
const NETWORK: &[&str] = &[
    "00000000000000000000000000000001 01 80 10 80       lo\nfe80000000000000021122fffe334455 02 40 20 80     eth0\n",
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0\n",
    "# x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch example.local\n",
    "00:11:22:33:44:55",
];
const MOUNTS: &[&str] = &[
    "36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n1 0 0:30 /@ / rw - btrfs /dev/mapper/a rw,subvol=/@\n",
    "UUID=0a3407de-014b-458b-b5c1-848e92a327a3 / ext4 errors=remount-ro 0 1\n//nas/share /mnt/x cifs credentials=/root/c 0 0\n",
    "luks-1 UUID=0a3407de-014b-458b-b5c1-848e92a327a3 none luks,discard\n",
    "CRYPT-LUKS2-0a3407de014b458bb5c1848e92a327a3-luks-1",
];
const IDENTITY: &[&str] = &[
    "0123456789abcdef0123456789abcdef\n",
    "127.0.0.1 localhost\n192.0.2.7 pc7.example.local pc7 # x\n",
    "[sssd]\ndomains = example.local\n[domain/example.local]\nid_provider = ad\nad_domain = example.local\n",
    "[global]\n workgroup = OFFICE\n security = ADS\n realm = EXAMPLE.LOCAL\n",
];

fn smbios(data: &[u8]) {
    let _ = hardware::smbios::parse(data);
}

fn hardware_files(data: &[u8]) {
    text(data, |text| {
        let _ = (hardware::parse::cpuinfo(text), hardware::parse::mem_total(text));
        let _ = (hardware::parse::has_hypervisor_flag(text), hardware::parse::firmware_date(text));
        // A junk value is never taken for a genuine one.
        if hardware::parse::is_junk(text) {
            assert!(!matches!(hardware::parse::dmi_value(text), Some(Ok(_))), "{text:?}");
        }
        let (maker, model) = text.split_once('\n').unwrap_or((text, ""));
        let _ = hardware::parse::is_thin_client(maker, model);
    });
}

fn os_release(data: &[u8]) {
    text(data, |text| {
        let release = os::parse::os_release(text);
        let _ = os::parse::full_version(&release, Some(text));
        let _ = (os::parse::redhat_release(text), os::parse::lsb_release(text));
        let _ = (os::parse::suse_release(text), os::parse::arch_release(text));
        let _ = (os::parse::locale(text), os::parse::iso_date(text));
    });
}

/// Comparing is a total order: swapping the sides turns the answer round.
fn kernel_releases(data: &[u8]) {
    use tenken_agent::probe::restart::parse::{flavour, kernel_release, newer_kernel};
    text(data, |text| {
        let names: Vec<String> = text.lines().map(str::to_owned).collect();
        let (a, b) = text.split_once('\n').unwrap_or((text, ""));
        assert_eq!(
            os::parse::compare_kernels(a, b),
            os::parse::compare_kernels(b, a).reverse(),
            "{a:?} {b:?}"
        );
        assert!(os::parse::compare_kernels(a, a).is_eq(), "{a:?}");
        let _ = (os::parse::is_kernel_release(a), kernel_release(a), flavour(a));
        // The running kernel is never newer than itself.
        assert_ne!(newer_kernel(a, &names), Some(a), "{names:?}");
    });
}

fn elf_head(data: &[u8]) {
    let _ = os::parse::elf_machine(data);
}

fn network_files(data: &[u8]) {
    text(data, |text| {
        let _ = (network::parse::if_inet6(text), network::parse::name_servers(text));
        let _ = (network::parse::gateways_v4(text), network::parse::gateways_v6(text));
        let _ = network::parse::mac(text);
    });
}

fn mounts(data: &[u8]) {
    text(data, |text| {
        for mount in volumes::parse::mountinfo(text).iter().chain(&volumes::parse::fstab(text)) {
            let _ = volumes::parse::is_volume(mount);
        }
        let _ = (volumes::parse::crypttab(text), volumes::parse::dm_encryption(text));
    });
}

fn identity_files(data: &[u8]) {
    text(data, |text| {
        let _ = (identity::parse::host_name(text), identity::parse::machine_id(text));
        let _ = (identity::parse::fqdn_in_hosts(text, "pc7"), identity::parse::ini(text));
        let _ = (identity::parse::sssd_join(text), identity::parse::samba(text));
    });
}

/// BIOS, system, chassis, processor and memory structures and the end.
fn made_smbios() -> Vec<Vec<u8>> {
    let structure = |kind: u8, formatted: &[u8], strings: &[&str]| {
        let mut out = vec![kind, formatted.len() as u8 + 4, kind, 0];
        out.extend(formatted);
        for string in strings {
            out.extend(string.as_bytes());
            out.push(0);
        }
        out.extend(if strings.is_empty() { &[0, 0][..] } else { &[0] });
        out
    };
    let mut table =
        structure(0, &[1, 2, 0, 0xe0, 3, 0xff, 0, 0, 0, 0, 0, 0, 0, 0], &["LENOVO", "N32ET", "10/01/2024"]);
    let uuid: Vec<u8> = (0..16).collect();
    let system = [&[1, 2, 3, 4][..], &uuid, &[6, 5, 6]].concat();
    table.extend(structure(1, &system, &["LENOVO", "20XW", "X1", "PF123456", "SKU", "Family"]));
    table.extend(structure(3, &[1, 10, 2, 3, 4, 3, 3, 3, 3], &["LENOVO", "V", "S", "A"]));
    table.extend(structure(4, &[0; 44], &["CPU"]));
    table.extend(structure(17, &[0x10, 0, 0, 0, 64, 0, 64, 0, 0, 0x20, 9, 0, 1, 2], &["DIMM", "BANK"]));
    table.extend(structure(127, &[], &[]));
    vec![table]
}

fn made_elf() -> Vec<Vec<u8>> {
    let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    head.resize(64, 0);
    vec![head]
}
