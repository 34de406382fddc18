//! HTTP to the collector: TLS, proxy, limits, and what went wrong in words that can be acted on.

use std::error::Error as _;
use std::sync::PoisonError;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tenken_shared::redact::Secret;
use tenken_shared::text::Text;

use super::proxy::SystemChoice;
use super::tls::{self, Anchor, Presented, TlsError};

/// Largest answer read, bytes: a signed reply with policy and trust bundle.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why no signed answer came.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// TLS settings cannot be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The proxy setting is no address.
    #[error("the proxy setting is not an address of the form http://host:port")]
    BadProxy,
    /// An address of the collector is no https address.
    #[error("{0} is not an https address")]
    BadUrl(String),
    /// No connection.
    #[error("cannot connect to {url}: {detail}")]
    Connect {
        /// Address, without credentials.
        url: String,
        /// Cause chain.
        detail: String,
    },
    /// The name does not resolve.
    #[error("the name in {url} does not resolve: {detail}")]
    Name {
        /// Address.
        url: String,
        /// Cause chain.
        detail: String,
    },
    /// The proxy wants other credentials.
    #[error("the proxy refuses to pass {url} on: it wants a user name and password (407)")]
    ProxyAuth {
        /// Address.
        url: String,
    },
    /// The proxy does not let this address through.
    #[error("the proxy does not pass {url} on: {detail}")]
    ProxyRefused {
        /// Address.
        url: String,
        /// Cause chain.
        detail: String,
    },
    /// The certificate presented does not lead to what is trusted.
    #[error("{url} presents a certificate that is not trusted here ({detail}), issued by {issuer}")]
    Certificate {
        /// Address.
        url: String,
        /// What rustls says.
        detail: String,
        /// Issuer of the certificate presented.
        issuer: String,
    },
    /// No answer in time.
    #[error("{url} did not answer in time")]
    TimedOut {
        /// Address.
        url: String,
    },
    /// The connection broke.
    #[error("the connection to {url} broke: {detail}")]
    Broken {
        /// Address.
        url: String,
        /// Cause chain.
        detail: String,
    },
    /// An answer that is not signed by the collector (a proxy's page, another server).
    #[error("{url} gave an answer that is not signed by the collector (HTTP {status}): {detail}")]
    Unsigned {
        /// Address.
        url: String,
        /// HTTP status.
        status: u16,
        /// Why it does not count.
        detail: String,
    },
    /// A signed answer, but by a key this machine does not know: that of another collector, or a successor
    /// that was announced while this machine was away.
    #[error("{url} gave an answer signed by a key that is not known here")]
    UnknownSigner {
        /// Address.
        url: String,
    },
}

/// What to do where a collector shows a certificate or key that is not the one of the enrolment.
pub const REPLACED: Text = Text::new(
    "別のTenkenコレクターが応答しているか、このコンピューターが停止している間にコレクターの証明書または鍵が交換されました。アドレスを確認し、正しければ管理者に新しいトークンを求めて `tenken-agent enrol --replace トークン` を実行してください。",
    "Another Tenken collector answers, or the collector's certificate or key was replaced while this machine was away. Check the address; if it is right, ask the administrator for a new token and run `tenken-agent enrol --replace TOKEN`.",
);

