//! What must not stand where: a scan of sources, manifests and documents of the workspace.
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

use std::path::{Path, PathBuf};

use e2e::workspace;

/// Files git knows (or would take), below the workspace root.
fn files() -> Vec<PathBuf> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace::root())
        .output();
    let names = match output {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        // A source archive without git: walk instead.
        _ => walk(&workspace::root()),
    };
    names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect()
}

fn walk(folder: &Path) -> String {
    let mut out = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != ".git" {
                folders.push(path);
            } else if path.is_file() {
                out.push_str(&path.strip_prefix(folder).unwrap().to_string_lossy());
                out.push('\0');
            }
        }
    }
    out
}

/// Source lines of product code (unit-test modules left out) below `folder`, with file and line number.
fn code_lines(folder: &str) -> Vec<(String, usize, String)> {
    let mut out = Vec::new();
    for file in
        files().into_iter().filter(|f| f.starts_with(folder) && f.extension().is_some_and(|e| e == "rs"))
    {
        // Unit tests in files and folders of their own.
        let of_story = file.components().any(|part| part.as_os_str() == "story");
        let named = |name: &str| name == "testing" || name.ends_with("tests");
        if of_story || file.file_stem().is_some_and(|stem| named(&stem.to_string_lossy())) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            out.push((file.to_string_lossy().into_owned(), index + 1, code.to_owned()));
        }
    }
    assert!(!out.is_empty(), "{folder} has no sources");
    out
}

/// Lines of `folder` outside `allowed` that hold one of `words`.
fn breaches(folder: &str, allowed: &[&str], words: &[&str]) -> Vec<String> {
    code_lines(folder)
        .into_iter()
        .filter(|(file, ..)| !allowed.iter().any(|a| file.starts_with(a)))
        .filter(|(.., line)| words.iter().any(|w| line.contains(w)))
        .map(|(file, number, line)| format!("{file}:{number}: {}", line.trim()))
        .collect()
}

#[track_caller]
fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn sql_stands_only_in_the_store() {
    let words = [
        "\"select ",
        "\"insert into ",
        "\"update ",
        "\"delete from ",
        "\"create table",
        "rusqlite::",
        "tokio_postgres::",
    ];
    assert_none(&breaches("collector-server/src", &["collector-server/src/store"], &words));
}

#[test]
fn the_shared_language_does_no_io() {
    let words = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "SystemTime::now",
        "Timestamp::now",
        "Instant::now",
    ];
    assert_none(&breaches("shared/src", &[], &words));
    let manifest = std::fs::read_to_string(workspace::root().join("shared/Cargo.toml")).unwrap();
    for crate_name in ["tokio", "reqwest", "axum", "rusqlite", "tokio-postgres", "hyper", "tracing"] {
        assert!(!manifest.contains(&format!("\n{crate_name}.")), "shared depends on {crate_name}");
    }
}

#[test]
fn only_sys_starts_programs_on_the_machine() {
    // `sys::Command` is the door; the standard library's own type is what must stay behind it.
    let words = ["std::process::Command", "tokio::process"];
    assert_none(&breaches("agent/src", &["agent/src/sys"], &words));
    assert_none(&breaches("collector-server/src", &["collector-server/src/service"], &words));
}

#[test]
fn unsafe_stands_only_in_sys() {
    for folder in
        ["agent/src", "collector-server/src", "shared/src", "shared/service", "tests/src", "tests/fuzz"]
    {
        assert_none(&breaches(
            folder,
            // What agent and collector both ask Windows for lies below both.
            &["agent/src/sys", "shared/service/src/windows/sys.rs"],
            &["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code)"],
        ));
    }
}

#[test]
fn the_agent_judges_nothing_and_sides_do_not_depend_on_each_other() {
    let agent = std::fs::read_to_string(workspace::root().join("agent/Cargo.toml")).unwrap();
    let collector = std::fs::read_to_string(workspace::root().join("collector-server/Cargo.toml")).unwrap();
    assert!(!agent.contains("tenken-collector"));
    assert!(!collector.contains("tenken-agent"));
}

/// Paths of somebody's machine, registries and people have no place in what is published.
#[test]
fn nothing_of_a_developers_machine_is_in_the_sources() {
    let mut found = Vec::new();
    // Put together here so that this file does not find itself. Windows profiles are made ones: tests need them.
    let words = [["/wo", "rk/"], ["artifac", "tory"], ["-----BEGIN PRI", "VATE"]].map(|parts| parts.concat());
    for file in files() {
        // Captures of real machines hold their own paths; they were scrubbed when they were made.
        let name = file.to_string_lossy().into_owned();
        let known_text = ["rs", "md", "toml", "sql", "html", "css", "js", "sh", "json", "yml"];
        let is_text =
            file.extension().is_some_and(|e| known_text.iter().any(|k| e == *k)) || name == ".ci/run";
        if name.contains("fixtures/") || !is_text {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|w| line.contains(w.as_str())) {
                found.push(format!("{name}:{}: {word}", number + 1));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn the_visible_top_level_is_fixed() {
    let mut top: Vec<_> = files()
        .iter()
        .filter_map(|f| Some(f.components().next()?.as_os_str().to_string_lossy().into_owned()))
        .filter(|n| !n.starts_with('.'))
        .collect();
    top.sort();
    top.dedup();
    let allowed = ["Cargo.lock", "Cargo.toml", "README.md", "agent", "collector-server", "shared", "tests"];
    assert!(top.iter().all(|n| allowed.contains(&n.as_str())), "{top:?}");
}

#[test]
fn every_member_of_a_fact_has_words_in_both_languages() {
    let mut missing = std::collections::BTreeSet::new();
    for (file, _, line) in code_lines("shared/src/fact") {
        let member = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": "));
        let own = file.ends_with("mod.rs") || file.ends_with("word.rs");
        missing.extend(member.filter(|_| !own).map(|(name, _)| name.to_owned()));
    }
    missing.retain(|name| tenken_shared::fact::word::of(name).is_none());
    assert!(missing.is_empty(), "add words for these to shared/src/fact/word.rs: {missing:?}");
}
