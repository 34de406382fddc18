//! Windows programs under Wine: a prefix of our own that says it is Windows 11, started and ended whole.
//!
//! Wine 8 lacks `bcryptprimitives.dll`, of which Rust's standard library needs one function: a stand-in is
//! built with MinGW beside the program. Everything lies under one folder, which the caller removes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Target the programs are built for.
pub const TARGET: &str = "x86_64-pc-windows-gnu";
const MINGW: &str = "/usr/bin/x86_64-w64-mingw32-gcc";
const STRIP: &str = "/usr/bin/x86_64-w64-mingw32-strip";
/// The program that runs Windows programs.
pub const PROGRAM: &str = "/usr/bin/wine";
const SERVER: &str = "/usr/lib/wine/wineserver";

/// Set by `cargo ci`: then the story fails where something is missing, instead of skipping itself.
pub const REQUIRED_VARIABLE: &str = "TENKEN_WINE";

/// `ProcessPrng` by the function it stands on in older Windows (SystemFunction036 is RtlGenRandom).
const STAND_IN: &str = r#"
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
    return SystemFunction036(data, (ULONG)length);
}
"#;

/// A Wine prefix with a folder for the programs. Dropping it ends every process in it.
#[derive(Debug)]
pub struct Wine {
    prefix: PathBuf,
    programs: PathBuf,
    /// Wine ends its services with the last program a person started: this one waits for input that never
    /// comes.
    person: Option<std::process::Child>,
}

/// What is missing for [`Wine::start`], if anything.
#[must_use]
pub fn lacks() -> Option<String> {
    [MINGW, PROGRAM, SERVER]
        .into_iter()
        .find(|file| !Path::new(file).exists())
        .map(|file| format!("{file} is missing"))
}

impl Wine {
    /// Makes a prefix under `folder` with the built programs, without what is for debuggers: most of them.
    pub fn start(folder: &Path) -> Result<Self> {
        let wine = Self::empty(folder)?;
        for name in ["tenken-agent.exe", "tenken-collector.exe"] {
            let built = folder_of_programs().join(name);
            let mut strip = Command::new(STRIP);
            wine.succeed(strip.arg("-o").arg(wine.programs.join(name)).arg(&built))?;
        }
        Ok(wine)
    }

    /// Makes a prefix under `folder`.
    pub fn empty(folder: &Path) -> Result<Self> {
        let mut wine =
            Self { prefix: folder.join("prefix"), programs: folder.join("programs"), person: None };
        std::fs::create_dir_all(&wine.programs)?;
        wine.succeed(wine.command("wineboot").arg("-i"))?;
        for (name, kind, data) in [
            ("CurrentBuild", "REG_SZ", "26100"),
            ("CurrentBuildNumber", "REG_SZ", "26100"),
            ("CurrentVersion", "REG_SZ", "6.3"),
            ("CurrentMajorVersionNumber", "REG_DWORD", "10"),
            ("CurrentMinorVersionNumber", "REG_DWORD", "0"),
            ("UBR", "REG_DWORD", "2033"),
            ("DisplayVersion", "REG_SZ", "24H2"),
            ("EditionID", "REG_SZ", "Professional"),
            ("ProductName", "REG_SZ", "Windows 10 Pro"),
        ] {
            wine.set(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", name, kind, data)?;
        }
        // In the system's folder, so that installed programs find it too.
        stand_in(&wine.drive("windows/system32"), folder)?;
        let mut person = wine.command("cmd");
        wine.person = Some(person.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(wine)
    }

    /// Sets a registry value.
    pub fn set(&self, key: &str, name: &str, kind: &str, data: &str) -> Result<()> {
        self.succeed(self.command("reg").args(["add", key, "/v", name, "/t", kind, "/d", data, "/f"]))
            .map(drop)
    }

    /// A Windows program by its name or path, as Wine runs it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(program).envs(self.environment());
        command.env_remove("DISPLAY").stdin(Stdio::null());
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command
    }

    /// What Wine is told.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, std::ffi::OsString); 3] {
        [
            ("WINEPREFIX", self.prefix.clone().into()),
            ("WINEDEBUG", "-all".into()),
            ("LC_ALL", "C.UTF-8".into()),
        ]
    }

    /// One of our programs: `tenken-agent`, `tenken-collector`.
    #[must_use]
    pub fn ours(&self, name: &str) -> Command {
        self.command(self.programs.join(format!("{name}.exe")))
    }

    /// Runs a command that must succeed.
    pub fn succeed(&self, command: &mut Command) -> Result<Output> {
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let output = command.output().with_context(|| what.clone())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "{what}: {}: {}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(output)
    }

    /// Folder of the programs.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// A path of Linux as Windows programs see it.
    #[must_use]
    pub fn path(path: &Path) -> String {
        format!("Z:{}", path.display()).replace('/', "\\")
    }

    /// A path of drive C as Linux sees it.
    #[must_use]
    pub fn drive(&self, path: &str) -> PathBuf {
        self.prefix.join("drive_c").join(path)
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let end = |verb: &str| {
            let mut command = Command::new(SERVER);
            command.arg(verb).env("WINEPREFIX", &self.prefix).stdin(Stdio::null());
            let _ = command.output();
        };
        end("-k");
        end("-w");
        if let Some(person) = &mut self.person {
            let _ = person.kill();
            let _ = person.wait();
        }
    }
}

/// Where the Windows programs were built.
#[must_use]
pub fn folder_of_programs() -> PathBuf {
    workspace::target_dir().join(TARGET).join("debug")
}

/// Builds the stand-in into `folder`, over what Wine has there; `work` takes its source.
pub fn stand_in(folder: &Path, work: &Path) -> Result<()> {
    let source = work.join("bcryptprimitives.c");
    std::fs::write(&source, STAND_IN)?;
    let mut command = Command::new(MINGW);
    command
        .args(["-O2", "-shared", "-o"])
        .arg(folder.join("bcryptprimitives.dll"))
        .arg(&source)
        .arg("-ladvapi32");
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
