//! What travels: reports, signatures, tokens, policies.

use tenken_shared::api::EnrolToken;
use tenken_shared::jws::{Purpose, SigningKey, Unverified};
use tenken_shared::policy::Policy;
use tenken_shared::{canonical, report};

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("report_lines", report_lines, &[]).made(made_reports),
    Target::over("manifest", manifest, &[]).samples(&[MANIFEST]),
    Target::over("fact_body", fact_body, &[]).samples(&[BODY]),
    Target::over("jws", jws, &[]).made(made_jws).max_len(1024),
    Target::over("enrol_token", enrol_token, &[]).made(made_tokens).max_len(1024),
    Target::over("policy", policy, &[]).made(made_policies),
];

fn report_lines(data: &[u8]) {
    if let Ok((jws, bodies)) = report::split_lines(data) {
        let _ = Unverified::parse(jws, Purpose::Report);
        for body in bodies {
            fact_body(body);
        }
    }
}

fn manifest(data: &[u8]) {
    if let Ok(manifest) = report::decode_manifest(data) {
        // What was read can be written again.
        assert!(serde_json::to_vec(&manifest).is_ok());
    }
}

fn fact_body(data: &[u8]) {
    if let Ok(line) = report::decode_body(data)
        && let (Some(kind), Some(body)) = (line.content.kind.known(), &line.content.body)
    {
        let _ = kind.check_body(body);
    }
}

fn jws(data: &[u8]) {
    text(data, |compact| {
        for purpose in [Purpose::Report, Purpose::Reply, Purpose::Key, Purpose::Receipt, Purpose::Snapshot] {
            if let Ok(parsed) = Unverified::parse(compact, purpose) {
                let _ = parsed.key_id();
            }
        }
    });
}

fn enrol_token(data: &[u8]) {
    text(data, |text| {
        if let Ok(token) = EnrolToken::from_text(text) {
            assert!(EnrolToken::from_text(&token.to_text()).is_ok());
        }
    });
}

fn policy(data: &[u8]) {
    if let Ok(policy) = serde_json::from_slice::<Policy>(data) {
        let _ = canonical::to_bytes(&policy);
    }
}

const MANIFEST: &str = r#"{"version":1,"seq":2,"prev":"RBNvP1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o","root":"RBNvP1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o","created_at":1795000000000,"confirmed_at":1795000000000,"confirmed":{"os":1795000000000},"base":1,"changed":[{"kind":"os","digest":"RBNvP1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o","collected_at":1795000000000}],"gone":["autorun"],"print":"AAAAAAAAAAAAAAAAAAAAAA","resync":{"cause":"resync","head_seq":1},"dropped":{"from_seq":1,"to_seq":2,"reports":1,"events":0,"digest":"RBNvP1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"},"events":[{"at":1795000000000,"kind":"media.arrived","data":{"vid":"0781"}}]}"#;
pub(super) const BODY: &str = r#"{"body":{"items":[{"arch":"amd64","name":"bash","scope":"machine","source":"deb","version":"5.2"}],"sources":[{"count":1,"source":"dpkg:/var/lib/dpkg/status","status":"known"}]},"kind":"software","schema":1,"source":"/var/lib/dpkg/status","status":"known"}"#;

/// A key for seeds; which one does not matter.
fn signed(purpose: Purpose, payload: &[u8]) -> Vec<Vec<u8>> {
    let key = SigningKey::generate().and_then(|der| SigningKey::from_pkcs8(&der));
    key.map(|key| key.sign(purpose, payload).into_bytes()).into_iter().collect()
}

pub(super) fn made_reports() -> Vec<Vec<u8>> {
    signed(Purpose::Report, MANIFEST.as_bytes())
        .into_iter()
        .map(|jws| [jws.as_slice(), BODY.as_bytes()].join(&b'\n'))
        .collect()
}

fn made_jws() -> Vec<Vec<u8>> {
    [Purpose::Report, Purpose::Reply, Purpose::Key].into_iter().flat_map(|p| signed(p, b"{}")).collect()
}

fn made_tokens() -> Vec<Vec<u8>> {
    let json = br#"{"urls":["https://collector.example:8443"],"ca":"RBNvP1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o","key":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","secret":"s"}"#;
    let token = serde_json::from_slice::<EnrolToken>(json);
    token.map(|t| t.to_text().into_bytes()).into_iter().collect()
}

fn made_policies() -> Vec<Vec<u8>> {
    serde_json::to_vec(&Policy::default()).into_iter().collect()
}
