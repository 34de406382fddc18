//! `cargo load`: how many hosts a collector carries, and whether everything acknowledged is really stored.
//!
//! Starts a collector of its own (embedded store in a temporary folder, or a database on a PostgreSQL it
//! starts) unless `--url` and `--token` name one. After each round its own collector is stopped and
//! started again, and `stored` counts by SQL the hosts whose head is the report that was acknowledged,
//! with all their software rows. Of a collector that was named, `stored`, CPU and memory are null.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use e2e::driver::Trust;
use e2e::load::{self, Drive, Kind, Member, percentile};
use e2e::postgres::{self, Postgres};
use e2e::program::{Collector, Store};
use e2e::{process, stored};
use serde::Serialize;
use tokio::sync::Mutex;

/// Loads a collector with a made-up fleet.
#[derive(Debug, Parser)]
#[command(name = "cargo load")]
struct Arguments {
    /// Hosts in the fleet.
    #[arg(long, default_value_t = 1000)]
    hosts: u64,
    /// Connections at once.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Rounds, in order; a kind may come several times.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::First, Kind::Unchanged, Kind::Changed])]
    rounds: Vec<Kind>,
    /// Store of the collector started here.
    #[arg(long, value_enum, default_value_t = Engine::Sqlite)]
    store: Engine,
    /// A running collector instead of an own one.
    #[arg(long, requires = "token")]
    url: Option<String>,
    /// Enrolment token of that collector, good for all hosts.
    #[arg(long)]
    token: Option<String>,
    /// A new TLS connection, with a full handshake, for every report.
    #[arg(long)]
    fresh_tls: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, Serialize)]
struct Outcome {
    hosts: u64,
    concurrency: usize,
    store: Option<&'static str>,
    fresh_tls: bool,
    enrol_per_s: u64,
    rounds: Vec<RoundOutcome>,
    store_bytes_per_host: Option<u64>,
    collector_rss_mib: Option<u64>,
    collector_rss_peak_mib: Option<u64>,
}

#[derive(Debug, Serialize)]
struct RoundOutcome {
    name: Kind,
    reports: u64,
    acked: u64,
    stored: Option<u64>,
    per_s: u64,
    p50_ms: f64,
    p99_ms: f64,
    wire_bytes_p50: u64,
    /// CPU of the collector while the round ran.
    collector_cpu_ms_per_report: Option<f64>,
    /// The same plus what it did afterwards until it was idle (judging).
    collector_cpu_ms_per_report_settled: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<String>,
}

/// The collector started here and what it lives from.
struct Own {
    collector: Collector,
    store: Store,
    _folder: tempfile::TempDir,
    _server: Option<Postgres>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut own = if arguments.url.is_none() { Some(Own::start(arguments.store).await?) } else { None };
    let trust = trust(&arguments, own.as_ref())?;
    let drive = Drive { concurrency: arguments.concurrency.max(1), fresh_tls: arguments.fresh_tls };
    let prefix = format!("load-{}", std::process::id());
    eprintln!("enrolling {} hosts", arguments.hosts);
    let start = Instant::now();
    let members = load::enrol(&trust, arguments.hosts, &prefix, drive).await?;
    let enrol_per_s = per_second(arguments.hosts, start.elapsed());
    let mut rounds = Vec::new();
    let mut rss = (None, None);
    for kind in &arguments.rounds {
        eprintln!("round {kind:?}");
        rounds.push(run_round(&trust, &members, *kind, drive, own.as_mut(), &mut rss).await?);
    }
    let outcome = Outcome {
        hosts: arguments.hosts,
        concurrency: drive.concurrency,
        store: own.is_some().then_some(if arguments.store == Engine::Sqlite { "sqlite" } else { "postgres" }),
        fresh_tls: arguments.fresh_tls,
        enrol_per_s,
        rounds,
        store_bytes_per_host: store_bytes_per_host(own.as_mut(), arguments.hosts).await?,
        collector_rss_mib: rss.0,
        collector_rss_peak_mib: rss.1,
    };
    print(&outcome, arguments.format)
}

impl Own {
    async fn start(engine: Engine) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (store, server) = match engine {
            Engine::Sqlite => (Store::Sqlite, None),
            Engine::Postgres => {
                let (url, server) = match std::env::var(postgres::URL_VARIABLE) {
                    Ok(url) => (url, None),
                    Err(_) => {
                        let server = Postgres::start()?;
                        (server.url(), Some(server))
                    }
                };
                (Store::Postgres(stored::fresh_database(&url, "tenken_load").await?), server)
            }
        };
        let collector = Collector::start(&folder.path().join("collector"), store.clone())?;
        Ok(Self { collector, store, _folder: folder, _server: server })
    }

    fn data(&self) -> &Path {
        self.collector.data()
    }
}

