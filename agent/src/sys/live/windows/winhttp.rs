//! Proxy settings of Windows, through WinHTTP.
#![expect(unsafe_code, reason = "calls of the Windows API")]

use std::ffi::c_void;
use std::io;
use std::ptr::null;

use windows_sys::Win32::Foundation::GlobalFree;
use windows_sys::Win32::Networking::WinHttp::{
    WINHTTP_ACCESS_TYPE_NAMED_PROXY, WINHTTP_ACCESS_TYPE_NO_PROXY, WINHTTP_AUTO_DETECT_TYPE_DHCP,
    WINHTTP_AUTO_DETECT_TYPE_DNS_A, WINHTTP_AUTOPROXY_AUTO_DETECT, WINHTTP_AUTOPROXY_CONFIG_URL,
    WINHTTP_AUTOPROXY_OPTIONS, WINHTTP_CURRENT_USER_IE_PROXY_CONFIG, WINHTTP_PROXY_INFO, WinHttpCloseHandle,
    WinHttpGetDefaultProxyConfiguration, WinHttpGetIEProxyConfigForCurrentUser, WinHttpGetProxyForUrl,
    WinHttpOpen,
};
use windows_sys::core::PWSTR;

use crate::sys::proxy::{Fixed, SystemProxy};

/// No automatic configuration was found in this network: nothing is set, nothing is wrong.
const AUTODETECTION_FAILED: i32 = 12180;
/// Longest text WinHTTP is taken to give, UTF-16 units.
const MAX_TEXT: usize = 65_536;

/// See [`crate::sys::proxy::for_url`].
pub fn for_url(url: &str) -> SystemProxy {
    let mut found = SystemProxy::default();
    let host = reqwest::Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_owned));
    let Some(host) = host else { return found };
    if let Some(fixed) = noted(&mut found, "winhttp", machine()).flatten() {
        return SystemProxy { address: fixed.choose(&host), origin: Some("winhttp".into()), ..found };
    }
    let Some(options) = noted(&mut found, "internet_options", internet_options()) else { return found };
    let scripts = [
        options.detect.then_some(("wpad".to_owned(), None)),
        options
            .script
            .map(|script| (format!("pac {}", tenken_shared::text::printable(&script)), Some(script))),
    ];
    for (origin, script) in scripts.into_iter().flatten() {
        match automatic(url, script.as_deref()) {
            Ok(fixed) => {
                let address = fixed.and_then(|fixed| fixed.choose(&host));
                return SystemProxy { address, origin: Some(origin), ..found };
            }
            Err(error) if error.raw_os_error() == Some(AUTODETECTION_FAILED) => {}
            Err(error) => found.failed.push(format!("{origin}: {error}")),
        }
    }
    if let Some(fixed) = options.fixed {
        return SystemProxy {
            address: fixed.choose(&host),
            origin: Some("internet_options".into()),
            ..found
        };
    }
    found
}

fn noted<T>(found: &mut SystemProxy, what: &str, given: io::Result<T>) -> Option<T> {
    given.map_err(|error| found.failed.push(format!("{what}: {error}"))).ok()
}

/// WinHTTP's default proxy; `None` where it goes directly, which is also what stands there unset.
fn machine() -> io::Result<Option<Fixed>> {
    let mut info = WINHTTP_PROXY_INFO::default();
    // SAFETY: the structure is written by the call; its texts are taken over below.
    let done = unsafe { WinHttpGetDefaultProxyConfiguration(&raw mut info) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(fixed_of(&info)) }
}

struct Options {
    detect: bool,
    script: Option<String>,
    fixed: Option<Fixed>,
}

fn internet_options() -> io::Result<Options> {
    let mut config = WINHTTP_CURRENT_USER_IE_PROXY_CONFIG::default();
    // SAFETY: the structure is written by the call; its texts are taken over below.
    let done = unsafe { WinHttpGetIEProxyConfigForCurrentUser(&raw mut config) };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    let script = taken(config.lpszAutoConfigUrl).filter(|script| !script.is_empty());
    let (proxies, exceptions) = (taken(config.lpszProxy), taken(config.lpszProxyBypass));
    let fixed = proxies.filter(|list| !list.is_empty());
    let fixed = fixed.map(|proxies| Fixed { proxies, exceptions: exceptions.unwrap_or_default() });
    Ok(Options { detect: config.fAutoDetect != 0, script, fixed })
}

/// Runs the network's script (found by WPAD, or the one named); `None`: it says to go directly.
fn automatic(url: &str, script: Option<&str>) -> io::Result<Option<Fixed>> {
    let wide = |text: &str| text.encode_utf16().filter(|u| *u != 0).chain([0]).collect::<Vec<u16>>();
    let (agent, url, script) = (wide("tenken-agent"), wide(url), script.map(wide));
    // SAFETY: the name is NUL-terminated; without a proxy both other texts may be null.
    let session = unsafe { WinHttpOpen(agent.as_ptr(), WINHTTP_ACCESS_TYPE_NO_PROXY, null(), null(), 0) };
    if session.is_null() {
        return Err(io::Error::last_os_error());
    }
    let session = Session(session);
    let mut options = WINHTTP_AUTOPROXY_OPTIONS { fAutoLogonIfChallenged: 1, ..Default::default() };
    match &script {
        Some(script) => {
            options.dwFlags = WINHTTP_AUTOPROXY_CONFIG_URL;
            options.lpszAutoConfigUrl = script.as_ptr();
        }
        None => {
            options.dwFlags = WINHTTP_AUTOPROXY_AUTO_DETECT;
            options.dwAutoDetectFlags = WINHTTP_AUTO_DETECT_TYPE_DHCP | WINHTTP_AUTO_DETECT_TYPE_DNS_A;
        }
    }
    let mut info = WINHTTP_PROXY_INFO::default();
    // SAFETY: session, address and options are valid for the call; `info` is written by it.
    let done = unsafe { WinHttpGetProxyForUrl(session.0, url.as_ptr(), &raw mut options, &raw mut info) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(fixed_of(&info)) }
}

struct Session(*mut c_void);

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle was opened here and is closed once.
        unsafe { WinHttpCloseHandle(self.0) };
    }
}

fn fixed_of(info: &WINHTTP_PROXY_INFO) -> Option<Fixed> {
    let (proxies, exceptions) = (taken(info.lpszProxy), taken(info.lpszProxyBypass));
    let proxies = proxies.filter(|list| !list.trim().is_empty())?;
    let named = info.dwAccessType == WINHTTP_ACCESS_TYPE_NAMED_PROXY;
    named.then(|| Fixed { proxies, exceptions: exceptions.unwrap_or_default() })
}

/// Takes over a text that WinHTTP allocated; `None` for a null pointer.
fn taken(text: PWSTR) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let mut length = 0;
    // SAFETY: the API terminated the text with a NUL; reading stops there, or at the cap.
    while length < MAX_TEXT && unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: `length` units were just read; the memory is freed once, here, as the API asks for.
    unsafe {
        let out = String::from_utf16_lossy(std::slice::from_raw_parts(text, length));
        GlobalFree(text.cast());
        Some(out)
    }
}
