//! `enrol`: exchanges an enrolment token for this machine's own credential.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tenken_shared::api::EnrolToken;
use tenken_shared::fact::FactKind;
use tenken_shared::text::{Text, printable};

use super::common::{Common, runtime};
use super::{Context, Format, output};
use crate::key::About;
use crate::paths::Paths;
use crate::probe::ProbeConfig;
use crate::probe::runner::Runner;
use crate::report::Collected;
use crate::status::Status;
use crate::sys::Sys;

const MAX_TOKEN: u64 = 16 * 1024;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The token; `-` reads it from standard input (a token on the command line is seen by other users)
    #[arg(required_unless_present = "token_file")]
    token: Option<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Give up the identity this machine has, and enrol it as a new host
    #[arg(long)]
    replace: bool,
    /// Read the machine under this folder instead of the running one
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let settings = common.settings()?;
    let token = read_token(args)?;
    let paths = Paths::create(settings.data_dir())?;
    let _lock = crate::run::take_lock(&paths)?;
    let about = about(args)?;
    let mut status = Status::load(&paths);
    // A host that the collector has retired or revoked can only come back as a new one.
    let replace = args.replace || status.stopped.is_some();
    let enrolled = runtime()?.block_on(crate::enrol::enrol(&settings, &paths, &token, &about, replace));
    let enrolled = match enrolled {
        Ok(enrolled) => enrolled,
        Err(crate::enrol::EnrolError::Transport(error)) => {
            eprintln!("{}", error.advice().get(context.lang));
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    status.stopped = None;
    if let Some(checked) = &enrolled.checked {
        status.last_signed_ms = Some(checked.reply.time);
        if let Some(policy) = &checked.policy {
            crate::disk::write_atomic(&paths.policy(), &serde_json::to_vec(policy)?)?;
        }
    }
    status.save(&paths)?;
    let membership = &enrolled.identity.membership;
    if args.format == Format::Json {
        output::json(&serde_json::json!({
            "host": membership.host, "org": membership.org, "collectors": membership.urls,
            "key_id": enrolled.identity.key.key_id(), "already_enrolled": enrolled.already,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let sentence = if enrolled.already { ALREADY } else { DONE };
    let text = sentence
        .get(context.lang)
        .replace("{host}", membership.host.as_str())
        .replace("{collector}", &printable(&membership.urls.join(", ")));
    output::write(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

const DONE: Text = Text::new(
    "ホスト {host} として {collector} に登録しました。次は `tenken-agent service install` で常駐させるか、`tenken-agent run` を実行してください。",
    "Enrolled as host {host} with {collector}. Next: `tenken-agent service install`, or `tenken-agent run`.",
);
const ALREADY: Text = Text::new(
    "このコンピューターはすでにホスト {host} として {collector} に登録されています。何も変更していません。",
    "This machine is already enrolled as host {host} with {collector}. Nothing was changed.",
);

fn read_token(args: &Args) -> anyhow::Result<EnrolToken> {
    let mut text = String::new();
    match (&args.token_file, args.token.as_deref()) {
        (Some(file), _) => {
            let file =
                std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            file.take(MAX_TOKEN).read_to_string(&mut text)?;
        }
        (None, Some("-")) => {
            std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
        }
        (None, token) => text.push_str(token.unwrap_or_default()),
    }
    // The error must not show the token, which is a secret.
    EnrolToken::from_text(text.trim()).map_err(|_| {
        anyhow::anyhow!(
            "this is not an enrolment token (it begins with `tenken1.`); copy it whole, or ask for a new one"
        )
    })
}

/// Names, serial and print of the machine, from the probes that tell them.
fn about(args: &Args) -> anyhow::Result<About> {
    let sys = match &args.root {
        Some(root) => Sys::at_root(root, None)?,
        None => Sys::live(),
    };
    let mut runner = Runner::new(sys.clone(), None);
    let kinds = [FactKind::Identity, FactKind::Hardware, FactKind::Network];
    let given = runner.run(&ProbeConfig::default(), Some(&kinds));
    let mut collected = Collected::default();
    collected.take(given.into_iter().map(|c| c.record), sys.now());
    Ok(crate::run::about(&collected, &sys))
}
