//! Trust in a collector: the CA fingerprint and the reply key of an enrolment token, nothing else.

use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tenken_shared::api::EnrolToken;
use tenken_shared::ids::Digest;
use tenken_shared::jws::{Purpose, Unverified};
use tenken_shared::report::Reply;

/// Where a collector is and how it proves itself.
#[derive(Debug, Clone)]
pub struct Trust {
    /// `host:port`.
    pub address: String,
    /// The token.
    pub token: EnrolToken,
    /// TLS settings; full handshakes only, so that a fresh connection costs what it says.
    pub tls: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the text form of a token.
    pub fn from_token(text: &str) -> Result<Self> {
        let token = EnrolToken::from_text(text)?;
        let url = token.urls.first().context("token without address")?;
        let address = url.strip_prefix("https://").context("not https")?.trim_end_matches('/').to_owned();
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Pinned { ca: token.ca, provider: provider.clone(), inner: OnceLock::new() });
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Self { address, token, tls: Arc::new(tls) })
    }

    /// Same collector at another address (a second one of the same store, a proxy in between).
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        address.clone_into(&mut self.address);
        self
    }

    /// The host part of the address.
    pub fn server_name(&self) -> Result<ServerName<'static>> {
        let (host, _) = self.address.rsplit_once(':').context("address without port")?;
        Ok(ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?)
    }

    /// Checks a signed reply and that it answers the request `re`.
    pub fn reply(&self, compact: &str, re: Digest) -> Result<Reply> {
        let payload = Unverified::parse(compact, Purpose::Reply)?.verify(&self.token.key)?;
        let reply: Reply = serde_json::from_slice(&payload)?;
        anyhow::ensure!(reply.re == re, "the reply answers another request");
        Ok(reply)
    }
}

/// Accepts exactly the certificates that the CA with this fingerprint vouches for.
#[derive(Debug)]
struct Pinned {
    ca: Digest,
    provider: Arc<CryptoProvider>,
    inner: OnceLock<Arc<WebPkiServerVerifier>>,
}

impl Pinned {
    fn inner(&self, intermediates: &[CertificateDer<'_>]) -> Result<&Arc<WebPkiServerVerifier>, Error> {
        if let Some(inner) = self.inner.get() {
            return Ok(inner);
        }
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let ca = intermediates.iter().find(|c| Digest::of(c) == self.ca).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| unknown())?;
        Ok(self.inner.get_or_init(|| inner))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner(intermediates)?.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
