//! Through the proxies of offices, by a real squid: what works, what is refused, what `doctor` says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::time::Duration;

use e2e::driver::Trust;
use e2e::process::wait_for;
use e2e::program::{Agent, Collector, Store};
use e2e::proxy::{self, Kind, PASSWORD, Proxy, USER};
use e2e::scene::Scene;
use serde_json::Value;
use tenken_shared::api::route;
use tenken_shared::ids::Digest;

/// Whether there is a squid; says so where there is none.
fn can_run() -> bool {
    let missing = proxy::missing();
    if let Some(why) = missing {
        skip::skip(why);
    }
    missing.is_none()
}

fn last_error(agent: &Agent) -> String {
    agent.status().unwrap()["last_error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_plain_proxy_carries_enrolment_and_reports() {
    if !can_run() {
        return;
    }
    let proxy = Proxy::start(Kind::Plain).unwrap();
    let address = proxy.address(None);
    let scene = Scene::with("behind-a-proxy", |agent| {
        agent.set_env("TENKEN_PROXY", &address);
        Ok(())
    })
    .unwrap();
    scene.agent.report().unwrap();
    assert_eq!(scene.stored().unwrap().software, 3);
    let (level, words) = scene.agent.doctor().unwrap().of("connection").unwrap();
    assert_eq!(level, "ok", "{words}");
    // squid writes the line when a tunnel ends.
    let tunnel = format!("CONNECT {}", scene.collector.address());
    wait_for("the tunnel in the proxy's log", || Ok(proxy.accesses()?.contains(&tunnel).then_some(())))
        .unwrap();
}

#[test]
fn a_proxy_with_passwords_takes_the_right_one_and_names_the_wrong_one() {
    if !can_run() {
        return;
    }
    let proxy = Proxy::start(Kind::Password).unwrap();
    let mut scene = Scene::with("password", |agent| {
        agent.set_env("TENKEN_PROXY", &proxy.address(Some((USER, PASSWORD))));
        Ok(())
    })
    .unwrap();
    scene.agent.report().unwrap();
    let (_, words) = scene.agent.doctor().unwrap().of("proxy").unwrap();
    assert!(words.contains("[user:password]") && !words.contains(PASSWORD), "{words}");

    for user in [Some((USER, "wrong")), None] {
        scene.agent.set_env("TENKEN_PROXY", &proxy.address(user));
        scene.machine.packages(&[("bash", "6")]).unwrap();
        assert!(!scene.agent.once().unwrap().status.success());
        assert_eq!(last_error(&scene.agent), "proxy_authentication");
        let (level, words) = scene.agent.doctor().unwrap().of("connection").unwrap();
        assert_eq!(level, "problem");
        assert!(words.contains("credentials"), "{words}");
    }
    assert!(scene.agent.spooled() > 0, "what could not be sent waits");
    scene.agent.set_env("TENKEN_PROXY", &proxy.address(Some((USER, PASSWORD))));
    scene.agent.report().unwrap();
    assert_eq!(scene.version_of("bash").unwrap().as_deref(), Some("6"));
}

#[test]
fn a_proxy_that_inspects_tls_is_refused_unless_the_os_store_is_trusted_by_setting() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(&folder.path().join("collector"), Store::Sqlite).unwrap();
    // Proxies that inspect make certificates for names, seldom good ones for addresses.
    let url = format!("https://localhost:{}", collector.address().rsplit(':').next().unwrap());
    let machine = e2e::machine::Machine::at(&folder.path().join("machine"), "inspected").unwrap();
    let mut agent = Agent::of(&folder.path().join("agent"), machine.root());
    let token = collector.token_for(1, &url).unwrap();
    agent.enrol(&token).unwrap();
    let identity = std::fs::read(agent.data().join("identity.json")).unwrap();
    let identity: Value = serde_json::from_slice(&identity).unwrap();
    let ca = identity.pointer("/membership/trust/ca_pem/0").unwrap().as_str().unwrap();
    let proxy = Proxy::start(Kind::Inspecting(ca)).unwrap();
    let system_store = proxy.ca();

    // By default only the collector's own CA counts, whatever the system trusts.
    agent.set_env("TENKEN_PROXY", &proxy.address(None));
    agent.set_env("SSL_CERT_FILE", system_store.to_str().unwrap());
    agent.set_env("SSL_CERT_DIR", "");
    assert!(!agent.once().unwrap().status.success());
    assert_eq!(last_error(&agent), "certificate_not_trusted");
    assert!(agent.spooled() > 0);
    let (level, words) = agent.doctor().unwrap().of("tls").unwrap();
    assert_eq!(level, "problem", "{words}");
    assert!(words.contains("Office Inspection CA") && words.contains("exempted"), "{words}");
    assert!(words.contains("trust_os_store"), "{words}");

    // By setting the system's store counts, and it is seen that it does.
    agent.set_env("TENKEN_TRUST_OS_STORE", "true");
    agent.report().unwrap();
    assert_eq!(agent.spooled(), 0);
    assert_eq!(agent.status().unwrap()["tls_trust"], "os_store");
    let (level, words) = agent.doctor().unwrap().of("tls").unwrap();
    assert_eq!(level, "warning", "{words}");
    assert!(words.contains("Office Inspection CA"), "{words}");

    // What came through was opened by the proxy, and is signed by the collector all the same.
    let trust = Trust::from_token(&token).unwrap();
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(inspected_ping(&proxy, &url));
    assert!(trust.reply(&answer, Digest::of(b"story")).is_ok());
    assert!(trust.reply(&answer, Digest::of(b"other")).is_err());
    let opened = format!("{url}{}", route::REPORT);
    wait_for("the opened request in the proxy's log", || {
        Ok(proxy.accesses()?.contains(&opened).then_some(()))
    })
    .unwrap();

    // A store that does not hold the proxy's CA helps nobody.
    agent.set_env("SSL_CERT_FILE", folder.path().join("none.pem").to_str().unwrap());
    machine.packages(&[("bash", "6")]).unwrap();
    assert!(!agent.once().unwrap().status.success());
}

/// Asks the collector through the inspecting proxy, trusting the proxy's CA only.
async fn inspected_ping(proxy: &Proxy, url: &str) -> String {
    let pem = std::fs::read(proxy.ca()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::pem_slice_iter(&pem)
    {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .proxy(reqwest::Proxy::all(proxy.address(None)).unwrap())
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let answer = client.get(format!("{url}{}?nonce=story", route::PING)).send().await.unwrap();
    answer.text().await.unwrap()
}
