//! Settings of the server: defaults, then file, then environment and flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::store::Location;

/// Default folder of the embedded store.
#[cfg(windows)]
pub const DEFAULT_DATA: &str = r"C:\ProgramData\Tenken\collector";
/// Default folder of the embedded store.
#[cfg(not(windows))]
pub const DEFAULT_DATA: &str = "/var/lib/tenken-collector";

/// Settings. Unknown keys of a file are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of everything the embedded store keeps. Default: [`DEFAULT_DATA`].
    pub data: PathBuf,
    /// PostgreSQL instead of the embedded store. Default: none.
    pub database_url: Option<String>,
    /// Address and port to listen on. Default: every address, port 8443.
    pub listen: SocketAddr,
    /// Address agents and people use (`https://tenken.example:8443`). Default: this machine's name.
    pub public_url: Option<String>,
    /// Certificate chain (PEM, leaf first) and its key instead of the collector's own authority.
    pub tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of `tls_certificate`.
    pub tls_key: Option<PathBuf>,
    /// Further names and addresses in the self-made certificate. Default: none.
    pub tls_names: Vec<String>,
    /// Connections at once. Default: 4096.
    pub connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: DEFAULT_DATA.into(),
            database_url: None,
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            public_url: None,
            tls_certificate: None,
            tls_key: None,
            tls_names: Vec::new(),
            connections: 4096,
        }
    }
}

/// Why settings do not read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not read.
    #[error("settings file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("settings file {path}: {source}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
}

/// The file `config --example` prints.
pub const EXAMPLE: &str = r#"# Settings of tenken-collector. Every line shows its default; remove the mark to change it.
# Folder of everything the embedded store keeps.
#data = "/var/lib/tenken-collector"
# PostgreSQL instead of the embedded store. Better given in the environment: TENKEN_DATABASE_URL.
# TLS as libpq says it: sslmode=disable, prefer, require or verify-full, with sslrootcert=FILE;
# the password from passwordfile=FILE or from PGPASSWORD.
#database_url = "postgres://tenken@db.example/tenken?sslmode=verify-full&sslrootcert=/etc/tenken/ca.pem"
# Address and port to listen on.
#listen = "0.0.0.0:8443"
# Address agents and people use. Default: the name of this machine.
#public_url = "https://tenken.example:8443"
# Certificate chain (leaf first) and key instead of the collector's own authority.
#tls_certificate = "/etc/tenken/collector.pem"
#tls_key = "/etc/tenken/collector.key"
# Further names and addresses in the self-made certificate.
#tls_names = []
# Connections at once.
#connections = 4096
"#;

impl Config {
    /// Reads a settings file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Content { path: path.to_owned(), source: Box::new(source) })
    }

    /// Where the store is.
    #[must_use]
    pub fn location(&self) -> Location {
        match &self.database_url {
            Some(url) => Location::Url(url.clone()),
            None => Location::Folder(self.data.clone()),
        }
    }

    /// The address people and agents use, for a bound port.
    #[must_use]
    pub fn public_url(&self, bound: SocketAddr) -> String {
        if let Some(url) = &self.public_url {
            return url.trim_end_matches('/').to_owned();
        }
        let host = if bound.ip().is_unspecified() {
            machine_name().unwrap_or_else(|| "localhost".into())
        } else if bound.is_ipv6() {
            format!("[{}]", bound.ip())
        } else {
            bound.ip().to_string()
        };
        format!("https://{host}:{}", bound.port())
    }
}

/// Name of this machine, where the system tells it without a query.
#[must_use]
pub fn machine_name() -> Option<String> {
    let from_file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("COMPUTERNAME").ok().or_else(from_file)?;
    let name = name.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_holds_the_defaults_and_unknown_keys_are_errors() {
        let all: String = EXAMPLE
            .lines()
            .map(|l| l.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(l).to_owned() + "\n")
            .collect();
        let config: Config = toml::from_str(&all).unwrap();
        assert_eq!(config.listen, Config::default().listen);
        assert_eq!(config.connections, Config::default().connections);
        assert!(toml::from_str::<Config>("lisen = \"x\"").is_err());
    }

    #[test]
    fn public_url_names_what_agents_can_reach() {
        let mut config = Config::default();
        let bound = "127.0.0.1:8443".parse().unwrap();
        assert_eq!(config.public_url(bound), "https://127.0.0.1:8443");
        assert_eq!(config.public_url("[::1]:1".parse().unwrap()), "https://[::1]:1");
        config.public_url = Some("https://tenken.example/".into());
        assert_eq!(config.public_url(bound), "https://tenken.example");
    }
}
