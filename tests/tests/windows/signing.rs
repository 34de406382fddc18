//! The signing hook, with the very command of the roll-out pages and a certificate of our own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::program;
use e2e::wine::Wine;
use e2e::workspace;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};

use super::installer::{AGENT, COLLECTOR, build};

const PAGES: [&str; 2] = ["shared/docs/rollout-windows.md", "shared/docs/rollout-windows.ja.md"];

pub(super) fn packages_are_signed_as_the_pages_say(wine: &Wine, dir: &Path) -> Result<()> {
    let folder = dir.join("signing");
    std::fs::create_dir_all(&folder)?;
    certificate(&folder)?;
    let hook = hook()?;
    for package_of in [AGENT, COLLECTOR] {
        let name = package_of.1;
        let package = folder.join(format!("{name}.msi"));
        program::succeed(
            build(wine, package_of, "0.1.0", &package).env("TENKEN_SIGN", &hook).current_dir(&folder),
        )?;
        signed(&folder, &package)?;
        let mut extract = Command::new("/usr/bin/msiextract");
        program::succeed(extract.arg("-C").arg(&folder).arg(&package))?;
        let program = folder.join(format!("Tenken/{name}.exe"));
        signed(&folder, &program)?;
        // A signature leaves the program a program.
        wine.succeed(wine.command(&program).arg("--version"))?;
    }
    for (hook, word) in [("true", "left"), ("false", ""), ("osslsigncode sign -in \"$1\"", "")] {
        let mut command = build(wine, AGENT, "0.1.0", &folder.join("no.msi"));
        let output = command.env("TENKEN_SIGN", hook).output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && error.contains(word), "{hook}: {error}");
        ensure!(!folder.join("no.msi").exists(), "{hook}: an unsigned package was left");
    }
    Ok(())
}

/// The command of both pages, which must be the same; without a time stamp, whose server is somebody else's.
fn hook() -> Result<String> {
    let mut hooks = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(workspace::root().join(page))?;
        let command = text.lines().find_map(|line| line.strip_prefix("export TENKEN_SIGN='"));
        let command =
            command.and_then(|line| line.strip_suffix('\'')).with_context(|| format!("{page}: no hook"))?;
        ensure!(command.contains(" -ts URL"), "{page}: {command}");
        hooks.push(command.replace(" -ts URL", ""));
    }
    ensure!(hooks[0] == hooks[1], "{hooks:?}");
    Ok(hooks.remove(0))
}

/// `code.p12` with its password in `code.pass`, and `code.pem` to check by.
fn certificate(folder: &Path) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Tenken Story");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let key = KeyPair::generate()?;
    std::fs::write(folder.join("code.pem"), params.self_signed(&key)?.pem())?;
    std::fs::write(folder.join("code.key"), key.serialize_pem())?;
    std::fs::write(folder.join("code.pass"), "himitsu-8")?;
    let mut pack = Command::new("/usr/bin/openssl");
    pack.args(["pkcs12", "-export", "-in", "code.pem", "-inkey", "code.key", "-out", "code.p12"]);
    program::succeed(pack.args(["-passout", "file:code.pass"]).current_dir(folder))
}

fn signed(folder: &Path, file: &Path) -> Result<()> {
    let mut verify = Command::new("/usr/bin/osslsigncode");
    verify.arg("verify").arg("-CAfile").arg(folder.join("code.pem")).arg("-in").arg(file);
    let output = program::output(&mut verify)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && said.contains("Tenken Story"), "{}: {said}", file.display());
    Ok(())
}
