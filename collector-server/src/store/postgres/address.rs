//! The address of a PostgreSQL server: `postgres://...` or libpq's `key=value` words, with what is said
//! there about TLS and the password.
//!
//! | Parameter | Means |
//! |---|---|
//! | `sslmode=disable` | never TLS |
//! | `sslmode=prefer` | TLS where the server offers it; says nothing about who the server is (default) |
//! | `sslmode=require` | TLS or no connection; checks nobody's name unless `sslrootcert` is given |
//! | `sslmode=verify-full` | TLS, and the certificate must be that of the host by a trusted authority |
//! | `sslrootcert=FILE` | trusted authorities (PEM); without it those of this system |
//! | `passwordfile=FILE` | file that holds the password alone; else `PGPASSWORD` of the environment |
//!
//! TLS is rustls with `ring`, as everywhere.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::error::{Result, Rule, StoreError};

/// Largest password file, bytes.
const MAX_PASSWORD: u64 = 4096;

/// Where a server is and how to speak with it.
#[derive(Clone)]
pub(in crate::store) struct Address {
    pub(in crate::store) config: Config,
    pub(in crate::store) tls: MakeRustlsConnect,
}

/// What the driver does not read itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Own {
    mode: Option<String>,
    authorities: Option<String>,
    password_file: Option<String>,
}

impl Own {
    /// Takes a parameter that is ours.
    fn takes(&mut self, key: &str, value: &str) -> bool {
        let slot = match key {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.authorities,
            "passwordfile" => &mut self.password_file,
            _ => return false,
        };
        *slot = Some(value.to_owned());
        true
    }
}

impl Address {
    /// Reads an address and the files it names. No part of it stands in an error.
    pub(in crate::store) fn parse(text: &str) -> Result<Self> {
        let (rest, own) = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            split_url(text)
        } else {
            split_words(text)?
        };
        let mut config: Config = rest.parse().map_err(|e| wrong(format_args!("{e}")))?;
        if let Some(path) = &own.password_file {
            config.password(password(path)?);
        } else if config.get_password().is_none()
            && let Ok(word) = std::env::var("PGPASSWORD")
        {
            config.password(word);
        }
        let verified = || verifying(own.authorities.as_deref());
        let tls = match own.mode.as_deref() {
            Some("disable") => {
                config.ssl_mode(SslMode::Disable);
                trusting()
            }
            None | Some("prefer") => {
                config.ssl_mode(SslMode::Prefer);
                if own.authorities.is_some() { verified() } else { trusting() }
            }
            Some("require") => {
                config.ssl_mode(SslMode::Require);
                if own.authorities.is_some() { verified() } else { trusting() }
            }
            Some("verify-full") => {
                config.ssl_mode(SslMode::Require);
                verified()
            }
            Some(other) => Err(wrong(format_args!(
                "sslmode {:?} is not disable, prefer, require or verify-full",
                other.chars().take(40).collect::<String>()
            ))),
        }?;
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }
}

fn wrong(detail: std::fmt::Arguments<'_>) -> StoreError {
    StoreError::Rule(Rule::Address(detail.to_string()))
}

/// Takes our parameters out of the query of a URL.
fn split_url(text: &str) -> (String, Own) {
    let mut own = Own::default();
    let Some((base, query)) = text.split_once('?') else { return (text.to_owned(), own) };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            !own.takes(key, &percent_decoded(value))
        })
        .collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    (format!("{base}{mark}{}", kept.join("&")), own)
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Takes our parameters out of `key=value` words. Values may stand in single quotes; a backslash takes
/// the next character as it is.
fn split_words(text: &str) -> Result<(String, Own)> {
    let (mut own, mut kept) = (Own::default(), Vec::new());
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| wrong(format_args!("a word without =")))?;
        let after = after.trim_start();
        let (value, used) = word_value(after)?;
        if !own.takes(key.trim(), &value) {
            kept.push(format!("{}={}", key.trim(), &after[..used]));
        }
        rest = after[used..].trim_start();
    }
    Ok((kept.join(" "), own))
}

/// A value and how many bytes of `text` it takes.
fn word_value(text: &str) -> Result<(String, usize)> {
    let quoted = text.starts_with('\'');
    let (mut value, mut chars) = (String::new(), text.char_indices().skip(usize::from(quoted)));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, at + 1)),
            c if !quoted && c.is_whitespace() => return Ok((value, at)),
            c => value.push(c),
        }
    }
    if quoted { Err(wrong(format_args!("a quote does not end"))) } else { Ok((value, text.len())) }
}

fn read(path: &str, most: u64) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let failed = |e: std::io::Error| wrong(format_args!("{path}: {e}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(Path::new(path)).map_err(failed)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(wrong(format_args!("{path} is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// The first line of a password file.
fn password(path: &str) -> Result<String> {
    let text = String::from_utf8(read(path, MAX_PASSWORD)?)
        .map_err(|_| wrong(format_args!("{path} is not UTF-8")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(wrong(format_args!("{path} is empty"))),
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(format_args!("TLS: {e}")))
}

/// TLS with a server whose certificate is checked, with its name.
fn verifying(file: Option<&str>) -> Result<ClientConfig> {
    crate::tls::client(file.map(std::path::Path::new)).map_err(|e| wrong(format_args!("{e}")))
}

/// TLS with whoever answers: against listeners, not against somebody in the middle.
fn trusting() -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let anyone = Arc::new(Anyone(provider));
    Ok(builder()?.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth())
}

/// Takes any certificate whose key signs the handshake.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parameters_are_taken_out_and_the_rest_is_left_as_it_is() {
        let own = |mode: &str, authorities: &str| Own {
            mode: Some(mode.into()),
            authorities: Some(authorities.into()),
            password_file: None,
        };
        assert_eq!(
            split_url("postgres://u@h/db?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b"),
            ("postgres://u@h/db?connect_timeout=3".into(), own("verify-full", "/a b"))
        );
        assert_eq!(
            split_words(r"host=h sslmode=require password='a \' sslmode=x' sslrootcert = '/a b'").unwrap(),
            (r"host=h password='a \' sslmode=x'".into(), own("require", "/a b"))
        );
        assert_eq!(split_url("postgres://h/db"), ("postgres://h/db".into(), Own::default()));
        assert!(split_words("host='h").is_err() && split_words("host").is_err());
    }

    #[test]
    fn modes_are_those_of_libpq_and_files_are_read() {
        let mode = |text: &str| Address::parse(text).map(|a| a.config.get_ssl_mode());
        assert_eq!(mode("host=h").unwrap(), SslMode::Prefer);
        assert_eq!(mode("host=h sslmode=disable").unwrap(), SslMode::Disable);
        assert_eq!(mode("postgres://h/?sslmode=require").unwrap(), SslMode::Require);
        assert!(mode("host=h sslmode=verify-ca").is_err());
        assert!(mode("host=h sslmode=verify-full sslrootcert=/no/such/file").is_err());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret'\n").unwrap();
        // A backslash of Windows would be an escape, as libpq has it.
        let file = file.to_string_lossy().replace('\\', "/");
        let address = Address::parse(&format!("host=h passwordfile={file}")).unwrap();
        assert_eq!(address.config.get_password(), Some(&b"s3cret'"[..]));
        let empty = format!("host=h sslmode=verify-full sslrootcert={file}");
        assert!(Address::parse(&empty).is_err(), "a file without any authority");
    }
}
