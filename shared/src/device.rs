//! What kind of machine a host is, as 3-1-1-1 and 3-1-1-2 divide them.

use serde::{Deserialize, Serialize};

use crate::fact::hardware::Hardware;
use crate::fact::os::Os;
use crate::text::Text;

/// Kind of machine.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A personal computer, laptops and tablets included.
    Pc,
    /// A thin client.
    ThinClient,
    /// A virtual machine with a client operating system.
    VirtualPc,
    /// A physical server.
    Server,
    /// A virtual machine with a server operating system.
    VirtualServer,
    /// A machine that hosts virtual machines.
    Hypervisor,
    /// A container that runs an agent of its own.
    Container,
}

impl DeviceKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Pc,
        Self::ThinClient,
        Self::VirtualPc,
        Self::Server,
        Self::VirtualServer,
        Self::Hypervisor,
        Self::Container,
    ];

    /// The contract word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::ThinClient => "thin_client",
            Self::VirtualPc => "virtual_pc",
            Self::Server => "server",
            Self::VirtualServer => "virtual_server",
            Self::Hypervisor => "hypervisor",
            Self::Container => "container",
        }
    }

    /// Title for people.
    #[must_use]
    pub fn title(self) -> Text {
        match self {
            Self::Pc => Text::new("PC", "PC"),
            Self::ThinClient => Text::new("シンクライアント", "Thin client"),
            Self::VirtualPc => Text::new("仮想PC", "Virtual PC"),
            Self::Server => Text::new("サーバー", "Server"),
            Self::VirtualServer => Text::new("仮想サーバー", "Virtual server"),
            Self::Hypervisor => Text::new("ハイパーバイザ", "Hypervisor"),
            Self::Container => Text::new("コンテナ", "Container"),
        }
    }

    /// Whether 3-1-1-1 counts it (PCs and thin clients); all others belong to 3-1-1-2.
    #[must_use]
    pub fn is_client(self) -> bool {
        matches!(self, Self::Pc | Self::ThinClient | Self::VirtualPc)
    }
}

/// Derives the kind from hardware and operating system. `None` where neither says: a tower without a
/// known chassis may be a PC or a server, and guessing would put it on the wrong list.
#[must_use]
pub fn device_kind(hardware: &Hardware, os: &Os) -> Option<DeviceKind> {
    let chassis = hardware.chassis.as_deref();
    let virtualization = hardware.virtualization.as_ref().map(|v| v.kind.as_str());
    let server_os = says_server(os);
    if virtualization == Some("container") || chassis == Some("container") {
        return Some(DeviceKind::Container);
    }
    if virtualization == Some("virtual") || chassis == Some("virtual") {
        return Some(if server_os == Some(false) {
            DeviceKind::VirtualPc
        } else {
            DeviceKind::VirtualServer
        });
    }
    // Windows clients run Hyper-V and Linux desktops load KVM by default: only a server counts.
    let server_hardware = matches!(chassis, Some("server" | "blade"));
    if server_os == Some(true) || (server_hardware && server_os.is_none()) {
        let hosting = hardware.hypervisor_host.is_some();
        return Some(if hosting { DeviceKind::Hypervisor } else { DeviceKind::Server });
    }
    match chassis {
        Some("thin_client") => Some(DeviceKind::ThinClient),
        Some("desktop" | "laptop" | "tablet" | "all_in_one" | "mini_pc") => Some(DeviceKind::Pc),
        _ if server_os == Some(false) => Some(DeviceKind::Pc),
        _ => None,
    }
}

/// Whether the operating system says it is a server's or a client's; most of Linux says neither.
fn says_server(os: &Os) -> Option<bool> {
    match os.installation_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some(text) if text.contains("server") => return Some(true),
        Some(text) if text.contains("client") => return Some(false),
        _ => {}
    }
    if os.family == "macos" {
        return Some(false);
    }
    let edition = os.edition.as_deref().unwrap_or_default().to_ascii_lowercase();
    if edition.contains("server") {
        return Some(true);
    }
    ["workstation", "desktop", "professional", "core", "enterprise", "education"]
        .iter()
        .any(|word| edition.starts_with(word))
        .then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::hardware::Virtualization;

    fn kind(chassis: &str, virtualization: Option<&str>, os: Os) -> Option<DeviceKind> {
        let virtualization =
            virtualization.map(|kind| Virtualization { kind: kind.into(), ..Virtualization::default() });
        let chassis = Some(chassis.to_owned()).filter(|c| !c.is_empty());
        device_kind(&Hardware { chassis, virtualization, ..Hardware::default() }, &os)
    }

    fn os(family: &str, installation_type: Option<&str>) -> Os {
        Os { family: family.into(), installation_type: installation_type.map(Into::into), ..Os::default() }
    }

    #[test]
    fn machines_are_sorted_by_what_they_say_and_never_guessed() {
        let linux = || os("linux", None);
        assert_eq!(kind("laptop", None, linux()), Some(DeviceKind::Pc));
        assert_eq!(kind("thin_client", None, linux()), Some(DeviceKind::ThinClient));
        assert_eq!(kind("server", None, linux()), Some(DeviceKind::Server));
        assert_eq!(kind("desktop", None, os("windows", Some("Server"))), Some(DeviceKind::Server));
        assert_eq!(kind("other", Some("virtual"), linux()), Some(DeviceKind::VirtualServer));
        assert_eq!(kind("virtual", None, os("windows", Some("Client"))), Some(DeviceKind::VirtualPc));
        assert_eq!(kind("", Some("container"), linux()), Some(DeviceKind::Container));
        assert_eq!(kind("", None, linux()), None);
        assert_eq!(kind("other", None, os("macos", None)), Some(DeviceKind::Pc));
    }

    #[test]
    fn only_a_server_that_hosts_machines_is_a_hypervisor() {
        let mut hardware = Hardware {
            chassis: Some("server".into()),
            hypervisor_host: Some("kvm".into()),
            ..Hardware::default()
        };
        assert_eq!(device_kind(&hardware, &os("linux", None)), Some(DeviceKind::Hypervisor));
        hardware.chassis = Some("laptop".into());
        assert_eq!(device_kind(&hardware, &os("linux", None)), Some(DeviceKind::Pc));
    }
}
