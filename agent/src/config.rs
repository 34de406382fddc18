//! The one settings struct: defaults, then the settings file (TOML), then environment (`TENKEN_` and the
//! key in capitals), then flags. Unknown keys in the file are errors.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenken_shared::redact::Secret;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is named but cannot be read.
    #[error("cannot read settings file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of another type.
    #[error("settings in {origin} are not valid: {message}")]
    Invalid {
        /// The file, or the environment variable.
        origin: String,
        /// Where and why. Never holds the value of a secret.
        message: String,
    },
}

/// One key of the settings, for the example file.
struct Key {
    name: &'static str,
    default: &'static str,
    about: &'static str,
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $shown:literal;)*) => {
        /// Settings of the agent.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings { $($(#[doc = $doc])+ pub $name: $type,)* }

        impl Default for Settings {
            fn default() -> Self { Self { $($name: $default,)* } }
        }

        const KEYS: &[Key] = &[$(Key { name: stringify!($name), default: $shown, about: concat!($($doc, "\n"),+) },)*];
    };
}

settings! {
    /// Data folder. Empty: the system's (/var/lib/tenken-agent, %ProgramData%\Tenken\agent).
    data: PathBuf = PathBuf::new(), "\"\"";
    /// HTTP proxy to the collector, `http://[user:password@]host:port`. Empty: HTTPS_PROXY and NO_PROXY
    /// of the environment; without them, on Windows, the system's: WinHTTP's default proxy, then the
    /// Internet options of the service's account (WPAD, PAC, fixed); `none`: no proxy at all. May hold a password: keep the file to yourself.
    proxy: Secret<String> = Secret::new(String::new()), "\"\"";
    /// Check the collector's TLS certificate against the operating system's store instead of the CA that
    /// the enrolment token pins. Only for a proxy that inspects TLS. Reports and replies stay signed, so
    /// such a proxy can read but not change them (an enrolment through it shows it the token). Shown in `status`, `doctor` and the `agent` fact.
    trust_os_store: bool = false, "false";
    /// Most bytes the spool may hold; beyond it, waiting reports are merged and the merge is recorded.
    spool_max_bytes: u64 = 64 * 1024 * 1024, "67108864";
    /// Most reports the spool may hold.
    spool_max_reports: u64 = 2000, "2000";
    /// The first round after the start waits a random time up to this, in seconds, so that machines that
    /// are switched on together do not report together.
    start_spread_s: u64 = 30, "30";
    /// Longest pause between delivery attempts, seconds. Pauses double from 2 s up to this; each is a
    /// random part of that.
    retry_max_s: u64 = 900, "900";
    /// Limit of one request to the collector, seconds.
    request_timeout_s: u64 = 60, "60";
    /// Watch files and media, so that a change is reported within a minute instead of at the next round.
    watch: bool = true, "true";
    /// Seconds between full rounds. 0: as the policy says.
    interval_s: u64 = 0, "0";
}

impl Settings {
    /// Reads defaults, file and environment. `file`: an explicit one must exist, the default one may not.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let default = crate::paths::default_config();
        let path = file.unwrap_or(&default);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if file.is_none() && e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        Self::from_parts(&text, &path.to_string_lossy(), |name| std::env::var(name).ok())
    }

    /// Reads a settings text and lays environment variables over it.
    pub fn from_parts(
        text: &str,
        origin: &str,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        // The message of the parser shows the offending line, which may hold a password: only its first
        // line (place and kind) is kept.
        let invalid = |origin: &str, message: &str| ConfigError::Invalid {
            origin: origin.to_owned(),
            message: message.lines().next().unwrap_or_default().to_owned(),
        };
        let mut table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| invalid(origin, e.message()))?;
        Self::deserialize(table.clone()).map_err(|e| invalid(origin, e.message()))?;
        for key in KEYS {
            let variable = format!("TENKEN_{}", key.name.to_uppercase());
            let Some(value) = env(&variable) else { continue };
            let value = match key.default {
                "true" | "false" => value.parse().map(toml::Value::Boolean).ok(),
                shown if shown.starts_with('"') => Some(toml::Value::String(value)),
                _ => value.parse().map(toml::Value::Integer).ok(),
            };
            let value = value.ok_or_else(|| invalid(&variable, "value of another type"))?;
            table.insert(key.name.to_owned(), value);
        }
        Self::deserialize(table).map_err(|e| invalid("environment", e.message()))
    }

    /// A commented settings file that says what holds without one.
    #[must_use]
    pub fn example() -> String {
        let mut out = String::from(
            "# Settings of tenken-agent. Every key is optional; what stands here is the default.\n# Each may also be set as an environment variable: TENKEN_ and the key in capitals.\n",
        );
        for key in KEYS {
            out.push('\n');
            for line in key.about.lines() {
                out.push('#');
                out.push_str(line);
                out.push('\n');
            }
            out.push_str(&format!("#{} = {}\n", key.name, key.default));
        }
        out
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        if self.data.as_os_str().is_empty() { crate::paths::default_data() } else { self.data.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, ConfigError> {
        Settings::from_parts(text, "test", |_| None)
    }

    #[test]
    fn example_names_every_key_and_its_values_are_the_defaults() {
        let example = Settings::example();
        let uncommented: String = example
            .lines()
            .filter(|l| !l.starts_with("# "))
            .map(|l| format!("{}\n", l.trim_start_matches('#')))
            .collect();
        let table: toml::Table = uncommented.parse().unwrap();
        assert_eq!(table.len(), KEYS.len());
        assert_eq!(parse(&uncommented).unwrap(), Settings::default());
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = parse("porxy = 'http://u:geheim@x'").unwrap_err().to_string();
        assert!(error.contains("porxy"), "{error}");
    }

    #[test]
    fn secrets_are_never_in_messages() {
        for text in ["proxy = 'http://u:geheim@x' x", "proxy = ['geheim']", "proxy = 'geheim"] {
            let error = format!("{0} {0:?}", parse(text).unwrap_err());
            assert!(!error.contains("geheim"), "{error}");
        }
        let settings = parse("proxy = 'http://u:geheim@x'").unwrap();
        assert!(!format!("{settings:?}").contains("geheim"));
    }

    #[test]
    fn environment_wins_over_the_file() {
        let env = |name: &str| (name == "TENKEN_INTERVAL_S").then(|| "7".to_owned());
        assert_eq!(Settings::from_parts("interval_s = 5", "test", env).unwrap().interval_s, 7);
        let bad = |name: &str| (name == "TENKEN_WATCH").then(|| "maybe".to_owned());
        assert!(Settings::from_parts("", "test", bad).unwrap_err().to_string().contains("TENKEN_WATCH"));
    }
}
