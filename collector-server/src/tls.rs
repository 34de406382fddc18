//! TLS: the certificate shown to agents, configured or made by the collector's own authority.
//!
//! A self-made leaf is short-lived and made anew at start, when it grows old and when the authority
//! changes. Leaf and authority are sent together, so that an agent can pin the authority by fingerprint.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::keys::{KeyError, Keys, set_validity};

/// Days a self-made leaf is valid.
const LEAF_DAYS: i64 = 90;
/// A self-made leaf is replaced when it is this old.
const RENEW_AFTER_S: i64 = 30 * 24 * 3600;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The collector's own keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The leaf could not be made.
    #[error("certificate of the server: {0}")]
    Make(#[from] rcgen::Error),
    /// The leaf cannot be used.
    #[error("certificate of the server: {0}")]
    Use(#[from] rustls::Error),
    /// Nobody to trust.
    #[error("certificate authorities of {place}: {reason}")]
    Authorities {
        /// Which file or store.
        place: String,
        /// Why.
        reason: String,
    },
    /// A configured file does not read.
    #[error("certificate or key file {path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Most bytes of a file of authorities.
const MAX_AUTHORITIES: u64 = 4 * 1024 * 1024;

/// TLS towards a server whose certificate is checked, with its name: against the authorities of a file, or
/// those this system trusts.
pub fn client(authorities: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let place = authorities.map_or_else(|| "this system's store".to_owned(), |p| p.display().to_string());
    let wrong = |reason: String| TlsError::Authorities { place: place.clone(), reason };
    match authorities {
        Some(path) => {
            let mut pem = Vec::new();
            let file = std::fs::File::open(path).map_err(|e| wrong(e.to_string()))?;
            file.take(MAX_AUTHORITIES).read_to_end(&mut pem).map_err(|e| wrong(e.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots
                    .add(certificate.map_err(|e| wrong(e.to_string()))?)
                    .map_err(|e| wrong(e.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate authority".into()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// The certificate in use; can be replaced while the server runs.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Where the certificate comes from.
#[derive(Debug)]
pub enum Source {
    /// Made by the collector's own authority, for these names and addresses.
    Own(Vec<String>),
    /// Configured.
    Files(Arc<CertifiedKey>),
}

/// TLS of the server.
#[derive(Debug)]
pub struct Tls {
    source: Source,
    shown: Arc<Shown>,
    made: RwLock<(Timestamp, String)>,
}

impl Tls {
    /// Makes the first certificate.
    pub fn new(source: Source, keys: &Keys, now: Timestamp) -> Result<Self, TlsError> {
        let first = match &source {
            Source::Own(names) => make_leaf(keys, names, now)?,
            Source::Files(key) => Arc::clone(key),
        };
        let shown = Arc::new(Shown(RwLock::new(first)));
        Ok(Self { source, shown, made: RwLock::new((now, keys.ca().id)) })
    }

    /// Replaces a self-made leaf that grew old or whose authority is not the one in use any more.
    pub fn renew(&self, keys: &Keys, now: Timestamp) -> Result<(), TlsError> {
        let Source::Own(names) = &self.source else { return Ok(()) };
        let ca = keys.ca().id;
        let (made_at, by) = self.made.read().unwrap_or_else(PoisonError::into_inner).clone();
        if by == ca && now.duration_since(made_at).as_secs() < RENEW_AFTER_S {
            return Ok(());
        }
        let leaf = make_leaf(keys, names, now)?;
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = leaf;
        *self.made.write().unwrap_or_else(PoisonError::into_inner) = (now, ca);
        Ok(())
    }

    /// When the certificate in use ends, seconds since 1970.
    pub fn expires_at(&self) -> Option<i64> {
        let shown = Arc::clone(&self.shown.0.read().unwrap_or_else(PoisonError::into_inner));
        expires_at(shown.cert.first()?)
    }

    /// Settings for the acceptor: TLS 1.2 and 1.3, HTTP/1.1, resumption by tickets.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        Ok(Arc::new(config))
    }
}

fn expires_at(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// When a certificate (PEM) ends, seconds since 1970.
#[must_use]
pub fn pem_expires_at(pem: Option<&str>) -> Option<i64> {
    expires_at(&CertificateDer::from_pem_slice(pem?.as_bytes()).ok()?)
}

fn make_leaf(keys: &Keys, names: &[String], now: Timestamp) -> Result<Arc<CertifiedKey>, TlsError> {
    let ca = keys.ca();
    let pem = ca.certificate.as_deref().ok_or(KeyError::Missing(crate::keys::CA))?;
    let ca_key = KeyPair::try_from(ca.private_key.as_slice())?;
    let issuer = Issuer::from_ca_cert_pem(pem, ca_key)?;
    let mut params = CertificateParams::new(Vec::new())?;
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.clone().try_into()?),
        });
    }
    params.distinguished_name.push(DnType::CommonName, "Tenken collector");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_validity(&mut params, now, LEAF_DAYS);
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &issuer)?;
    let authority =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| KeyError::Pem(format!("{e:?}")))?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| KeyError::Pem(e.into()))?;
    certified(vec![leaf.der().clone(), authority], &private)
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let signing = ring::sign::any_supported_type(key)?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match()?;
    Ok(Arc::new(certified))
}

/// Reads a configured chain and key; answers also the chain as PEM, for agents to trust.
pub fn from_files(chain: &Path, key: &Path) -> Result<(Source, Vec<String>), TlsError> {
    let bad = |path: &Path, reason: String| TlsError::File { path: path.display().to_string(), reason };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|e| bad(chain, format!("{e:?}")))?;
    if certificates.is_empty() {
        return Err(bad(chain, "holds no certificate".into()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| bad(key, format!("{e:?}")))?;
    let pem = certificates.iter().map(|der| to_pem(der)).collect();
    Ok((Source::Files(certified(certificates, &private)?), pem))
}

fn to_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}
