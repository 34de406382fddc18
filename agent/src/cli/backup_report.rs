//! `tenken-agent backup-report`: a customer's own script reports how its backup went.
//!
//! Writes one status file per job into the admin-only folder the probe `backups` reads. The file is
//! written whole and renamed into place; the last success of the job is kept over later failures.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use tenken_shared::text::Text;

use super::Context;
use super::told::Refused;
use crate::probe::backups::status_file::{BackupStatus, CLASSES, MAX_BYTES, RunResult};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the job; the same name replaces its last report
    #[arg(long)]
    job: String,
    /// How the run ended
    #[arg(long, value_enum)]
    result: ResultArg,
    /// Start of the run (RFC 3339, for example 2026-11-23T01:00:00+09:00)
    #[arg(long)]
    started: Option<Timestamp>,
    /// End of the run; now if not given
    #[arg(long)]
    finished: Option<Timestamp>,
    /// Size of the copy in bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
    /// Copies kept
    #[arg(long, value_name = "N")]
    copies: Option<u64>,
    /// Time of the oldest copy kept
    #[arg(long)]
    oldest: Option<Timestamp>,
    /// Where the copy went (do not put passwords here)
    #[arg(long, value_name = "TEXT")]
    destination: Option<String>,
    /// Kind of destination
    #[arg(long, value_name = "CLASS", value_parser = clap::builder::PossibleValuesParser::new(CLASSES))]
    destination_class: Option<String>,
    /// Declared backup target of the policy that this job fulfils
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The script's own result code
    #[arg(long, value_name = "TEXT")]
    code: Option<String>,
    /// Backup product whose result this is, as the inventory names it (for example acronis): a product that
    /// cannot be read counts as read once it reports
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Folder to write to, for tests
    #[arg(long, hide = true)]
    folder: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResultArg {
    Success,
    Failed,
    Warning,
}

const FUTURE: Text = Text::new("--finished が未来の時刻です", "--finished lies in the future");
const BACKWARDS: Text = Text::new("--started が --finished より後です", "--started is later than --finished");
const TOO_LARGE: Text = Text::new("報告が大きすぎます", "the report is too large");
const NOT_VALID: Text = Text::new("正しい報告ではありません", "not a valid report");
const NOT_WRITTEN: Text = Text::new("書き込めません", "cannot be written");
#[cfg(unix)]
const NOT_MADE: Text = Text::new("作成できません", "cannot be made");
#[cfg(unix)]
const ROOT_ONLY: Text = Text::new(
    "バックアップの報告は root だけが行えます(sudo またはシステムのサービスとして実行してください)",
    "only root may report a backup (run the script with sudo or as a system service)",
);
#[cfg(unix)]
const NOT_ROOTS: Text = Text::new(
    "root だけが書き込めるフォルダでなければなりません",
    "must be a folder of root that nobody else may write to",
);
#[cfg(not(unix))]
const ADMINISTRATOR_ONLY: Text = Text::new(
    "バックアップの報告は管理者だけが行えます(管理者として、または SYSTEM のタスクとして実行してください)",
    "only an administrator may report a backup (run the script elevated, or as a task of SYSTEM)",
);

const DONE: Text = Text::new("バックアップの結果を記録しました", "Backup result recorded");

/// Writes the status file.
pub fn run(args: &Args, context: Context) -> anyhow::Result<ExitCode> {
    let folder = &args.folder.clone().unwrap_or_else(crate::paths::backup_status);
    prepare(folder)?;
    let path = folder.join(BackupStatus::file_name(&args.job));
    let status = status(args, previous_success(&path), Timestamp::now())?;
    write(folder, &path, &status)?;
    eprintln!("{}: {}", DONE.get(context.lang), path.display());
    Ok(ExitCode::SUCCESS)
}

