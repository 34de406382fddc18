//! Where an administration command does its work.
//!
//! Every such command asks the JSON API and prints what it answers. [`Door::ask`] is the one place that
//! knows whether the API is the one of a collector far away, reached with a token, or this very program's
//! over the data at hand: the same routes, rules, audit entries and output either way.

use std::path::PathBuf;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use clap::Args;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tenken_shared::api::ErrorBody;
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;
use tenken_shared::text::{Lang, Text, printable};
use tower::ServiceExt as _;

use super::{DEFAULT_ORG, StoreArgs};
use crate::http::admin::{API, router};
use crate::http::auth::{AdminState, CommandLine};
use crate::http::query_api::Me;
use crate::keys::Keys;

/// Variable with the API token, where no file is named.
const TOKEN_VARIABLE: &str = "TENKEN_API_TOKEN";
/// Longest answer that is kept in memory, bytes.
const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// Longest wait for a connection.
const CONNECT_TIME: std::time::Duration = std::time::Duration::from_secs(20);
/// Longest silence of a collector that works on something.
const READ_TIME: std::time::Duration = std::time::Duration::from_secs(300);

/// Which collector, and which organisation of it.
#[derive(Debug, Clone, Args)]
pub struct DoorArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Organisation. Default: `default`, or with --server the one of the API token.
    #[arg(long)]
    org: Option<OrgId>,
    /// Address of a collector to administer over its API, for example <https://tenken.example:8443>.
    /// Default: the data here.
    #[arg(long, env = "TENKEN_COLLECTOR_SERVER")]
    server: Option<String>,
    /// File with the API token for --server. Default: the variable `TENKEN_API_TOKEN`.
    #[arg(long)]
    api_token_file: Option<PathBuf>,
    /// Certificate authority of --server (PEM), as `ca show` prints it. Default: those this system trusts.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// Where the API is.
enum Way {
    /// In this process, over the data at hand.
    Here(Router, OrgId),
    /// Over a connection.
    There { http: reqwest::Client, base: String, token: Secret<String> },
}

/// The API, open.
pub struct Door {
    way: Way,
    /// The reader's language.
    pub lang: Lang,
    /// Addresses for agents from the settings at hand.
    pub public_url: Option<String>,
}

/// One part of an address.
pub fn part(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A sentence as an error.
pub fn error(lang: Lang, text: Text, detail: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{}", text.get(lang).replace("{}", &printable(&detail.to_string())))
}

impl DoorArgs {
    /// Opens the way to the API.
    pub async fn open(&self, lang: Lang) -> anyhow::Result<Door> {
        match &self.server {
            Some(server) => self.there(server, lang).await,
            None => self.here(lang).await,
        }
    }

    async fn here(&self, lang: Lang) -> anyhow::Result<Door> {
        let org = match &self.org {
            Some(org) => org.clone(),
            None => DEFAULT_ORG.parse()?,
        };
        let config = self.store.config()?;
        let store = self.store.open_org(&org, lang).await?;
        let own_ca = match (&config.tls_certificate, &config.tls_key) {
            (Some(chain), Some(key)) => Some(crate::tls::from_files(chain, key)?.1),
            _ => None,
        };
        let keys = Keys::open(store.clone(), own_ca, Timestamp::now()).await?;
        let router = router(AdminState::new(store, std::sync::Arc::new(keys)));
        Ok(Door { way: Way::Here(router, org), lang, public_url: config.public_url })
    }

    async fn there(&self, server: &str, lang: Lang) -> anyhow::Result<Door> {
        let base = server.trim_end_matches('/').to_owned();
        let fine = reqwest::Url::parse(&base).is_ok_and(|url| url.scheme() == "https" && url.has_host());
        if !fine {
            let text = Text::new(
                "--server「{}」は https:// で始まるアドレスではありません。",
                "--server {} is no address that begins with https://",
            );
            return Err(error(lang, text, base));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::tls::client(self.ca.as_deref())?)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIME)
            .read_timeout(READ_TIME)
            .build()?;
        let token = self.token(lang)?;
        let door = Door { way: Way::There { http, base, token }, lang, public_url: None };
        if let Some(org) = &self.org {
            let me: Me = door.get("/me").await?;
            if me.org != org.as_str() {
                let text = Text::new(
                    "このAPIトークンは組織「{}」のものです。",
                    "This API token is of the organisation {}.",
                );
                return Err(error(lang, text, me.org));
            }
        }
        Ok(door)
    }

    fn token(&self, lang: Lang) -> anyhow::Result<Secret<String>> {
        let text = match &self.api_token_file {
            Some(path) => String::from_utf8(super::common::read(path, 4096, lang)?)?,
            None => std::env::var(TOKEN_VARIABLE).unwrap_or_default(),
        };
        if text.trim().is_empty() {
            let text = Text::new(
                "--server にはAPIトークンが要ります。--api-token-file か環境変数 TENKEN_API_TOKEN で指定してください。コレクター上で tenken-collector api-token create により作れます。",
                "--server needs an API token: name it with --api-token-file or in TENKEN_API_TOKEN. Make one on the collector with tenken-collector api-token create.",
            );
            return Err(error(lang, text, ""));
        }
        Ok(Secret::new(text.trim().to_owned()))
    }
}

