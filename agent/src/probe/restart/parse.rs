//! Pure parts of the restart probe.

use std::cmp::Ordering;

use crate::probe::package::{deb_version, rpm};

/// Kernel releases of file names such as `vmlinuz-6.1.0-40-amd64`; rescue images are no kernels to boot.
#[must_use]
pub fn kernel_release(file_name: &str) -> Option<&str> {
    let release = file_name.strip_prefix("vmlinuz-").or_else(|| file_name.strip_prefix("vmlinux-"))?;
    let digit = release.starts_with(|c: char| c.is_ascii_digit());
    (digit && !release.ends_with(".old") && !release.contains("rescue")).then_some(release)
}

/// What tells kernels of one machine apart that are not successors of each other (`amd64`, `cloud-amd64`,
/// `generic`, `x86_64`): the release without its numbers.
#[must_use]
pub fn flavour(release: &str) -> String {
    let words =
        release.split(['-', '.', '_', '+']).filter(|w| !w.bytes().any(|b| b.is_ascii_digit()) || is_arch(w));
    words.collect::<Vec<_>>().join("-")
}

fn is_arch(word: &str) -> bool {
    matches!(word, "amd64" | "arm64" | "i386" | "i686" | "aarch64" | "64")
}

/// The newest installed release of the running one's flavour, where it is newer.
#[must_use]
pub fn newer_kernel<'a>(running: &str, installed: &'a [String]) -> Option<&'a str> {
    let wanted = flavour(running);
    let same = installed.iter().map(String::as_str).filter(|r| flavour(r) == wanted);
    same.filter(|r| compare(r, running).is_gt()).max_by(|a, b| compare(a, b))
}

/// Releases that end in rpm's machine name compare as rpm versions (`80.4.el8` after `80.el8`), the others
/// as Debian ones.
fn compare(a: &str, b: &str) -> Ordering {
    if a.ends_with(".x86_64") || a.ends_with(".aarch64") {
        rpm::compare(a, b)
    } else {
        deb_version::compare(a, b)
    }
}

/// Whether a process still maps a shared library that was replaced on disk. Only files in library folders
/// count: programs delete their own temporary mappings all the time.
#[must_use]
pub fn maps_replaced_library(maps: &[u8]) -> bool {
    memchr::memmem::find_iter(maps, b" (deleted)").any(|at| {
        let start = memchr::memrchr(b'\n', &maps[..at]).map_or(0, |i| i + 1);
        let line = String::from_utf8_lossy(&maps[start..at]);
        let path = line.find('/').map_or("", |i| &line[i..]);
        let library =
            path.starts_with("/usr/lib") || path.starts_with("/lib") || path.starts_with("/usr/local/lib");
        library && (path.ends_with(".so") || path.contains(".so."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn releases(list: &[&str]) -> Vec<String> {
        list.iter().map(|r| (*r).to_owned()).collect()
    }

    #[test]
    fn newest_kernel_of_the_same_flavour() {
        let debian = releases(&["6.1.0-13-amd64", "6.1.0-40-amd64", "6.1.0-41-cloud-amd64"]);
        assert_eq!(newer_kernel("6.1.0-13-amd64", &debian), Some("6.1.0-40-amd64"));
        assert_eq!(newer_kernel("6.1.0-40-amd64", &debian), None);
        let rhel =
            releases(&["4.18.0-80.el8.x86_64", "4.18.0-80.4.2.el8_0.x86_64", "4.18.0-80.11.2.el8_0.x86_64"]);
        assert_eq!(newer_kernel("4.18.0-80.4.2.el8_0.x86_64", &rhel), Some("4.18.0-80.11.2.el8_0.x86_64"));
        let ubuntu = releases(&["5.15.0-91-generic", "5.15.0-105-generic", "6.5.0-1-lowlatency"]);
        assert_eq!(newer_kernel("5.15.0-91-generic", &ubuntu), Some("5.15.0-105-generic"));
        assert_eq!(kernel_release("vmlinuz-0-rescue-abc"), None);
        assert_eq!(kernel_release("vmlinuz-6.1.0-13-amd64"), Some("6.1.0-13-amd64"));
        assert_eq!(kernel_release("initrd.img-6"), None);
    }

    #[test]
    fn replaced_libraries_and_not_temporary_files() {
        let line = |path: &str| format!("7f0-7f1 r-xp 00000000 08:01 123 {path}\n");
        assert!(maps_replaced_library(line("/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)").as_bytes()));
        assert!(!maps_replaced_library(line("/tmp/x.so (deleted)").as_bytes()));
        assert!(!maps_replaced_library(line("/usr/lib/x86_64-linux-gnu/libssl.so.3").as_bytes()));
        assert!(!maps_replaced_library(b" (deleted)"));
    }
}
