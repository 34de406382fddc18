//! The machine that is read: a Debian with a realistic package database and package lists.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use e2e::machine::Machine;

/// Packages installed.
const INSTALLED: usize = 800;
/// Of them with a newer version in the lists.
const PENDING: usize = 114;
/// Size of the package lists, bytes.
const LIST_BYTES: usize = 50 * 1024 * 1024;
const LISTS: &str = "var/lib/apt/lists/deb.example.org_debian_dists_bookworm";

/// How apt keeps its lists.
#[derive(Debug, Clone, Copy)]
pub enum Lists {
    /// As they are.
    Plain,
    /// As Debian's images have them.
    Lz4,
}

/// Writes the machine.
pub fn write(root: &Path, lists: Lists) -> Result<()> {
    let machine = Machine::at(root, "bench")?;
    machine.write("var/lib/dpkg/status", &status())?;
    machine.write("var/lib/dpkg/arch", "amd64\n")?;
    machine.write("etc/apt/sources.list", "deb http://deb.example.org/debian bookworm main\n")?;
    machine.write(
        &format!("{LISTS}_InRelease"),
        "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nVersion: 12\nCodename: bookworm\n\
         Date: Sat, 21 Nov 2026 10:00:00 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n \
         0000000000000000000000000000000000000000000000000000000000000000 100 main/binary-amd64/Packages\n",
    )?;
    let text = packages();
    let path = root.join(format!("{LISTS}_main_binary-amd64_Packages"));
    match lists {
        Lists::Plain => std::fs::write(path, text)?,
        Lists::Lz4 => {
            let file =
                std::fs::File::create(path.with_extension("lz4").with_file_name(format!(
                    "{}.lz4",
                    path.file_name().unwrap_or_default().to_string_lossy()
                )))?;
            let mut encoder = lz4_flex::frame::FrameEncoder::new(file);
            encoder.write_all(text.as_bytes())?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("lib{:x}-demo{number}", number.wrapping_mul(2_654_435_761) & 0xfff)
}

fn status() -> String {
    let mut out = String::new();
    for number in 0..INSTALLED {
        let _ = writeln!(
            out,
            "Package: {}\nStatus: install ok installed\nPriority: optional\nSection: libs\nInstalled-Size: {}\n\
             Maintainer: Demo Maintainers <team{}@lists.example.org>\nArchitecture: amd64\nMulti-Arch: same\n\
             Source: demo{number}\nVersion: 1.{number}-2\nDepends: libc6 (>= 2.34), libgcc-s1 (>= 3.0)\n\
             Description: demonstration library {number}\n This package holds the runtime of library {number}.\n .\n \
             It is here because something else needs it.\nHomepage: https://www.example.org/{number}/\n",
            name(number),
            number * 7,
            number % 40,
        );
    }
    out
}

/// Stanzas of the size that Debian's have; the installed packages are spread over them.
fn packages() -> String {
    let mut out = String::with_capacity(LIST_BYTES + 2048);
    let mut number = 0;
    // Every 60th stanza or so is one of an installed package.
    let mut installed = 0;
    while out.len() < LIST_BYTES {
        let own = number % 60 == 0 && installed < INSTALLED;
        let (package, version) = if own {
            installed += 1;
            let revision = if installed <= PENDING { 3 } else { 2 };
            (name(installed - 1), format!("1.{}-{revision}", installed - 1))
        } else {
            (format!("{}-other", name(number + INSTALLED)), format!("2.{}-1+b{}", number % 97, number % 5))
        };
        let _ = writeln!(
            out,
            "Package: {package}\nSource: demo{number}\nVersion: {version}\nInstalled-Size: {}\n\
             Maintainer: Demo Maintainers <team{}@lists.example.org>\nArchitecture: amd64\n\
             Depends: libc6 (>= 2.34), libgcc-s1 (>= 3.0), libstdc++6 (>= 11), demo-data (= {version})\n\
             Description: demonstration package {number}\nHomepage: https://www.example.org/demo{number}/\n\
             Description-md5: {:032x}\nTag: devel::library, implemented-in::c, role::shared-lib\n\
             Section: libs\nPriority: optional\nFilename: pool/main/d/demo{number}/{package}_{version}_amd64.deb\n\
             Size: {}\nMD5sum: {:032x}\nSHA256: {:064x}\n",
            number % 9000,
            number % 400,
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            number * 131 % 900_000,
            number.wrapping_mul(0xc2b2_ae3d_27d4_eb4f),
            number.wrapping_mul(0x1656_67b1_9e37_79f9),
        );
        number += 1;
    }
    out
}
