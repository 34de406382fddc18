//! Made-up machines as folders: what a small Debian has on disk, for agents that are run with `--root`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tenken_shared::ids::Digest;

/// A folder with a machine's files.
#[derive(Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// Writes the files of a machine whose ids come from `name`.
    pub fn at(root: &Path, name: &str) -> Result<Self> {
        let machine = Self { root: root.to_owned() };
        let id = Digest::of(name.as_bytes()).to_hex();
        machine.write("etc/hostname", &format!("{name}\n"))?;
        machine.write("etc/machine-id", &format!("{}\n", &id[..32]))?;
        machine.write(
            "etc/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
             VERSION_CODENAME=bookworm\nID=debian\n",
        )?;
        let dmi = |file: &str, text: &str| machine.write(&format!("sys/class/dmi/id/{file}"), text);
        dmi("sys_vendor", "FUJITSU\n")?;
        dmi("product_name", "LIFEBOOK A5511\n")?;
        dmi("product_serial", &format!("S{}\n", &id[..9].to_uppercase()))?;
        dmi("chassis_type", "10\n")?;
        let uuid = format!("{}-{}-4{}-8{}-{}\n", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32]);
        dmi("product_uuid", &uuid)?;
        machine.packages(&[
            ("bash", "5.2.15-2+b7"),
            ("openssl", "3.0.11-1~deb12u2"),
            ("zlib1g", "1:1.2.13.dfsg-1"),
        ])?;
        Ok(machine)
    }

    /// Replaces the installed packages.
    pub fn packages(&self, packages: &[(&str, &str)]) -> Result<()> {
        let stanza = |(name, version): &(&str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nPriority: optional\nSection: utils\n\
                 Maintainer: Maintainers <team@lists.example.org>\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        self.write("var/lib/dpkg/status", &packages.iter().map(stanza).collect::<String>())
    }

    /// Writes one file.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}
