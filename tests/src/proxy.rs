//! Debian's squid as the proxy of an office: plain, with passwords, or inspecting TLS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use crate::process::{Running, wait_for};
use crate::program;

const PROGRAM: &str = "/usr/sbin/squid";
const CERTIFICATES: &str = "/usr/lib/squid/security_file_certgen";
/// The one user that the proxy with passwords knows.
pub const USER: &str = "office";
/// That user's password.
pub const PASSWORD: &str = "himitsu-7";

/// What the proxy does beside passing on.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// Nothing.
    Plain,
    /// Asks for user name and password.
    Password,
    /// Opens TLS and closes it again with certificates of its own CA. Holds the CA (PEM) by which it
    /// trusts the collector.
    Inspecting(&'a str),
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    folder: tempfile::TempDir,
    port: u16,
    running: Running,
}

/// Why there is no proxy here, or `None`.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let here = |path| Path::new(path).exists();
    (!here(PROGRAM) || !here(CERTIFICATES)).then_some("squid-openssl is not installed")
}

impl Proxy {
    /// Starts one on a free port and waits until it listens.
    pub fn start(kind: Kind<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tenken-squid-").tempdir_in("/tmp")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let port = program::free_port()?;
        let settings = settings(kind, port, folder.path())?;
        let file = folder.path().join("squid.conf");
        fs::write(&file, settings)?;
        if rustix::process::geteuid().is_root() {
            // As root it works as this user.
            program::succeed(Command::new("chown").args(["-R", "proxy:"]).arg(folder.path()))?;
        }
        let log = folder.path().join("start.log");
        let running = Running::start(Command::new(PROGRAM).arg("-N").arg("-f").arg(&file), &log)?;
        let mut proxy = Self { folder, port, running };
        wait_for("squid to listen", || {
            if let Some(status) = proxy.running.ended()? {
                bail!("squid ended with {status}: {}", proxy.log());
            }
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        Ok(proxy)
    }

    /// Its address, with a user's name and password where given.
    #[must_use]
    pub fn address(&self, user: Option<(&str, &str)>) -> String {
        let user = user.map_or_else(String::new, |(name, password)| format!("{name}:{password}@"));
        format!("http://{user}127.0.0.1:{}", self.port)
    }

    /// The CA (PEM) of a proxy that inspects.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What it passed on, a request a line: method and address are in it.
    pub fn accesses(&self) -> Result<String> {
        fs::read_to_string(self.folder.path().join("access.log")).context("the proxy's access log")
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}", read("start.log"), read("cache.log"))
    }
}

fn settings(kind: Kind<'_>, port: u16, folder: &Path) -> Result<String> {
    let dir = folder.display();
    let common = format!(
        "pid_filename none\ncache deny all\ncoredump_dir {dir}\ncache_log {dir}/cache.log\n\
         access_log stdio:{dir}/access.log\nshutdown_lifetime 1 seconds\nvisible_hostname proxy.example\n\
         via off\nforwarded_for delete\nnetdb_filename none\n"
    );
    Ok(match kind {
        Kind::Plain => {
            format!("{common}http_port 127.0.0.1:{port}\nhttp_access allow localhost\nhttp_access deny all\n")
        }
        Kind::Password => {
            let helper = folder.join("password");
            let script = format!(
                "#!/bin/sh\nwhile read -r pair; do\n\
                 if [ \"$pair\" = '{USER} {PASSWORD}' ]; then echo OK; else echo ERR; fi\ndone\n"
            );
            fs::write(&helper, script)?;
            fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
            format!(
                "{common}http_port 127.0.0.1:{port}\nauth_param basic program {}\n\
                 auth_param basic children 1 startup=1 idle=1\nauth_param basic realm office\n\
                 acl known proxy_auth REQUIRED\nhttp_access allow localhost known\nhttp_access deny all\n",
                helper.display()
            )
        }
        Kind::Inspecting(trusted) => {
            fs::write(folder.join("trusted.pem"), trusted)?;
            make_ca(folder)?;
            let database = folder.join("ssl_db");
            let mut make = Command::new(CERTIFICATES);
            program::succeed(make.args(["-c", "-s"]).arg(&database).args(["-M", "4MB"]))?;
            format!(
                "{common}http_port 127.0.0.1:{port} ssl-bump tls-cert={dir}/ca.pem tls-key={dir}/ca.key \
                 generate-host-certificates=on dynamic_cert_mem_cache_size=4MB\n\
                 sslcrtd_program {CERTIFICATES} -s {dir}/ssl_db -M 4MB\nsslcrtd_children 1 startup=1 idle=1\n\
                 tls_outgoing_options cafile={dir}/trusted.pem\n\
                 acl first at_step SslBump1\nssl_bump peek first\nssl_bump bump all\n\
                 http_access allow localhost\nhttp_access deny all\n"
            )
        }
    })
}

fn make_ca(folder: &Path) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Office Inspection CA");
    let key = KeyPair::generate()?;
    fs::write(folder.join("ca.pem"), params.self_signed(&key)?.pem())?;
    fs::write(folder.join("ca.key"), key.serialize_pem())?;
    Ok(())
}