impl Door {
    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Response<Body>> {
        let path = format!("{API}{path}");
        let kind = "application/json";
        match &self.way {
            Way::Here(router, org) => {
                let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
                let mut request = request.body(Body::from(body))?;
                request.extensions_mut().insert(CommandLine(org.clone()));
                Ok(router.clone().oneshot(request).await?)
            }
            Way::There { http, base, token } => {
                let request = http.request(method, format!("{base}{path}")).bearer_auth(token.expose());
                let sent = request.header(header::CONTENT_TYPE, kind).body(body).send().await;
                let answer = sent.map_err(|e| {
                    let text = Text::new(
                        "コレクター {} に接続できません。アドレス、ネットワーク、--ca を確かめてください。",
                        "The collector at {} cannot be reached. Check the address, the network and --ca.",
                    );
                    anyhow::Error::new(e.without_url()).context(error(self.lang, text, base))
                })?;
                Ok(Response::<reqwest::Body>::from(answer).map(Body::new))
            }
        }
    }

    /// An answer that is no error.
    async fn answer(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Body> {
        let (head, body) = self.ask(method, path, body).await?.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let bytes = collect(body, 64 * 1024).await.unwrap_or_default();
        Err(self.refusal(head.status, &bytes))
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> anyhow::Error {
        match (serde_json::from_slice::<ErrorBody>(bytes), self.lang) {
            (Ok(told), Lang::Ja) => {
                anyhow::anyhow!("{} [{}]", printable(&told.message_ja), printable(&told.code))
            }
            (Ok(told), Lang::En) => {
                anyhow::anyhow!("{} [{}]", printable(&told.message), printable(&told.code))
            }
            (Err(_), lang) => {
                let text = Text::new(
                    "コレクターではないものが応答しました(HTTP {})。--server を確かめてください。",
                    "Something that is no collector answered (HTTP {}). Check --server.",
                );
                error(lang, text, status.as_u16())
            }
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        let bytes = collect(self.answer(method, path, body).await?, MAX_ANSWER).await?;
        serde_json::from_slice(&bytes).with_context(|| {
            let text = Text::new(
                "コレクターの応答 {} を読めません。版が違う可能性があります。",
                "The answer {} of the collector does not read; its version may be another.",
            );
            text.get(self.lang).replace("{}", path)
        })
    }

    /// Asks for something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(Method::GET, path, Vec::new()).await
    }

    /// Sends something as JSON and reads the answer.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        value: &(impl Serialize + Sync),
    ) -> anyhow::Result<T> {
        self.read(method, path, serde_json::to_vec(value)?).await
    }

    /// Sends a file as it is and reads the answer.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<T> {
        self.read(method, path, bytes).await
    }

    /// Changes something; there is nothing to read.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        value: &(impl Serialize + Sync),
    ) -> anyhow::Result<()> {
        self.answer(method, path, serde_json::to_vec(value)?).await.map(drop)
    }

    /// Writes an answer out as it comes.
    pub async fn save(&self, path: &str, out: &mut (impl std::io::Write + Send)) -> anyhow::Result<()> {
        let mut body = self.answer(Method::GET, path, Vec::new()).await?;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                out.write_all(&data)?;
            }
        }
        Ok(out.flush()?)
    }
}

