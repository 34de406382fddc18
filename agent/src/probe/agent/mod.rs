//! The agent itself: version, rights, and how each probe went. Runs last; the same on every system.

use tenken_shared::collected::Collected;
use tenken_shared::fact::FactKind;
use tenken_shared::fact::agent::Agent;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig, watch_nothing};
use crate::sys::Sys;

/// The probe. `agent_observed` is made at delivery, where spool and clock offset are known.
pub static PROBE: Probe = Probe {
    name: "agent",
    kinds: &[FactKind::Agent],
    what: Text::new(
        "エージェントの版、実行権限、項目ごとの収集結果",
        "Version and rights of the agent, and how collecting each kind went",
    ),
    why: Text::new(
        "収集できなかった項目とその理由を、見落としなく示すため",
        "To show without exception what could not be collected, and why",
    ),
    watch: watch_nothing,
    collect,
};

fn collect(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    let body = Agent {
        version: env!("CARGO_PKG_VERSION").into(),
        target: target(),
        mode: if sys.is_live() { "live" } else { "root_folder" }.into(),
        elevated: sys.is_elevated().unwrap_or_default(),
        probes: config.states.clone(),
        ..Agent::default()
    };
    vec![Collection::of(Collected::Known(body), "agent", sys.now())]
}

/// The target triple of this build.
fn target() -> String {
    let arch = std::env::consts::ARCH;
    if cfg!(all(target_os = "linux", target_env = "musl")) {
        format!("{arch}-unknown-linux-musl")
    } else if cfg!(target_os = "linux") {
        format!("{arch}-unknown-linux-gnu")
    } else if cfg!(target_os = "macos") {
        format!("{arch}-apple-darwin")
    } else if cfg!(windows) {
        format!("{arch}-pc-windows-gnu")
    } else {
        format!("{arch}-unknown-{}", std::env::consts::OS)
    }
}
