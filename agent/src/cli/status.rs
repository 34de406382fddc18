//! `status`: last report, spool, clock offset, next run; read from what the running agent leaves.

use std::process::ExitCode;

use jiff::Timestamp;
use tenken_shared::text::{Lang, Text};

use super::common::Common;
use super::{Context, Format, output};
use crate::key::Identity;
use crate::status::{Problem, Status};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Runs the command. Exit code 0 where this machine is enrolled and may report, else 1.
pub fn run(args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let settings = common.settings()?;
    let paths = common.paths()?;
    let identity = Identity::load(&paths)?;
    let enrolled = identity.is_some();
    let mut status = Status::load(&paths);
    if let Some(identity) = &identity {
        status.host = Some(identity.membership.host.clone());
        status.org = Some(identity.membership.org.clone());
        status.collectors.clone_from(&identity.membership.urls);
        status.key_id = Some(identity.key.key_id().clone());
        crate::delivery::tls_trust(&settings).clone_into(&mut status.tls_trust);
    }
    let running = is_running(&paths);
    if args.format == Format::Json {
        let mut value = serde_json::to_value(&status)?;
        if let Some(map) = value.as_object_mut() {
            map.insert("enrolled".into(), enrolled.into());
            map.insert("running".into(), running.into());
        }
        output::json(&value)?;
    } else {
        output::write(&table(&status, enrolled, running, context.lang))?;
    }
    let fine = enrolled && status.stopped.is_none();
    Ok(ExitCode::from(u8::from(!fine)))
}

/// Whether a process holds the data folder; `None` where that cannot be seen with these rights.
fn is_running(paths: &crate::paths::Paths) -> Option<bool> {
    if !paths.lock().exists() {
        return Some(false);
    }
    match crate::run::take_lock(paths) {
        Ok(_freed_at_once) => Some(false),
        Err(crate::run::RunError::Running(_)) => Some(true),
        Err(_) => None,
    }
}

const NONE: Text = Text::new("なし", "none");
const UNKNOWN: Text = Text::new("不明(権限不足)", "unknown (no rights)");

fn table(status: &Status, enrolled: bool, running: Option<bool>, lang: Lang) -> String {
    let say = |text: Text| text.get(lang).to_owned();
    let time = |at: Option<Timestamp>| at.map_or_else(|| say(NONE), |at| at.to_string());
    let problem = |problem: &Option<Problem>| {
        problem.as_ref().map_or_else(|| say(NONE), |p| format!("{} ({}): {}", p.code, p.at, p.detail))
    };
    let running = match running {
        None => say(UNKNOWN),
        Some(true) => say(Text::new("動作中", "running")),
        Some(false) => say(Text::new("停止中", "not running")),
    };
    let host = match (&status.host, enrolled) {
        (Some(host), true) => host.to_string(),
        _ => say(Text::new("未登録(tenken-agent enrol トークン)", "not enrolled (tenken-agent enrol TOKEN)")),
    };
    let trust = if status.tls_trust == "os_store" {
        say(Text::new("OSの証明書ストア(明示設定)", "OS certificate store (explicit setting)"))
    } else {
        say(Text::new("登録トークンのCAに固定", "pinned to the CA of the enrolment token"))
    };
    let rows = [
        (Text::new("ホスト", "Host"), host),
        (Text::new("エージェント", "Agent"), running),
        (Text::new("コレクター", "Collector"), status.collectors.join(", ")),
        (Text::new("TLSの信頼", "TLS trust"), trust),
        (Text::new("報告停止", "Stopped"), problem(&status.stopped)),
        (Text::new("最後に受理された報告", "Last accepted report"), {
            let seq = status.last_accepted_seq.map_or_else(String::new, |seq| format!(" (#{seq})"));
            format!("{}{seq}", time(status.last_accepted_at))
        }),
        (Text::new("最後の送信試行", "Last attempt"), time(status.last_attempt_at)),
        (Text::new("最後のエラー", "Last error"), problem(&status.last_error)),
        (
            Text::new("送信待ち", "Waiting"),
            match lang {
                Lang::Ja => format!("{} 件、{} バイト", status.spool_reports, status.spool_bytes),
                Lang::En => format!("{} reports, {} bytes", status.spool_reports, status.spool_bytes),
            },
        ),
        (Text::new("統合・破棄された報告", "Merged or dropped reports"), status.dropped_reports.to_string()),
        (
            Text::new("時計のずれ", "Clock offset"),
            status.clock_offset_ms.map_or_else(|| say(NONE), |ms| format!("{ms} ms")),
        ),
        (Text::new("最後の収集", "Last round"), time(status.last_round_at)),
        (Text::new("次の収集", "Next round"), time(status.next_round_at)),
        (Text::new("ポリシーの版", "Policy version"), status.policy_version.to_string()),
        (Text::new("理解できないポリシー項目", "Policy parts not understood"), {
            if status.policy_ignored.is_empty() { say(NONE) } else { status.policy_ignored.join(", ") }
        }),
    ];
    output::table(&["", ""], rows.map(|(name, value)| [say(name), value]))
}
