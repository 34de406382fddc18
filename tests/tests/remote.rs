//! The command line far away from the collector's data: the same answers over the API, with a token.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::process::Command;

use e2e::process::wait_for;
use e2e::program;
use e2e::scene::Scene;

/// The collector's program where nothing of the collector is.
fn far(scene: &Scene, token: &str, args: &[&str]) -> Command {
    let mut command = program::collector().unwrap();
    command
        .args(args)
        .args(["--server", &scene.collector.url(), "--ca"])
        .arg(scene.path("ca.pem"))
        .env("TENKEN_API_TOKEN", token)
        .env("TENKEN_COLLECTOR_DATA", scene.path("nothing-here"));
    command
}

fn text(command: &mut Command) -> String {
    let output = program::output(command).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn token(scene: &Scene, args: &[&str]) -> String {
    let mut all = vec!["api-token", "create", "--name", "far"];
    all.extend(args);
    text(&mut scene.collector.command(&all).unwrap()).trim().to_owned()
}

#[test]
fn commands_far_away_answer_as_on_the_data_and_obey_the_tokens_role() {
    let scene = Scene::new("far-away").unwrap();
    scene.agent.report().unwrap();
    let host = scene.agent.host().unwrap();
    wait_for("findings", || {
        let result = scene.collector.json(&["criteria", "--host", &host])?;
        Ok(result["findings"].as_array().is_some_and(|f| !f.is_empty()).then_some(()))
    })
    .unwrap();
    let ca = text(&mut scene.collector.command(&["ca", "show"]).unwrap());
    std::fs::write(scene.path("ca.pem"), ca).unwrap();
    let admin = token(&scene, &["--role", "admin"]);
    let operator = token(&scene, &["--role", "operator"]);
    let auditor = token(&scene, &[]);

    let policy = scene.path("policy.toml");
    std::fs::write(&policy, "[patch]\ndays = 7\n").unwrap();
    text(&mut far(&scene, &admin, &["policy", "set", policy.to_str().unwrap()]));
    let ledger = scene.path("ledger.csv");
    std::fs::write(&ledger, "管理番号,PC名\nA-1,far-away\n").unwrap();
    let taken =
        text(&mut far(&scene, &operator, &["import", "ledger", ledger.to_str().unwrap(), "--lang", "ja"]));
    assert_eq!(taken, "1台、うちシリアル番号あり0台\n");
    text(&mut far(&scene, &operator, &["snapshot", "take"]));
    text(&mut far(&scene, &operator, &["snapshot", "take"]));
    text(&mut far(&scene, &operator, &["token", "create", "--label", "branch"]));
    text(&mut far(&scene, &admin, &["user", "add", "sato"]));

    // The same words over the network as on the data, for people and for programs.
    for args in [
        &["host", "list"][..],
        &["host", "show", "far-away"],
        &["token", "list"],
        &["query", "select name, os_name from hosts"],
        &["policy", "show"],
        &["policy", "history"],
        &["catalog", "show"],
        &["snapshot", "list"],
        &["snapshot", "diff", "1", "2"],
        &["snapshot", "schedule"],
        &["user", "list"],
        &["exception", "list"],
        &["attest", "list"],
        &["org", "list"],
    ] {
        for further in [&["--lang", "en"][..], &["--lang", "ja"], &["--format", "json"]] {
            let args = [args, further].concat();
            let here = text(&mut scene.collector.command(&args).unwrap());
            assert_eq!(text(&mut far(&scene, &admin, &args)), here, "{args:?}");
            assert!(!here.trim().is_empty(), "{args:?}");
        }
    }
    let ja = text(&mut far(&scene, &auditor, &["host", "list", "--lang", "ja"]));
    assert!(ja.contains("機器名") && ja.contains("管理対象"), "{ja}");
    let pack = scene.path("pack.json");
    text(&mut far(&scene, &auditor, &["snapshot", "export", "1", "-o", pack.to_str().unwrap()]));
    text(program::collector().unwrap().arg("verify").arg(&pack));

    for (lang, sentence) in [("ja", "権限がありません"), ("en", "Your role does not allow this")] {
        let refused =
            program::output(&mut far(&scene, &auditor, &["host", "retire", "far-away", "--lang", lang]))
                .unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(sentence), "{refused:?}");
    }
    let retired = text(&mut far(&scene, &operator, &["host", "retire", "far-away", "--lang", "en"]));
    assert_eq!(retired, format!("{host} retired\n"));
    let log = scene.query("select name, state from hosts").unwrap();
    assert_eq!(log[0]["state"], "retired");
    // Nothing was made where the command ran, and an unknown authority is not trusted.
    assert!(!scene.path("nothing-here").exists());
    std::fs::remove_file(scene.path("ca.pem")).unwrap();
    let lost = program::output(&mut far(&scene, &admin, &["host", "list"])).unwrap();
    assert_eq!(lost.status.code(), Some(2));
}
