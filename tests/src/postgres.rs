//! A PostgreSQL server of our own: own data folder, private socket, no TCP port, gone when dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Environment variable naming a server that tests may use (superuser); each test makes its own database.
pub const URL_VARIABLE: &str = "TEST_POSTGRES_URL";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: tempfile::TempDir,
    options: String,
}

/// Folder of the newest installed server's programs, or `None`.
#[must_use]
pub fn installed() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

impl Postgres {
    /// Makes a data folder and starts a server over it. As root it runs as user `postgres`, since
    /// PostgreSQL refuses root.
    pub fn start() -> Result<Self> {
        Self::start_with(|_| Ok(String::new()))
    }

    /// The same, which also listens on `127.0.0.1:port`, speaks TLS there with this certificate and key
    /// (PEM), and takes no log-in without TLS and password.
    pub fn start_tls(port: u16, certificate: &str, key: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        Self::start_with(|server| {
            let (crt, secret) = (server.data().join("tls.crt"), server.data().join("tls.key"));
            std::fs::write(&crt, certificate)?;
            std::fs::write(&secret, key)?;
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600))?;
            if is_root() {
                run(Command::new("chown").arg("postgres:").arg(&crt).arg(&secret))?;
            }
            let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(server.data().join("pg_hba.conf"), access)?;
            Ok(format!(
                "-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c ssl_cert_file=tls.crt -c ssl_key_file=tls.key"
            ))
        })
    }

    /// The same with its write-ahead log, in segments of 1 MiB, in a folder that does not exist yet; its
    /// parent becomes the server's.
    pub fn start_log_in(folder: &Path) -> Result<Self> {
        if let Some(parent) = folder.parent().filter(|_| is_root()) {
            run(Command::new("chown").arg("postgres:").arg(parent))?;
        }
        let log = format!("--waldir={}", folder.display());
        let sizes = "-c min_wal_size=2MB -c max_wal_size=8MB";
        Self::start_over(&["--wal-segsize=1", &log], |_| Ok(sizes.to_owned()))
    }

    fn start_with(prepare: impl FnOnce(&Self) -> Result<String>) -> Result<Self> {
        Self::start_over(&[], prepare)
    }

    fn start_over(initdb: &[&str], prepare: impl FnOnce(&Self) -> Result<String>) -> Result<Self> {
        let bin = installed().context("PostgreSQL is not installed")?;
        let folder = tempfile::Builder::new().prefix("tenken-pg-").tempdir_in("/tmp")?;
        if is_root() {
            run(Command::new("chown").arg("postgres:").arg(folder.path()))?;
        }
        let mut server = Self { bin, folder, options: String::new() };
        run(server
            .command("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .args(initdb)
            .args(["--no-sync", "-D"])
            .arg(server.data()))?;
        let further = prepare(&server)?;
        server.options = format!(
            "-k {} -c listen_addresses= -c fsync=off -c max_connections=300 -c shared_buffers=64MB {further}",
            server.folder.path().display()
        );
        server.resume()?;
        Ok(server)
    }

    /// Starts it again after [`Self::crash`].
    pub fn resume(&self) -> Result<()> {
        let log = self.folder.path().join("log");
        run(self
            .command("pg_ctl")
            .args(["-w", "-s", "-o", &self.options, "-l"])
            .arg(log)
            .arg("-D")
            .arg(self.data())
            .arg("start"))
    }

    /// Ends all its processes at once, without a checkpoint: the next start recovers from its log.
    pub fn crash(&self) -> Result<()> {
        run(self.command("pg_ctl").args(["-w", "-s", "-m", "immediate", "-D"]).arg(self.data()).arg("stop"))
    }

    /// Whether its processes have ended by themselves.
    pub fn has_ended(&self) -> Result<bool> {
        let status = self.command("pg_ctl").args(["-s", "-D"]).arg(self.data()).arg("status").output()?;
        // As `pg_ctl` documents: no server is running.
        Ok(status.status.code() == Some(3))
    }

    /// Makes a database whose tables lie in `folder`; its address.
    pub async fn database_in(&self, folder: &Path, name: &str) -> Result<String> {
        if is_root() {
            run(Command::new("chown").arg("postgres:").arg(folder))?;
        }
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let place = format!("create tablespace {name} location '{}'", folder.display());
        client.batch_execute(&place).await?;
        client.batch_execute(&format!("create database {name} tablespace {name}")).await?;
        driver.abort();
        Ok(self.url_of(name))
    }

    /// Address for `tokio-postgres` and the collector: superuser, database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Address of another database of this server.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.folder.path().display())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.env("LC_ALL", "C.UTF-8").current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.crash();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a helper to its end. Its output goes to a file and not to a pipe: a server it leaves behind
/// would hold the pipe open for ever.
fn run(command: &mut Command) -> Result<()> {
    let output = tempfile::NamedTempFile::new()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output.reopen()?)
        .stderr(output.reopen()?)
        .status()
        .with_context(|| format!("running {}", command.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("{command:?}: {status}: {}", read_lossy(output.path()));
    }
    Ok(())
}

fn read_lossy(path: &Path) -> String {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}
