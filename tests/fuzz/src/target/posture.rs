//! Settings and states of the system's own protection: firewall, removable media, auto-run, sockets.

use std::collections::BTreeMap;

use tenken_agent::probe::removable_policy::{self, usbguard};
use tenken_agent::probe::{autorun, dconf, firewall, services};

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("nft_ruleset", nft_ruleset, &[]).samples(NFT),
    Target::over("iptables_save", iptables_save, &[]).samples(IPTABLES).max_len(1024),
    Target::over("firewall_files", firewall_files, &[]).samples(FIREWALL).max_len(1024),
    Target::over("proc_net_sockets", proc_net_sockets, &[]).samples(SOCKETS).max_len(1024),
    Target::over("usbguard_rules", usbguard_rules, &[]).samples(USBGUARD).max_len(1024),
    Target::over("removable_settings", removable_settings, &[]).samples(REMOVABLE).max_len(1024),
    Target::over(
        "gvdb",
        gvdb,
        &[
            "agent/fixtures/autorun/linux-gnome/etc/dconf/db/local",
            "agent/fixtures/autorun/linux-gnome/home/ito/.config/dconf/user",
        ],
    ),
    Target::over("autorun_files", autorun_files, &[]).samples(AUTORUN).max_len(1024),
];

const NFT: &[&str] = &[
    r#"{"nftables":[{"metainfo":{"version":"1.0.6","json_schema_version":1}},{"table":{"family":"inet","name":"filter","handle":1}},{"chain":{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}},{"rule":{"family":"inet","table":"filter","chain":"input","handle":2,"expr":[{"accept":null}]}}]}"#,
];
const IPTABLES: &[&str] =
    &["# Generated\n*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"];
const FIREWALL: &[&str] = &[
    "ENABLED=yes\nLOGLEVEL=\"low\"\n",
    "### RULES ###\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n",
    "<?xml version=\"1.0\"?><zone target=\"DROP\"><short>Office</short><service name=\"ssh\"/><port protocol=\"tcp\" port=\"8443\"/></zone>",
];
const SOCKETS: &[&str] = &[
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0\n",
    "   0: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1\n",
];
const USBGUARD: &[&str] = &[
    "allow id 1d6b:0002 serial \"0000:00:14.0\" name \"xHCI Host Controller\" hash \"abc=\" parent-hash \"d=\" with-interface 09:00:00 with-connect-type \"\"\nblock id 0781:5581\nreject via-port one-of { \"1-1\" \"1-2\" } with-interface all-of { 08:*:* 03:00:00 }\nallow if !allowed-matches(query)\n",
];
const REMOVABLE: &[&str] = &[
    "blacklist usb-storage\ninstall usb_storage /bin/true\noptions usbcore authorized_default=0\n",
    "BOOT_IMAGE=/vmlinuz root=/dev/sda1 modprobe.blacklist=usb_storage usbcore.authorized_default=\"0\" quiet",
    "ACTION==\"add\", SUBSYSTEM==\"usb\", ATTR{bInterfaceClass}==\"08\", ATTR{authorized}=\"0\"\n",
];
const AUTORUN: &[&str] = &[
    "[Default Applications]\nx-content/unix-software=nautilus-autorun-software.desktop\n[General]\nAutomountOnPlugin=true\n",
    "<?xml version=\"1.0\"?><channel name=\"thunar-volman\"><property name=\"automount-drives\" type=\"empty\"><property name=\"enabled\" type=\"bool\" value=\"true\"/></property></channel>",
];

fn nft_ruleset(data: &[u8]) {
    let _ = firewall::parse::nft_ruleset(data);
}

fn iptables_save(data: &[u8]) {
    text(data, |text| {
        let _ = firewall::parse::iptables_save(text, "ipv4");
    });
}

fn firewall_files(data: &[u8]) {
    text(data, |text| {
        let _ = firewall::parse::shell_settings(text);
        let _ = firewall::parse::ufw_rules(text);
        let _ = firewall::parse::firewalld_zone("public", text);
    });
}

fn proc_net_sockets(data: &[u8]) {
    text(data, |text| {
        let _ = services::parse::sockets(text, true);
        let _ = services::parse::sockets(text, false);
        let _ = services::parse::socket_inode(text);
        let _ = services::parse::port_range(text);
    });
}

fn usbguard_rules(data: &[u8]) {
    text(data, |text| {
        let _ = usbguard::parse_rules(text);
    });
}

fn removable_settings(data: &[u8]) {
    text(data, |text| {
        let mut rules = BTreeMap::new();
        removable_policy::parse::modprobe(text, &mut rules);
        let _ = removable_policy::parse::is_builtin(text, "usb_storage");
        let _ = removable_policy::parse::kernel_arguments(text);
        let _ = removable_policy::parse::udev_deauthorising(text);
        let _ = removable_policy::parse::loads_nothing(text);
    });
}

fn gvdb(data: &[u8]) {
    let _ = dconf::Database::parse(data);
}

fn autorun_files(data: &[u8]) {
    text(data, |text| {
        let _ = autorun::parse::ini(text);
        let _ = autorun::parse::xfconf(text);
    });
}