fn status(args: &Args, previous: Option<Timestamp>, now: Timestamp) -> anyhow::Result<BackupStatus> {
    let finished = args.finished.unwrap_or(now);
    if finished > now {
        return Err(Refused::new(FUTURE).into());
    }
    if args.started.is_some_and(|started| started > finished) {
        return Err(Refused::new(BACKWARDS).into());
    }
    let result = match args.result {
        ResultArg::Success => RunResult::Success,
        ResultArg::Failed => RunResult::Failed,
        ResultArg::Warning => RunResult::Warning,
    };
    let last_success = if result == RunResult::Failed { previous } else { previous.max(Some(finished)) };
    let status = BackupStatus {
        version: 1,
        job: args.job.clone(),
        result,
        started: args.started,
        finished,
        last_success,
        size_bytes: args.size,
        copies: args.copies,
        oldest: args.oldest,
        destination: args.destination.clone(),
        destination_class: args.destination_class.clone(),
        target: args.target.clone(),
        code: args.code.clone(),
        product: args.product.clone(),
    };
    let bytes = serde_json::to_vec(&status)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Refused::of(format!("{} > {MAX_BYTES} bytes", bytes.len()), TOO_LARGE).into());
    }
    BackupStatus::parse(&bytes).map_err(|e| Refused::of(e, NOT_VALID).into())
}

/// The last success an earlier report of this job named; a damaged file counts as none.
fn previous_success(path: &Path) -> Option<Timestamp> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_BYTES), &mut bytes).ok()?;
    BackupStatus::parse(&bytes).ok()?.last_success
}

/// Makes the folder for administrators only; refuses one that others own or may write to.
#[cfg(unix)]
fn prepare(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    if !rustix::process::geteuid().is_root() {
        return Err(Refused::new(ROOT_ONLY).into());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| Refused::of(folder.display(), NOT_MADE).because(error))?;
    let meta = std::fs::symlink_metadata(folder)?;
    if !meta.is_dir() || meta.uid() != 0 || meta.mode() & 0o022 != 0 {
        return Err(Refused::of(folder.display(), NOT_ROOTS).into());
    }
    Ok(())
}

/// Makes the folder for administrators only; refuses one that others made.
#[cfg(not(unix))]
fn prepare(folder: &Path) -> anyhow::Result<()> {
    if !crate::paths::elevated() {
        return Err(Refused::new(ADMINISTRATOR_ONLY).into());
    }
    let data = crate::paths::program_data();
    let above = [data.clone(), data.join("agent")];
    for folder in above.iter().filter(|above| folder.starts_with(above)).map(|p| p.as_path()).chain([folder])
    {
        crate::disk::private_folder(folder)?;
    }
    Ok(())
}

fn write(folder: &Path, path: &Path, status: &BackupStatus) -> anyhow::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".report-").tempfile_in(folder)?;
    serde_json::to_writer(&mut file, status)?;
    file.write_all(b"\n")?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    let file =
        persist(file, path).map_err(|error| Refused::of(path.display(), NOT_WRITTEN).because(error))?;
    if cfg!(windows) {
        // The flush that makes the new name durable on NTFS.
        file.sync_all()?;
    }
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Gives the file its name, over one that is there.
fn persist(file: tempfile::NamedTempFile, path: &Path) -> std::io::Result<std::fs::File> {
    let (file, temporary) = file.into_parts();
    let mut temporary = Some(temporary);
    crate::disk::patiently(|| match temporary.take().map(|t| t.persist(path)) {
        Some(Err(error)) => {
            temporary = Some(error.path);
            Err(error.error)
        }
        _ => Ok(()),
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::parse_from(std::iter::once("backup-report").chain(line.iter().copied())).args
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn failure_keeps_the_last_success_and_success_moves_it() {
        let now = at("2026-11-23T10:00:00Z");
        let old = Some(at("2026-11-20T00:00:00Z"));
        let failed = status(&args(&["--job", "a", "--result", "failed"]), old, now).unwrap();
        assert_eq!((failed.last_success, failed.finished), (old, now));
        let fine = status(&args(&["--job", "a", "--result", "success"]), old, now).unwrap();
        assert_eq!(fine.last_success, Some(now));
    }

    #[test]
    fn impossible_times_and_names_are_refused() {
        let now = at("2026-11-23T10:00:00Z");
        for line in [
            &["--job", "a", "--result", "success", "--finished", "2026-11-24T00:00:00Z"][..],
            &["--job", "a", "--result", "success", "--started", "2026-11-23T11:00:00Z"],
            &["--job", "", "--result", "success"],
        ] {
            assert!(status(&args(line), None, now).is_err(), "{line:?}");
        }
    }

    #[test]
    fn written_whole_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(BackupStatus::file_name("会計"));
        let now = at("2026-11-23T10:00:00Z");
        let made =
            status(&args(&["--job", "会計", "--result", "warning", "--copies", "3"]), None, now).unwrap();
        write(dir.path(), &path, &made).unwrap();
        assert_eq!(previous_success(&path), Some(now));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
