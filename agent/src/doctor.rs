//! Looks for what keeps this machine from reporting, and says what to do about each thing found.

use std::time::{Duration, Instant};

use base64::Engine as _;
use jiff::Timestamp;
use serde::Serialize;
use tenken_shared::api::route;
use tenken_shared::collected::Status as FactStatus;
use tenken_shared::fact::FactKind;
use tenken_shared::ids::Digest;
use tenken_shared::text::{Lang, Text, printable};

use crate::config::Settings;
use crate::key::Identity;
use crate::paths::Paths;
use crate::probe::ProbeConfig;
use crate::probe::runner::Runner;
use crate::status::Status;
use crate::sys::Sys;
use crate::transport::client::{REPLACED, Route, is_collector_ca};
use crate::transport::proxy::from_environment;
use crate::transport::tls::{Anchor, reference_time};
use crate::transport::{Client, Request, TransportError, check_answer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could.
    Warning,
    /// Keeps the machine from reporting (all).
    Problem,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code.
    pub check: &'static str,
    /// How bad.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

/// Clock offset from which a person should look, milliseconds.
const CLOCK_WARNING_MS: i64 = 5 * 60 * 1000;

struct Doctor {
    lang: Lang,
    findings: Vec<Finding>,
}

impl Doctor {
    fn say(&mut self, check: &'static str, level: Level, detail: impl Into<String>, advice: Option<Text>) {
        let advice = advice.map_or_else(String::new, |text| text.get(self.lang).to_owned());
        self.findings.push(Finding { check, level, detail: detail.into(), advice });
    }

    fn text(&self, ja: &'static str, en: &'static str) -> String {
        Text::new(ja, en).get(self.lang).to_owned()
    }
}

/// Looks at everything. Changes nothing and sends no facts.
pub async fn examine(settings: &Settings, paths: &Paths, sys: &Sys, lang: Lang) -> Vec<Finding> {
    let mut doctor = Doctor { lang, findings: vec![] };
    rights(&mut doctor);
    let identity = identity(&mut doctor, paths);
    proxy(&mut doctor, settings, identity.as_ref()).await;
    if let Some(identity) = &identity {
        connection(&mut doctor, settings, paths, identity).await;
    }
    delivery(&mut doctor, paths);
    service(&mut doctor);
    probes(&mut doctor, paths, sys).await;
    doctor.findings
}

fn rights(doctor: &mut Doctor) {
    if crate::paths::elevated() {
        let detail = doctor.text("管理者権限で動作しています", "running with the rights of root");
        doctor.say("rights", Level::Ok, detail, None);
        return;
    }
    let detail = doctor.text("管理者権限がありません", "running without the rights of root");
    let advice = Text::new(
        "一部の情報を読めません。サービスとして、または sudo で実行してください。",
        "Some facts cannot be read. Run it as a service or with sudo.",
    );
    doctor.say("rights", Level::Warning, detail, Some(advice));
}

fn identity(doctor: &mut Doctor, paths: &Paths) -> Option<Identity> {
    match Identity::load(paths) {
        Ok(Some(identity)) => {
            let host = &identity.membership.host;
            let detail = format!("{host}, {}", printable(&identity.membership.urls.join(", ")));
            doctor.say("enrolment", Level::Ok, detail, None);
            Some(identity)
        }
        Ok(None) => {
            let detail = doctor.text("未登録", "not enrolled");
            let advice = Text::new(
                "管理者から登録トークンを受け取り、`tenken-agent enrol トークン` を実行してください。",
                "Get an enrolment token from the administrator and run `tenken-agent enrol TOKEN`.",
            );
            doctor.say("enrolment", Level::Problem, detail, Some(advice));
            None
        }
        Err(error) => {
            let advice = Text::new(
                "sudo で実行するか、`tenken-agent enrol --replace` で登録し直してください。",
                "Run it with sudo, or enrol anew with `tenken-agent enrol --replace`.",
            );
            doctor.say("enrolment", Level::Problem, error.to_string(), Some(advice));
            None
        }
    }
}

async fn proxy(doctor: &mut Doctor, settings: &Settings, identity: Option<&Identity>) {
    let detail = match (settings.proxy.expose().as_str(), from_environment()) {
        ("none", _) => doctor.text("使用しない(設定 proxy = none)", "none (setting proxy = none)"),
        ("", Some((name, address))) => format!("{} ({name})", without_credentials(&address)),
        ("", None) => return system_proxy(doctor, identity).await,
        (address, _) => format!("{} (proxy)", without_credentials(address)),
    };
    doctor.say("proxy", Level::Ok, detail, None);
}

/// What the system's own settings say for the collector, and where that stands.
async fn system_proxy(doctor: &mut Doctor, identity: Option<&Identity>) {
    let url = identity.and_then(|identity| identity.membership.urls.first().cloned());
    let url = url.unwrap_or_else(|| "https://collector.invalid/".to_owned());
    let found = tokio::task::spawn_blocking(move || crate::sys::proxy::for_url(&url)).await;
    let found = found.unwrap_or_default();
    let address =
        found.address.as_deref().map_or_else(|| doctor.text("使用しない", "none"), without_credentials);
    let origin = found.origin.map_or_else(String::new, |origin| format!(" ({origin})"));
    doctor.say("proxy", Level::Ok, format!("{address}{origin}"), None);
    if !found.failed.is_empty() {
        let advice = Text::new(
            "Windows のプロキシ設定の一部を利用できませんでした。agent.toml の proxy に直接指定できます。",
            "Some proxy settings of Windows could not be followed. A proxy can be named in agent.toml instead.",
        );
        doctor.say("proxy_settings", Level::Warning, printable(&found.failed.join("; ")), Some(advice));
    }
}

/// A proxy address without user name and password.
#[must_use]
pub fn without_credentials(address: &str) -> String {
    let full = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    match reqwest::Url::parse(&full) {
        Ok(mut url) => {
            let had = !url.username().is_empty() || url.password().is_some();
            let _ = url.set_username("");
            let _ = url.set_password(None);
            format!("{}{}", printable(url.as_str()), if had { " [user:password]" } else { "" })
        }
        Err(_) => "?".to_owned(),
    }
}

async fn connection(doctor: &mut Doctor, settings: &Settings, paths: &Paths, identity: &Identity) {
    let status = Status::load(paths);
    let trust = &identity.membership.trust;
    let pinned = Anchor::Pinned(trust.ca_pem.clone());
    for url in &identity.membership.urls {
        let route = |anchor: Anchor| Route {
            urls: vec![url.clone()],
            proxy: settings.proxy.clone(),
            anchor,
            reference_s: reference_time(status.last_signed_ms),
            timeout: Duration::from_secs(settings.request_timeout_s.min(30)),
        };
        let by_pin = ping(&route(pinned.clone()), identity).await;
        match by_pin {
            Ok(pong) => {
                let detail = format!("{url}: {} ms", pong.round_trip_ms);
                doctor.say("connection", Level::Ok, detail, None);
                let detail = doctor.text("コレクター自身のCA", "the collector's own CA");
                doctor.say("tls", Level::Ok, format!("{detail}: {}", pong.issuer), None);
                if settings.trust_os_store {
                    not_needed(doctor);
                }
                clock(doctor, pong.offset_ms);
            }
            Err(TransportError::Certificate { issuer, detail, .. }) => {
                let by_store = ping(&route(Anchor::OsStore), identity).await;
                intercepted(doctor, settings, url, &issuer, &detail, by_store);
            }
            Err(error) => {
                doctor.say("connection", Level::Problem, error.to_string(), Some(error.advice()));
            }
        }
    }
}

fn not_needed(doctor: &mut Doctor) {
    let detail = doctor.text(
        "trust_os_store = true だが、TLS検査は行われていない",
        "trust_os_store = true although nothing inspects TLS",
    );
    let advice = Text::new("設定を外せます。", "The setting can be removed.");
    doctor.say("tls_trust", Level::Warning, detail, Some(advice));
}

fn intercepted(
    doctor: &mut Doctor,
    settings: &Settings,
    url: &str,
    issuer: &str,
    cause: &str,
    by_store: Result<Pong, TransportError>,
) {
    let head = doctor.text(
        "コレクターのCAではない発行者の証明書が提示されました",
        "the certificate presented is not issued by the collector's CA but by",
    );
    let detail = format!("{url}: {head}: {issuer} ({cause})");
    match (by_store, settings.trust_os_store) {
        (Ok(pong), true) => {
            let advice = Text::new(
                "TLS検査装置を通っています(trust_os_store = true)。内容は装置に見えますが、署名により改ざんはできません。",
                "Traffic passes a TLS-inspecting device (trust_os_store = true). It can read but, because of the signatures, not change anything.",
            );
            doctor.say("tls", Level::Warning, detail, Some(advice));
            doctor.say("connection", Level::Ok, format!("{url}: {} ms", pong.round_trip_ms), None);
            clock(doctor, pong.offset_ms);
        }
        (Ok(_), false) => {
            let advice = Text::new(
                "途中の装置がTLSを検査しています(OSはその発行者を信頼しています)。このアドレスを検査対象から外してもらうのが最善です。できない場合に限り trust_os_store = true を設定してください。",
                "A device on the way inspects TLS (the operating system trusts its issuer). Best: have this address exempted. Only where that is impossible, set trust_os_store = true.",
            );
            doctor.say("tls", Level::Problem, detail, Some(advice));
        }
        (Err(TransportError::Certificate { detail: other, .. }), _) if other != cause => {
            let advice = Text::new(
                "OSはこの発行者を信頼していますが、証明書がこのアドレスのものとして正しくありません。TLS検査装置はIPアドレス宛ての証明書を正しく作れないことがあります。コレクターに名前(DNS)を付け、その名前を含む登録トークンで登録し直すか、検査対象から外してもらってください。",
                "The operating system trusts this issuer, but the certificate is not right for this address. Devices that inspect TLS often cannot make one for an IP address: give the collector a DNS name and enrol with a token that carries it, or have the address exempted.",
            );
            doctor.say("tls", Level::Problem, format!("{detail}; {other}"), Some(advice));
        }
        (Err(_), _) if is_collector_ca(issuer) => {
            doctor.say("tls", Level::Problem, detail, Some(REPLACED));
        }
        (Err(error), _) => {
            let advice = Text::new(
                "OSもこの発行者を信頼していません。別のサーバーにつながっているか、TLS検査装置のCAがこのコンピューターに導入されていません。アドレスを確認し、ネットワーク管理者に上の発行者を伝えてください。",
                "The operating system does not trust this issuer either: another server answers, or a TLS-inspecting device whose CA is not installed here. Check the address and tell the network's administrator the issuer above.",
            );
            doctor.say("tls", Level::Problem, format!("{detail}; {}", error.code()), Some(advice));
        }
    }
}

fn clock(doctor: &mut Doctor, offset_ms: i64) {
    let detail = format!("{offset_ms} ms");
    if offset_ms.abs() < CLOCK_WARNING_MS {
        doctor.say("clock", Level::Ok, detail, None);
        return;
    }
    let advice = Text::new(
        "このコンピューターの時計がコレクターと大きくずれています。時刻同期(chrony や systemd-timesyncd)を有効にしてください。報告はずれを補正して受け付けられます。",
        "This machine's clock is far from the collector's. Turn time synchronisation on (chrony, systemd-timesyncd). Reports are accepted, corrected by the offset.",
    );
    doctor.say("clock", Level::Warning, detail, Some(advice));
}

struct Pong {
    round_trip_ms: i64,
    offset_ms: i64,
    issuer: String,
}

async fn ping(route: &Route, identity: &Identity) -> Result<Pong, TransportError> {
    let mut client = Client::new(route)?;
    let mut nonce = [0u8; 16];
    // Without random numbers the nonce is constant and a replayed answer could deceive doctor, nobody else.
    let _ = getrandom::fill(&mut nonce);
    let nonce = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(nonce);
    let path = format!("{}?nonce={nonce}", route::PING);
    let (clock, started) = (Timestamp::now().as_millisecond(), Instant::now());
    let answer = client.send(&Request { path: &path, content: None, headers: vec![] }).await?;
    let round_trip_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    let checked = check_answer(&answer, &identity.membership.trust.keys, Digest::of(nonce.as_bytes()))?;
    let offset_ms = (clock + round_trip_ms / 2).saturating_sub(checked.reply.time);
    Ok(Pong { round_trip_ms, offset_ms, issuer: client.issuer() })
}

fn delivery(doctor: &mut Doctor, paths: &Paths) {
    let status = Status::load(paths);
    if let Some(stopped) = &status.stopped {
        let advice = Text::new(
            "管理者に確認し、報告を再開するなら新しいトークンで `tenken-agent enrol --replace` を実行してください。",
            "Ask the administrator; to report again run `tenken-agent enrol --replace` with a new token.",
        );
        doctor.say("stopped", Level::Problem, format!("{}: {}", stopped.code, stopped.detail), Some(advice));
    }
    if let Some(error) = &status.last_error {
        let advice = Text::new(
            "上の接続の項目を確認してください。報告は保管され、自動で再送されます。",
            "See the connection above. Reports are kept and sent again by themselves.",
        );
        let detail = format!("{} ({}): {}", error.code, error.at, error.detail);
        doctor.say("last_error", Level::Warning, detail, Some(advice));
    }
    let waiting = match doctor.lang {
        Lang::Ja => format!("送信待ち {} 件、{} バイト", status.spool_reports, status.spool_bytes),
        Lang::En => format!("{} reports wait, {} bytes", status.spool_reports, status.spool_bytes),
    };
    doctor.say("spool", Level::Ok, waiting, None);
    let refused = std::fs::read_dir(paths.quarantine()).map(Iterator::count).unwrap_or(0);
    if refused > 0 {
        let detail = format!("{}: {refused}", paths.quarantine().display());
        let advice = Text::new(
            "コレクターが受け付けなかった報告です。エージェントとコレクターの版を揃え、このファイルを添えて問い合わせてください。",
            "The collector refused these reports. Bring agent and collector to the same version, and send these files with a question.",
        );
        doctor.say("quarantine", Level::Warning, detail, Some(advice));
    }
}

fn service(doctor: &mut Doctor) {
    let Ok(state) = crate::service::SERVICE.state() else { return };
    let running = state.active.as_deref() == Some("active");
    if state.installed && running {
        doctor.say("service", Level::Ok, "active", None);
        return;
    }
    let detail = if state.installed {
        state.active.unwrap_or_else(|| doctor.text("応答なし", "no answer"))
    } else {
        doctor.text("サービスとして登録されていません", "not installed as a service")
    };
    let advice = Text::new(
        "`tenken-agent service install` で常駐させてください。",
        "Make it a service: `tenken-agent service install`.",
    );
    doctor.say("service", Level::Warning, detail, Some(advice));
}

async fn probes(doctor: &mut Doctor, paths: &Paths, sys: &Sys) {
    let mut runner = Runner::beside(sys.clone(), Some(paths.probe_state()));
    let task = tokio::task::spawn_blocking(move || runner.run(&ProbeConfig::default(), None));
    let Ok(given) = task.await else { return };
    for collection in given {
        let content = &collection.record.content;
        let level = match content.status {
            FactStatus::Known | FactStatus::Absent | FactStatus::Unsupported => Level::Ok,
            FactStatus::Partial | FactStatus::Denied => Level::Warning,
            FactStatus::Failed | FactStatus::TimedOut => Level::Problem,
        };
        let title = collection.kind.title().get(doctor.lang);
        let reason = content.reason.as_ref().map_or_else(String::new, |r| match &r.detail {
            Some(detail) => format!(": {} ({})", r.code, printable(detail)),
            None => format!(": {}", r.code),
        });
        let detail = format!("{title}: {}{reason}", content.status);
        doctor.say(
            "probe",
            level,
            detail,
            (level != Level::Ok).then(|| probe_advice(content.status, collection.kind)),
        );
    }
}

fn probe_advice(status: FactStatus, _kind: FactKind) -> Text {
    match status {
        FactStatus::Denied => Text::new(
            "権限が足りません。サービスとして、または sudo で実行してください。",
            "Rights are missing. Run it as a service or with sudo.",
        ),
        FactStatus::Partial => Text::new(
            "一部の情報源を読めませんでした。これに依存する判定は「不明」になります。",
            "A source could not be read; verdicts that rest on it are \"unknown\".",
        ),
        FactStatus::TimedOut => Text::new(
            "時間内に終わりませんでした。応答しないディスクやネットワーク共有がないか確認してください。",
            "It did not end in time. Look for a disk or network share that does not answer.",
        ),
        _ => Text::new(
            "理由コードと対象を確認してください。直るまで、これに依存する判定は「不明」になります。",
            "Look at the reason and the object. Until mended, verdicts that rest on it are \"unknown\".",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_proxy_are_never_shown() {
        for address in ["http://user:geheim@proxy:3128", "user:geheim@proxy:3128", "http://geheim@proxy"] {
            let shown = without_credentials(address);
            assert!(!shown.contains("geheim") && shown.contains("proxy"), "{shown}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn machine_that_is_not_enrolled_is_told_how_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        let sys = Sys::at_root(&root, None).unwrap();
        let paths = Paths::create(dir.path().join("data")).unwrap();
        let findings = examine(&Settings::default(), &paths, &sys, Lang::En).await;
        let enrolment = findings.iter().find(|f| f.check == "enrolment").unwrap();
        assert_eq!(enrolment.level, Level::Problem);
        assert!(enrolment.advice.contains("enrol TOKEN"));
        let silent = findings.iter().filter(|f| f.level != Level::Ok && f.advice.is_empty());
        assert_eq!(silent.count(), 0, "every finding says what to do");
    }
}
