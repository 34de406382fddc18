//! Proxies as Windows keeps them, each leading through a real squid: WinHTTP's default, the Internet options
//! (fixed, exceptions, a script). Wine finds no script by itself: with automatic detection switched on the
//! way is direct, as in an office that has none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use e2e::program::{Collector, Diagnosis};
use e2e::proxy::{Kind, Proxy, missing};
use e2e::wine::Wine;

use super::agent;

const INTERNET: &str = r"\Software\Microsoft\Windows\CurrentVersion\Internet Settings\Connections";
/// `WinHttpSettings` and `DefaultConnectionSettings`: what a value begins with.
const WINHTTP: u32 = 0x18;
const OPTIONS: u32 = 0x46;
const DIRECT: u32 = 1;
const FIXED: u32 = 2;
const SCRIPT: u32 = 4;
const DETECT: u32 = 8;

/// One way of setting a proxy, and what `doctor` says then.
struct Case {
    name: &'static str,
    winhttp: Option<Setting>,
    options: Option<Setting>,
    /// Words of the finding `proxy`.
    says: String,
    through: bool,
}

/// A value of either kind.
#[derive(Default)]
struct Setting {
    flags: u32,
    proxies: String,
    exceptions: String,
    script: String,
}

impl Setting {
    fn fixed(proxies: &str, exceptions: &str) -> Option<Self> {
        let (proxies, exceptions) = (proxies.to_owned(), exceptions.to_owned());
        Some(Self { flags: DIRECT | FIXED, proxies, exceptions, ..Self::default() })
    }

    fn hex(&self, magic: u32) -> String {
        let mut bytes: Vec<u8> = [magic, 0, self.flags].into_iter().flat_map(u32::to_le_bytes).collect();
        let scripts = (magic == OPTIONS).then_some(&self.script);
        for text in [Some(&self.proxies), Some(&self.exceptions), scripts].into_iter().flatten() {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.bytes());
        }
        bytes.resize(bytes.len() + 32, 0);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(super) fn proxies_of_windows_lead_to_the_collector(wine: &Wine, collector: &Collector) -> Result<()> {
    if let Some(why) = missing() {
        ensure!(std::env::var_os(e2e::wine::REQUIRED_VARIABLE).is_none(), "{why}");
        println!("skipped the proxies: {why}");
        return Ok(());
    }
    let proxy = Proxy::start(Kind::Plain)?;
    let address = proxy.address(None);
    let place = address.trim_start_matches("http://").to_owned();
    let script = serve_script(&place)?;
    let cases = [
        Case {
            name: "winhttp",
            winhttp: Setting::fixed(&place, ""),
            options: Setting::fixed("nowhere.invalid:1", ""),
            says: format!("{address}/ (winhttp)"),
            through: true,
        },
        Case {
            name: "winhttp with exceptions",
            winhttp: Setting::fixed(&place, "127.*;<local>"),
            options: None,
            says: "none (winhttp)".into(),
            through: false,
        },
        Case {
            name: "options",
            winhttp: None,
            options: Setting::fixed(&format!("http=nowhere.invalid:1;https={place}"), "<local>"),
            says: format!("{address}/ (internet_options)"),
            through: true,
        },
        Case {
            name: "script",
            winhttp: None,
            options: Some(Setting { flags: DIRECT | SCRIPT, script: script.clone(), ..Setting::default() }),
            says: format!("{address}/ (pac {script})"),
            through: true,
        },
        Case {
            name: "detection",
            winhttp: None,
            options: Some(Setting { flags: DIRECT | DETECT, ..Setting::default() }),
            says: "none".into(),
            through: false,
        },
    ];
    for case in &cases {
        tried(wine, collector, &proxy, case).with_context(|| case.name)?;
    }
    set(wine, "HKLM", "WinHttpSettings", None)?;
    set(wine, "HKCU", "DefaultConnectionSettings", None)
}

fn tried(wine: &Wine, collector: &Collector, proxy: &Proxy, case: &Case) -> Result<()> {
    set(wine, "HKLM", "WinHttpSettings", case.winhttp.as_ref().map(|s| s.hex(WINHTTP)))?;
    set(wine, "HKCU", "DefaultConnectionSettings", case.options.as_ref().map(|s| s.hex(OPTIONS)))?;
    let data = format!(r"C:\proxy\{}", case.name);
    let before = proxy.accesses().unwrap_or_default().lines().count();
    wine.succeed(&mut agent(wine, &data, &["enrol", &collector.token(1)?]))?;
    wine.succeed(&mut agent(wine, &data, &["run", "--once"]))?;
    let said = agent(wine, &data, &["doctor", "--format", "json"]).output()?;
    let diagnosis = Diagnosis(serde_json::from_slice(&said.stdout)?);
    let (level, words) = diagnosis.of("proxy")?;
    ensure!(level == "ok" && words.starts_with(&format!("{} /", case.says)), "{words}");
    ensure!(diagnosis.of("proxy_settings").is_err(), "{}", diagnosis.0);
    ensure!(diagnosis.of("connection")?.0 == "ok", "{}", diagnosis.0);
    let passed = proxy.accesses().unwrap_or_default();
    let passed: Vec<&str> = passed.lines().skip(before).collect();
    let ours =
        passed.iter().filter(|line| line.contains(&format!("CONNECT {}", collector.address()))).count();
    // Enrolment and report may share a connection, `doctor` has its own.
    ensure!(if case.through { ours >= 2 } else { passed.is_empty() }, "{passed:?}");
    Ok(())
}

fn set(wine: &Wine, hive: &str, name: &str, hex: Option<String>) -> Result<()> {
    let key = format!("{hive}{INTERNET}");
    if let Some(hex) = hex {
        return wine.set(&key, name, "REG_BINARY", &hex);
    }
    // It may not be there.
    wine.command("reg").args(["delete", &key, "/v", name, "/f"]).output()?;
    Ok(())
}

/// A web server with one script, as long as this program lives; its address.
fn serve_script(proxy: &str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/proxy.pac", listener.local_addr()?);
    let script = format!("function FindProxyForURL(url, host) {{ return \"PROXY {proxy}; DIRECT\"; }}\n");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{script}",
                script.len()
            );
        }
    });
    Ok(address)
}