fn trust(arguments: &Arguments, own: Option<&Own>) -> Result<Trust> {
    if let Some(own) = own {
        return own.collector.trust(arguments.hosts);
    }
    let trust = Trust::from_token(arguments.token.as_deref().context("--url needs --token")?)?;
    let url = arguments.url.as_deref().context("--url")?;
    Ok(trust.at(url.trim_start_matches("https://").trim_end_matches('/')))
}

async fn run_round(
    trust: &Trust,
    members: &[Arc<Mutex<Member>>],
    kind: Kind,
    drive: Drive,
    mut own: Option<&mut Own>,
    rss: &mut (Option<u64>, Option<u64>),
) -> Result<RoundOutcome> {
    let pid = own.as_ref().map(|own| own.collector.id()).transpose()?;
    let mut before = 0;
    let round = load::round(trust, members, kind, drive, || {
        before = pid.map(process::cpu_ms).transpose()?.unwrap_or(0);
        Ok(())
    })
    .await?;
    let mut cpu = (None, None);
    if let Some(pid) = pid {
        let each = |ms: u64| Some(three_digits((ms - before) as f64 / round.reports.max(1) as f64));
        cpu.0 = each(process::cpu_ms(pid)?);
        cpu.1 = each(settled_cpu_ms(pid).await?);
        // Each round meets a collector that was started anew: the largest of all counts.
        let mib = |name| anyhow::Ok(Some(process::memory_kib(pid, name)? / 1024));
        *rss = (rss.0.max(mib("VmRSS")?), rss.1.max(mib("VmHWM")?));
    }
    let stored = match own.as_mut() {
        Some(own) => Some(count_stored(own, members).await?),
        None => None,
    };
    let ms = |d: Duration| three_digits(d.as_secs_f64() * 1000.0);
    Ok(RoundOutcome {
        name: kind,
        reports: round.reports,
        acked: round.acked,
        stored,
        per_s: per_second(round.acked, round.took),
        p50_ms: ms(percentile(&round.latencies, 50)),
        p99_ms: ms(percentile(&round.latencies, 99)),
        wire_bytes_p50: percentile(&round.wire_bytes, 50),
        collector_cpu_ms_per_report: cpu.0,
        collector_cpu_ms_per_report_settled: cpu.1,
        failures: round.failures,
    })
}

/// CPU time of the collector once it has used none for half a second.
async fn settled_cpu_ms(pid: u32) -> Result<u64> {
    let mut last = process::cpu_ms(pid)?;
    for _ in 0..240 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = process::cpu_ms(pid)?;
        if now <= last + 10 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// Restarts the collector, then counts the hosts of which everything acknowledged is there.
async fn count_stored(own: &mut Own, members: &[Arc<Mutex<Member>>]) -> Result<u64> {
    own.collector.stop()?;
    own.collector.resume()?;
    let hosts = stored::hosts(&own.store, own.data()).await?;
    let mut count = 0;
    for member in members {
        let member = member.lock().await;
        let id = member.host.id.as_ref().map(ToString::to_string).unwrap_or_default();
        let whole = hosts.get(&id).is_some_and(|host| {
            host.head.is_some() && host.head == member.host.head && host.software == member.software()
        });
        count += u64::from(whole);
    }
    Ok(count)
}

async fn store_bytes_per_host(own: Option<&mut Own>, hosts: u64) -> Result<Option<u64>> {
    let Some(own) = own else { return Ok(None) };
    own.collector.stop()?;
    let bytes = stored::size_bytes(&own.store, own.data()).await?;
    Ok(Some(bytes / hosts.max(1)))
}

fn per_second(count: u64, took: Duration) -> u64 {
    (count as f64 / took.as_secs_f64().max(0.001)) as u64
}

fn three_digits(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn print(outcome: &Outcome, format: Format) -> Result<()> {
    if format == Format::Json {
        println!("{}", serde_json::to_string_pretty(outcome)?);
        return Ok(());
    }
    println!(
        "{:10} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>7} {:>8}",
        "round", "reports", "acked", "stored", "per s", "p50 ms", "p99 ms", "bytes", "cpu ms"
    );
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    for r in &outcome.rounds {
        let name = format!("{:?}", r.name).to_lowercase();
        let stored = or_dash(r.stored.map(|n| n.to_string()));
        let cpu = or_dash(r.collector_cpu_ms_per_report.map(|n| format!("{n:.3}")));
        println!(
            "{name:10} {:>8} {:>8} {stored:>8} {:>8} {:>9.2} {:>9.2} {:>7} {cpu:>8}",
            r.reports, r.acked, r.per_s, r.p50_ms, r.p99_ms, r.wire_bytes_p50
        );
        r.failures.iter().for_each(|failure| println!("  {failure}"));
    }
    println!("store bytes per host: {}", or_dash(outcome.store_bytes_per_host.map(|n| n.to_string())));
    println!("collector memory (MiB): {}", or_dash(outcome.collector_rss_mib.map(|n| n.to_string())));
    Ok(())
}
