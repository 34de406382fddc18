//! `enrol`: exchanges an enrolment token for this machine's own credential.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tenken_shared::api::EnrolToken;
use tenken_shared::text::{Text, printable};

use super::common::{Common, runtime};
use super::told::Refused;
use super::{Context, Format, output};
use crate::key::About;
use crate::paths::Paths;
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
    let status = Status::load(&paths);
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
    crate::pending::remember(&paths, &enrolled)?;
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

const UNREADABLE: Text = Text::new("読めません", "cannot be read");
const NO_TOKEN: Text = Text::new(
    "登録トークンではありません(`tenken1.` で始まります)。全体をコピーするか、新しいトークンを求めてください",
    "this is not an enrolment token (it begins with `tenken1.`); copy it whole, or ask for a new one",
);

fn read_token(args: &Args) -> anyhow::Result<EnrolToken> {
    match (&args.token_file, args.token.as_deref()) {
        (Some(file), _) => token_of_file(file),
        (None, Some("-")) => {
            let mut text = String::new();
            std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
            parse_token(&text)
        }
        (None, token) => parse_token(token.unwrap_or_default()),
    }
}

/// Reads a token from a file, with or without the mark at its begin that Windows editors write.
pub fn token_of_file(file: &Path) -> anyhow::Result<EnrolToken> {
    let mut text = String::new();
    let open =
        std::fs::File::open(file).map_err(|error| Refused::of(file.display(), UNREADABLE).because(error))?;
    open.take(MAX_TOKEN).read_to_string(&mut text)?;
    parse_token(text.trim_start_matches('\u{feff}'))
}

/// Reads a token. The error does not show it: it is a secret.
pub fn parse_token(text: &str) -> anyhow::Result<EnrolToken> {
    EnrolToken::from_text(text.trim()).map_err(|_| Refused::new(NO_TOKEN).into())
}

/// What is said of the machine that enrols.
fn about(args: &Args) -> anyhow::Result<About> {
    let sys = match &args.root {
        Some(root) => Sys::at_root(root, None)?,
        None => Sys::live(),
    };
    Ok(crate::pending::about(&sys))
}
