//! Whom the agent talks to: the CA of the enrolment token, and nobody else unless told so.
//!
//! Certificate dates are not compared with the host's clock, which may be wrong by years, but with the
//! later of build time and the last time a collector signed. A certificate that is not yet valid by that
//! measure only shows that the measure is old: its chain is then checked at the moment it begins.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use tenken_shared::ids::Digest;

/// When this program was built, seconds since 1970.
pub const BUILD_TIME: &str = env!("TENKEN_BUILD_TIME");

/// What the collector's certificate must lead to.
#[derive(Debug, Clone, PartialEq)]
pub enum Anchor {
    /// A CA certificate with this SHA-256 must be in the chain presented (enrolment).
    Fingerprint(Digest),
    /// One of these CA certificates (PEM).
    Pinned(Vec<String>),
    /// The operating system's store: an explicit setting for proxies that inspect TLS.
    OsStore,
}

/// Why no TLS settings could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The trust bundle holds no usable CA certificate.
    #[error("the trust bundle holds no usable CA certificate")]
    NoAnchor,
    /// The operating system's store is empty or unreadable.
    #[error("the operating system's certificate store is empty or cannot be read")]
    NoOsStore,
    /// rustls refused the settings.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// rustls refused the CA certificates.
    #[error("TLS cannot be set up: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// The chain last presented, leaf first, for `doctor`.
pub type Presented = Arc<Mutex<Vec<CertificateDer<'static>>>>;

/// Seconds since 1970 that certificate dates are compared with.
#[must_use]
pub fn reference_time(last_signed_ms: Option<i64>) -> u64 {
    let built: u64 = BUILD_TIME.parse().unwrap_or(0);
    let signed = last_signed_ms.and_then(|ms| u64::try_from(ms / 1000).ok()).unwrap_or(0);
    built.max(signed)
}

/// TLS settings that trust `anchor` and note the chain presented.
pub fn client_config(
    anchor: &Anchor,
    reference_s: u64,
    presented: Presented,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anchors = match anchor {
        Anchor::Fingerprint(digest) => Anchors::Fingerprint(*digest),
        Anchor::Pinned(pems) => Anchors::Fixed(verifier(pinned(pems)?, &provider)?),
        Anchor::OsStore => Anchors::Fixed(verifier(os_store()?, &provider)?),
    };
    let verifier = Verifier { anchors, reference_s, presented, provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn pinned(pems: &[String]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    }
    if roots.is_empty() { Err(TlsError::NoAnchor) } else { Ok(roots) }
}

fn os_store() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoOsStore) } else { Ok(roots) }
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?)
}

#[derive(Debug)]
enum Anchors {
    Fingerprint(Digest),
    Fixed(Arc<WebPkiServerVerifier>),
}

#[derive(Debug)]
struct Verifier {
    anchors: Anchors,
    reference_s: u64,
    presented: Presented,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn anchored(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let pin = match &self.anchors {
            Anchors::Fixed(verifier) => return Ok(Arc::clone(verifier)),
            Anchors::Fingerprint(pin) => pin,
        };
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let found = others.iter().chain([leaf]).find(|der| Digest::of(der) == *pin).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(found.clone().into_owned())?;
        verifier(roots, &self.provider).map_err(|_| unknown())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _host_clock: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [leaf].into_iter().chain(others).take(10).map(|der| der.clone().into_owned()).collect();
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        let verifier = self.anchored(leaf, others)?;
        let at = |secs| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        let mut when = at(self.reference_s);
        // Leaf and CA may begin at different moments: two steps at most.
        for _ in 0..2 {
            match verifier.verify_server_cert(leaf, others, name, ocsp, when) {
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before,
                    ..
                })) => when = not_before,
                other => return other,
            }
        }
        verifier.verify_server_cert(leaf, others, name, ocsp, when)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
