//! Names and ids of the machine. Secondary to the agent's own key: all of these are copied by cloning.

use serde::{Deserialize, Serialize};

/// Body of `identity`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// `/etc/machine-id`, MachineGuid or IOPlatformUUID.
    pub machine_id: Option<String>,
    /// SMBIOS system UUID.
    pub product_uuid: Option<String>,
    /// Short host name.
    pub hostname: Option<String>,
    /// Fully qualified name, where configured.
    pub fqdn: Option<String>,
    /// DNS, Kerberos or Active Directory domain the machine is joined to.
    pub domain: Option<String>,
    /// Windows workgroup.
    pub workgroup: Option<String>,
    /// `active_directory`, `freeipa`, `entra`, `ldap`, `none`.
    pub join: Option<String>,
}
