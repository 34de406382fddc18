//! What a package is, by its name: the classes that the scheme's criteria speak of.

/// Beginnings of package or source names, by class. The first that fits decides.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "firmware",
        &[
            "fwupd",
            "linux-firmware",
            "firmware-",
            "intel-microcode",
            "amd64-microcode",
            "microcode_ctl",
            "ucode-",
        ],
    ),
    (
        "browser",
        &[
            "firefox",
            "chromium",
            "google-chrome",
            "microsoft-edge",
            "brave-browser",
            "opera-stable",
            "vivaldi",
            "epiphany",
        ],
    ),
    ("office", &["libreoffice", "thunderbird", "onlyoffice", "calligra", "evolution"]),
    (
        "middleware",
        &[
            "nginx",
            "apache2",
            "httpd",
            "lighttpd",
            "haproxy",
            "squid",
            "tomcat",
            "jetty",
            "postgresql",
            "mysql",
            "mariadb",
            "redis",
            "valkey",
            "mongodb",
            "memcached",
            "sqlite",
            "openssl",
            "libssl",
            "gnutls",
            "openssh",
            "bind9",
            "bind",
            "unbound",
            "dnsmasq",
            "postfix",
            "exim",
            "dovecot",
            "samba",
            "openldap",
            "slapd",
            "php",
            "python3",
            "perl",
            "ruby",
            "nodejs",
            "java-",
            "openjdk",
            "default-jre",
            "dotnet",
            "docker",
            "containerd",
            "podman",
            "runc",
            "kubelet",
            "cups",
            "rsync",
            "openvpn",
            "wireguard",
            "strongswan",
        ],
    ),
    (
        "os",
        &[
            "linux-image",
            "linux-headers",
            "linux-libc-dev",
            "linux-modules",
            "kernel",
            "linux",
            "glibc",
            "libc6",
            "libc-bin",
            "libc-",
            "musl",
            "systemd",
            "libsystemd",
            "udev",
            "libudev",
            "dbus",
            "grub",
            "shim",
            "bash",
            "coreutils",
            "util-linux",
            "sudo",
            "pam",
            "libpam",
            "polkit",
            "dpkg",
            "apt",
            "libapt",
            "rpm",
            "dnf",
            "libdnf",
            "zypper",
            "apk-tools",
            "pacman",
            "busybox",
            "base-files",
            "tzdata",
            "ca-certificates",
            "e2fsprogs",
            "lvm2",
            "cryptsetup",
            "network-manager",
            "NetworkManager",
            "login",
            "passwd",
            "shadow",
            "gnupg",
            "gpg",
            "zlib",
            "xz-utils",
            "selinux",
            "apparmor",
            "nftables",
            "iptables",
            "firewalld",
        ],
    ),
];

/// Class of a package, from its own name or that of its source; `application` where neither tells.
#[must_use]
pub fn of(name: &str, source: Option<&str>) -> &'static str {
    let by = |text: &str| {
        let fits = |start: &&&str| text.starts_with(**start);
        CLASSES.iter().find(|(_, starts)| starts.iter().any(|s| fits(&s))).map(|(class, _)| *class)
    };
    by(name).or_else(|| source.and_then(by)).unwrap_or("application")
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn common_packages_have_their_class() {
        for (name, source, class) in [
            ("linux-image-amd64", Some("linux-signed-amd64"), "os"),
            ("kernel-core", None, "os"),
            ("locales", Some("glibc"), "os"),
            ("firefox-esr", None, "browser"),
            ("libreoffice-core", None, "office"),
            ("libpq5", Some("postgresql-15"), "middleware"),
            ("nginx-common", Some("nginx"), "middleware"),
            ("firmware-linux-free", None, "firmware"),
            ("gimp", None, "application"),
        ] {
            assert_eq!(of(name, source), class, "{name}");
        }
    }
}