async fn collect(mut body: Body, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            anyhow::ensure!(bytes.len() + data.len() <= limit, "an answer of more than {limit} bytes");
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenken_shared::snapshot::{Pack, verify};
    use tokio::sync::watch;

    use super::*;
    use crate::cli::serve;
    use crate::config::Config;
    use crate::http::people_api::{MadeApiToken, NewApiToken};
    use crate::store::Store;
    use crate::user::Role;

    #[tokio::test(flavor = "multi_thread")]
    async fn far_away_the_same_is_answered_as_on_the_data() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let config =
            Config { data: data.clone(), listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
        let location = config.location();
        let (stop, asked) = watch::channel(false);
        let server = tokio::spawn(serve::until(config, asked, Lang::En));
        let store = loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let Ok(store) = Store::open(&location).await else { continue };
            if store.setting(crate::enrol::URL_SETTING).await.unwrap().is_some() {
                break store;
            }
        };
        let url = store.setting(crate::enrol::URL_SETTING).await.unwrap().unwrap();
        let authority = folder.path().join("ca.pem");
        let (_, keys) = store.collector_keys().await.unwrap();
        let pem = keys.iter().find_map(|k| k.certificate.clone()).unwrap();
        std::fs::write(&authority, pem).unwrap();

        let local = DoorArgs {
            store: StoreArgs { data: Some(data), database_url: None, config: None },
            org: None,
            server: None,
            api_token_file: None,
            ca: None,
        };
        let here = local.open(Lang::En).await.unwrap();
        let far = async |name: &str, role, lang| {
            let new = NewApiToken { name: name.into(), role, days: None, everywhere: false };
            let made: MadeApiToken = here.send(Method::POST, "/api-tokens", &new).await.unwrap();
            let file = folder.path().join(name);
            std::fs::write(&file, format!("{}\n", made.token.expose())).unwrap();
            let args = DoorArgs {
                server: Some(url.clone()),
                api_token_file: Some(file),
                ca: Some(authority.clone()),
                ..local.clone()
            };
            (args.open(lang).await.unwrap(), args)
        };
        let (admin, args) = far("admin", Role::Admin, Lang::En).await;
        let (auditor, _) = far("auditor", Role::Auditor, Lang::Ja).await;

        let policy: Value =
            admin.upload(Method::PUT, "/policy", b"[patch]\ndays = 7\n".to_vec()).await.unwrap();
        assert_eq!((&policy["version"], &policy["policy"]["patch"]["days"]), (&json!(1), &json!(7)));
        let taken: Value = admin.send(Method::POST, "/snapshots", &()).await.unwrap();
        assert_eq!(taken["number"], 1);
        for path in [
            "/hosts",
            "/policy",
            "/policy/history",
            "/catalogs",
            "/tokens",
            "/users",
            "/snapshots",
            "/criteria",
        ] {
            let near: Value = here.get(path).await.unwrap();
            assert_eq!(admin.get::<Value>(path).await.unwrap(), near, "{path}");
        }
        let mut pack = Vec::new();
        auditor.save("/snapshots/1/pack", &mut pack).await.unwrap();
        assert!(verify(&serde_json::from_slice::<Pack>(&pack).unwrap()).is_verified());
        let refused = auditor.change(Method::PUT, "/policy", &json!({})).await.unwrap_err().to_string();
        assert!(refused.contains("権限がありません") && refused.ends_with("[forbidden]"), "{refused}");

        let other = DoorArgs { org: Some("other".parse().unwrap()), ..args.clone() };
        assert!(other.open(Lang::En).await.is_err(), "the token is of another organisation");
        let untrusting = DoorArgs { ca: None, ..args.clone() }.open(Lang::En).await;
        if let Ok(door) = untrusting {
            let lost = door.get::<Value>("/me").await.unwrap_err().to_string();
            assert!(lost.contains("cannot be reached"), "{lost}");
        }
        let plain = DoorArgs { server: Some(url.replace("https", "http")), ..args }.open(Lang::En).await;
        assert!(plain.is_err(), "a token never goes over a connection without TLS");
        stop.send_replace(true);
        server.await.unwrap().unwrap();
    }
}