impl TransportError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls_setup",
            Self::BadProxy => "bad_proxy",
            Self::BadUrl(_) => "bad_url",
            Self::Connect { .. } => "no_connection",
            Self::Name { .. } => "name_not_resolved",
            Self::ProxyAuth { .. } => "proxy_authentication",
            Self::ProxyRefused { .. } => "proxy_refused",
            Self::Certificate { .. } => "certificate_not_trusted",
            Self::TimedOut { .. } => "timed_out",
            Self::Broken { .. } => "connection_broken",
            Self::Unsigned { .. } => "unsigned_answer",
            Self::UnknownSigner { .. } => "unknown_signer",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> Text {
        match self {
            Self::Tls(_) => Text::new(
                "信頼情報が壊れているか、OSの証明書ストアを読めません。`tenken-agent enrol --replace` で登録し直すか、ca-certificates を導入してください。",
                "The trust data are damaged or the OS certificate store cannot be read. Enrol anew with `tenken-agent enrol --replace`, or install ca-certificates.",
            ),
            Self::BadProxy => Text::new(
                "設定 proxy を http://ホスト:ポート の形に直してください。",
                "Write the `proxy` setting as http://host:port.",
            ),
            Self::BadUrl(_) => Text::new(
                "管理者に新しい登録トークンを求めてください。コレクターのアドレスは https:// で始まる必要があります。",
                "Ask the administrator for a new enrolment token; the collector's address must begin with https://.",
            ),
            Self::Connect { .. } | Self::Broken { .. } => Text::new(
                "コレクターが動いているか、アドレスとポートが正しいか、ファイアウォールやプロキシが通信を止めていないかを確認してください。復旧すれば溜まったレポートは自動で送られます。",
                "Check that the collector runs, that address and port are right, and that no firewall or proxy stops the traffic. Waiting reports are sent by themselves once it is back.",
            ),
            Self::Name { .. } => Text::new(
                "DNSの設定を確認してください。名前はコレクターの登録トークンに書かれたものです。",
                "Check the DNS settings. The name is the one written in the collector's enrolment token.",
            ),
            Self::ProxyAuth { .. } => Text::new(
                "設定 proxy に http://ユーザー:パスワード@ホスト:ポート の形で正しい資格情報を書いてください。",
                "Put the right credentials into the `proxy` setting: http://user:password@host:port.",
            ),
            Self::ProxyRefused { .. } => Text::new(
                "プロキシの管理者に、コレクターのアドレスとポートへのCONNECTを許可するよう依頼してください。",
                "Ask whoever runs the proxy to allow CONNECT to the collector's address and port.",
            ),
            Self::UnknownSigner { .. } => REPLACED,
            Self::Certificate { issuer, .. } if is_collector_ca(issuer) => REPLACED,
            Self::Certificate { .. } => Text::new(
                "途中でTLSを検査する装置があるか、別のサーバーにつながっています。プロキシの管理者にこのアドレスを検査対象から外すよう依頼するのが最善です。できない場合に限り trust_os_store = true を設定してください(通信内容は装置に見えますが、署名により改ざんはできません)。",
                "Something inspects TLS on the way, or another server answers. Best: have this address exempted from inspection. Only where that is impossible, set trust_os_store = true (the inspecting device can then read the traffic; signatures still keep it from changing anything).",
            ),
            Self::TimedOut { .. } => Text::new(
                "回線かコレクターが遅すぎます。続くようなら request_timeout_s を増やし、コレクターの負荷を確認してください。",
                "The line or the collector is too slow. If this persists raise request_timeout_s and look at the collector's load.",
            ),
            Self::Unsigned { .. } => Text::new(
                "コレクター以外(プロキシの警告画面、別のサーバー、リバースプロキシのエラー)が応答しました。アドレスとプロキシの設定を確認してください。",
                "Something other than the collector answered (a proxy's block page, another server, a reverse proxy's error). Check the address and the proxy settings.",
            ),
        }
    }
}

/// Whether an issuer is the authority that a Tenken collector makes for itself.
#[must_use]
pub fn is_collector_ca(issuer: &str) -> bool {
    issuer.contains(tenken_shared::api::COLLECTOR_CA_NAME)
}

/// How to reach the collector.
#[derive(Debug, Clone)]
pub struct Route {
    /// Addresses, in order of preference.
    pub urls: Vec<String>,
    /// `proxy` setting.
    pub proxy: Secret<String>,
    /// What its certificate must lead to.
    pub anchor: Anchor,
    /// Seconds since 1970 that certificate dates are compared with.
    pub reference_s: u64,
    /// Limit of one request.
    pub timeout: Duration,
}

/// An HTTP client for one collector. Keeps its connection alive between requests.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    preferred: usize,
    presented: Presented,
    /// Where neither our setting nor the environment names a proxy.
    system: Option<SystemChoice>,
}

