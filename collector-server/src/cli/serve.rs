//! `serve`: the server until it is asked to end.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use tenken_shared::text::{Lang, Text};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::door::error;
use super::{DEFAULT_ORG, StoreArgs};
use crate::app::App;
use crate::config::{Config, machine_name};
use crate::store::Store;
use crate::tls::{self, Source, Tls};
use crate::{http, jobs, serve};

const FOLDER: Text = Text::new("データフォルダー {} を使えません", "the data folder {} cannot be used");
const LISTEN: Text = Text::new(
    "{} で待ち受けできません。別のプログラムが使っていないか確かめてください",
    "cannot listen on {}; is another program using it?",
);
const HALF: Text = Text::new(
    "設定 tls_certificate と tls_key は両方とも指定してください",
    "the settings tls_certificate and tls_key belong together",
);
const FIRST: Text = Text::new("最初のパスワードの設定", "set the first password");

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    store: StoreArgs,
    /// Address and port to listen on (default 0.0.0.0:8443; port 0 takes a free one).
    #[arg(long, env = "TENKEN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address agents and people use, for example `https://tenken.example:8443`.
    #[arg(long, env = "TENKEN_PUBLIC_URL")]
    public_url: Option<String>,
}

impl Serve {
    /// Runs until SIGTERM, SIGINT or Ctrl-C.
    pub async fn run(self, lang: Lang) -> anyhow::Result<()> {
        let mut config = self.store.config()?;
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if self.public_url.is_some() {
            config.public_url = self.public_url;
        }
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            serve::asked_to_end().await;
            ask.send_replace(true);
        });
        until(config, asked, lang).await
    }
}

/// Serves until `asked` turns true.
pub(super) async fn until(
    config: Config,
    mut asked: watch::Receiver<bool>,
    lang: Lang,
) -> anyhow::Result<()> {
    if config.database_url.is_none() {
        tenken_service::folder::private(&config.data, Some(crate::service::NAME))
            .map_err(|e| anyhow::Error::new(e).context(error(lang, FOLDER, config.data.display())))?;
    }
    let now = Timestamp::now();
    let store = Store::open(&config.location()).await?;
    let org = store.ensure_org(&DEFAULT_ORG.parse()?, "", now).await?;
    let listener = serve::bind(config.listen)
        .map_err(|e| anyhow::Error::new(e).context(error(lang, LISTEN, config.listen)))?;
    let bound = listener.local_addr()?;
    let (source, own_ca) = certificate(&config, bound, lang)?;
    let app = Arc::new(App::new(store, own_ca, now).await?);
    let tls = Tls::new(source, &app.keys, now)?;
    let tls = Arc::clone(app.tls.get_or_init(|| Arc::new(tls)));
    let (stop, stopped) = watch::channel(false);
    let jobs = jobs::start(&app, &tls, &stopped);
    let url = config.public_url(bound);
    app.store.set_setting(crate::enrol::URL_SETTING, &url).await?;
    tracing::info!(listen = %bound, url = %url, "serving");
    match http::admin::first_link(&app.store, &org.id).await {
        // To the person at the terminal only, never into the log.
        Ok(Some(path)) => eprintln!("{}: {url}{path}", FIRST.get(lang)),
        Ok(None) => {}
        Err(error) => tracing::error!(error = ?error, "no link for the first password could be made"),
    }
    tokio::spawn(async move {
        serve::stopped(&mut asked).await;
        tracing::info!("ending");
        stop.send_replace(true);
    });
    let acceptor = TlsAcceptor::from(tls.server_config()?);
    serve::run(listener, acceptor, http::router(app), config.connections, stopped).await;
    for job in jobs {
        job.await?;
    }
    Ok(())
}

/// The configured certificate, or names for a self-made one.
fn certificate(
    config: &Config,
    bound: SocketAddr,
    lang: Lang,
) -> anyhow::Result<(Source, Option<Vec<String>>)> {
    match (&config.tls_certificate, &config.tls_key) {
        (Some(chain), Some(key)) => {
            let (source, pem) = tls::from_files(chain, key)?;
            Ok((source, Some(pem)))
        }
        (None, None) => Ok((Source::Own(names(config, bound)), None)),
        _ => Err(error(lang, HALF, "")),
    }
}

fn names(config: &Config, bound: SocketAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !bound.ip().is_unspecified() {
        names.push(bound.ip().to_string());
    }
    names.extend(machine_name());
    let url = config.public_url(bound);
    if let Ok(uri) = url.parse::<axum::http::Uri>()
        && let Some(host) = uri.host()
    {
        names.push(host.trim_matches(['[', ']']).to_owned());
    }
    names.extend(config.tls_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}