/// One answer, not yet checked.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Address that answered.
    pub url: String,
    /// HTTP status; for messages only.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Path, with query.
    pub path: &'a str,
    /// Media type and body of a POST; `None`: a GET.
    pub content: Option<(&'static str, Vec<u8>)>,
    /// Further headers.
    pub headers: Vec<(&'static str, u64)>,
}

impl Client {
    /// A client for `route`.
    pub fn new(route: &Route) -> Result<Self, TransportError> {
        for url in &route.urls {
            let fine = reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.has_host());
            if !fine {
                return Err(TransportError::BadUrl(url.chars().take(200).collect()));
            }
        }
        if route.urls.is_empty() {
            return Err(TransportError::BadUrl(String::new()));
        }
        let presented = Presented::default();
        let config = tls::client_config(&route.anchor, route.reference_s, presented.clone())?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .http1_only()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(route.timeout)
            .connect_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(90))
            .tcp_keepalive(Duration::from_secs(60));
        let asks_system =
            cfg!(windows) && route.proxy.expose().is_empty() && super::proxy::from_environment().is_none();
        let system = asks_system.then(SystemChoice::default);
        builder = match route.proxy.expose().as_str() {
            "" => match system.clone() {
                Some(choice) => builder.proxy(reqwest::Proxy::custom(move |_| choice.address())),
                None => builder,
            },
            "none" => builder.no_proxy(),
            address => {
                let proxy = reqwest::Proxy::all(address).map_err(|_| TransportError::BadProxy)?;
                builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_env()))
            }
        };
        let http = builder.build().map_err(|_| TransportError::BadProxy)?;
        Ok(Self { http, urls: route.urls.clone(), preferred: 0, presented, system })
    }

    /// The chain presented last, leaf first.
    #[must_use]
    pub fn presented(&self) -> Vec<Vec<u8>> {
        let chain = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        chain.iter().map(|der| der.as_ref().to_vec()).collect()
    }

    /// Sends to the preferred address, then to the others; gives the first answer, or the first error.
    pub async fn send(&mut self, request: &Request<'_>) -> Result<Answer, TransportError> {
        let mut first_error = None;
        for turn in 0..self.urls.len() {
            let index = (self.preferred + turn) % self.urls.len();
            let url = self.urls[index].clone();
            match self.send_to(&url, request).await {
                Ok(answer) => {
                    self.preferred = index;
                    return Ok(answer);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| TransportError::BadUrl(String::new())))
    }

    async fn send_to(&self, base: &str, request: &Request<'_>) -> Result<Answer, TransportError> {
        if let Some(system) = &self.system {
            system.refresh(base).await;
        }
        let url = format!("{}{}", base.trim_end_matches('/'), request.path);
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.insert(*name, HeaderValue::from(*value));
        }
        let builder = match &request.content {
            None => self.http.get(&url),
            Some((media, body)) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
                self.http.post(&url).body(body.clone())
            }
        };
        let mut response = builder.headers(headers).send().await.map_err(|e| {
            if let Some(system) = &self.system {
                system.forget();
            }
            self.classify(base, &e)
        })?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.classify(base, &e))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                let detail = "longer than any reply".to_owned();
                return Err(TransportError::Unsigned { url: base.to_owned(), status, detail });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { url: base.to_owned(), status, body })
    }

    fn classify(&self, url: &str, error: &reqwest::Error) -> TransportError {
        let url = url.to_owned();
        if let Some(tls) = find_rustls(error) {
            return match tls {
                rustls::Error::InvalidCertificate(cause) => {
                    TransportError::Certificate { url, detail: cause.to_string(), issuer: self.issuer() }
                }
                other => TransportError::Broken { url, detail: other.to_string() },
            };
        }
        let detail = causes(error);
        if error.is_timeout() {
            TransportError::TimedOut { url }
        } else if detail.contains("proxy authorization required") {
            TransportError::ProxyAuth { url }
        } else if detail.contains("tunnel error") {
            TransportError::ProxyRefused { url, detail }
        } else if detail.contains("dns error") || detail.contains("failed to lookup address") {
            TransportError::Name { url, detail }
        } else if error.is_connect() {
            TransportError::Connect { url, detail }
        } else {
            TransportError::Broken { url, detail }
        }
    }

    /// Issuer of the leaf presented last, for people.
    #[must_use]
    pub fn issuer(&self) -> String {
        let chain = self.presented();
        let Some(leaf) = chain.first() else { return "?".to_owned() };
        x509_parser::parse_x509_certificate(leaf).map_or_else(
            |_| "?".to_owned(),
            |(_, cert)| tenken_shared::text::printable(&cert.issuer().to_string()),
        )
    }
}

/// The causes below reqwest's own sentence, which would repeat the address.
fn causes(error: &reqwest::Error) -> String {
    let mut out = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push(tenken_shared::text::printable(&cause.to_string()));
        source = cause.source();
    }
    out.dedup();
    if out.is_empty() { "no detail".to_owned() } else { out.join(": ") }
}

fn find_rustls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut source = error.source();
    while let Some(cause) = source {
        // An I/O error hides what it wraps from `source`, and may wrap another one.
        let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(cause);
        while let Some(wrapped) = inner {
            if let Some(tls) = wrapped.downcast_ref::<rustls::Error>() {
                return Some(tls);
            }
            let io = wrapped.downcast_ref::<std::io::Error>();
            inner = io.and_then(std::io::Error::get_ref).map(|e| e as &(dyn std::error::Error + 'static));
        }
        source = cause.source();
    }
    None
}
