//! The service control manager: making, starting, stopping and asking for a service.
//!
//! Recovery: restarted 30 s, 60 s and then 5 min after it ended other than by being told to; the count
//! begins anew after a day without failure. The SID type is unrestricted, so that firewall rules and
//! access lists can name the service itself. What the manager does not take (Wine lacks some settings)
//! is told to whoever installs, and not hidden.

mod host;
pub mod sys;

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use windows_service::service::{
    Service as Handle, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceSidType, ServiceStartType,
    ServiceState as State, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::{Account, NotTaken, Place, Service, ServiceError, ServiceState};

pub use host::dispatch;

/// Longest wait for a state.
const PATIENCE: Duration = Duration::from_secs(60);

const ACCESS_DENIED: i32 = 5;
const ALREADY_RUNNING: i32 = 1056;
const DOES_NOT_EXIST: i32 = 1060;
const NOT_ACTIVE: i32 = 1062;
const MARKED_FOR_DELETE: i32 = 1072;

/// Whether this is Wine.
#[must_use]
pub fn under_wine() -> bool {
    sys::is_wine()
}

/// SID of a service's own account: SHA-1 of its name in capitals, UTF-16LE, as five numbers.
#[must_use]
pub fn service_sid(name: &str) -> String {
    let bytes: Vec<u8> = name.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let numbers = digest.as_ref().chunks_exact(4);
    numbers.fold("S-1-5-80".to_owned(), |sid, part| {
        let number = part.iter().rev().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        format!("{sid}-{number}")
    })
}

pub fn install(service: &Service, place: Place<'_>) -> Result<NotTaken, ServiceError> {
    if !crate::rights::elevated() {
        return Err(ServiceError::NotElevated);
    }
    let guest = (service.account == Account::Virtual).then_some(service.name);
    crate::folder::private(place.data, guest).map_err(ServiceError::on(place.data))?;
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let info = info(service, place);
    let handle = match open(&manager, service, ServiceAccess::ALL_ACCESS) {
        Ok(handle) => {
            stop_and_wait(&handle)?;
            handle.change_config(&info).map_err(failed("change"))?;
            handle
        }
        Err(ServiceError::NotInstalled) => {
            manager.create_service(&info, ServiceAccess::ALL_ACCESS).map_err(failed("create"))?
        }
        Err(error) => return Err(error),
    };
    let not_taken = configure(service, &handle);
    start_and_wait(&handle)?;
    Ok(not_taken)
}

fn info(service: &Service, place: Place<'_>) -> ServiceInfo {
    let mut arguments: Vec<OsString> = vec!["service".into(), "run".into(), "--data".into()];
    arguments.push(place.data.into());
    if let Some(config) = place.config {
        arguments.extend(["--config".into(), config.into()]);
    }
    let account = match service.account {
        // Named, because a change of configuration with none keeps what was there.
        Account::System => "LocalSystem".into(),
        Account::Virtual => format!("NT SERVICE\\{}", service.name),
    };
    ServiceInfo {
        name: service.name.into(),
        display_name: service.title.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: place.program.to_owned(),
        launch_arguments: arguments,
        dependencies: vec![],
        account_name: Some(account.into()),
        account_password: None,
    }
}

/// Restarted, ever later, also after it ended with an error of its own.
fn recovery() -> ServiceFailureActions {
    let restart =
        |s| ServiceAction { action_type: ServiceActionType::Restart, delay: Duration::from_secs(s) };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(86_400)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![restart(30), restart(60), restart(300)]),
    }
}

/// Everything beyond what a service must have; gives what the manager refused, or took and did not keep.
fn configure(service: &Service, handle: &Handle) -> NotTaken {
    let plain = |result: windows_service::Result<()>| result.map_err(|e| words(&e));
    let settings = [
        ("description", plain(handle.set_description(service.about))),
        ("delayed start", plain(handle.set_delayed_auto_start(service.delayed))),
        ("recovery", plain(handle.update_failure_actions(recovery())).and_then(|()| recovers(handle))),
        (
            "recovery after errors",
            plain(handle.set_failure_actions_on_non_crash_failures(true))
                .and_then(|()| kept(handle.get_failure_actions_on_non_crash_failures(), |on| *on)),
        ),
        ("service SID", plain(handle.set_config_service_sid_info(ServiceSidType::Unrestricted))),
        ("privileges", sys::require_privileges(handle, service.privileges).map_err(|e| e.to_string())),
    ];
    settings.into_iter().filter_map(|(name, set)| set.err().map(|e| format!("{name}: {e}"))).collect()
}

fn recovers(handle: &Handle) -> Result<(), String> {
    let wanted = recovery();
    kept(handle.get_failure_actions(), |found| {
        (found.reset_period, &found.actions) == (wanted.reset_period, &wanted.actions)
    })
}

/// Whether the manager gives back what it took.
fn kept<T>(read: windows_service::Result<T>, same: impl FnOnce(&T) -> bool) -> Result<(), String> {
    let found = read.map_err(|error| format!("not given back: {}", words(&error)))?;
    if same(&found) { Ok(()) } else { Err("not kept".to_owned()) }
}

pub fn uninstall(service: &Service) -> Result<(), ServiceError> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    let handle = open(&manager, service, ServiceAccess::ALL_ACCESS)?;
    stop_and_wait(&handle)?;
    handle.delete().map_err(failed("delete"))?;
    drop(handle);
    // Gone when the last handle is closed; somebody else's may still be open.
    let start = Instant::now();
    while open(&manager, service, ServiceAccess::QUERY_STATUS).is_ok() {
        if start.elapsed() > PATIENCE {
            return Err(ServiceError::MarkedForDeletion);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

pub fn start(service: &Service) -> Result<(), ServiceError> {
    let access = ServiceAccess::START | ServiceAccess::QUERY_STATUS;
    start_and_wait(&open(&manager(ServiceManagerAccess::CONNECT)?, service, access)?)
}

pub fn stop(service: &Service) -> Result<(), ServiceError> {
    let access = ServiceAccess::STOP | ServiceAccess::QUERY_STATUS;
    stop_and_wait(&open(&manager(ServiceManagerAccess::CONNECT)?, service, access)?)
}

pub fn state(service: &Service) -> Result<ServiceState, ServiceError> {
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG;
    let handle = match open(&manager(ServiceManagerAccess::CONNECT)?, service, access) {
        Ok(handle) => handle,
        Err(ServiceError::NotInstalled) => {
            return Ok(ServiceState { installed: false, active: None, enabled: None });
        }
        Err(error) => return Err(error),
    };
    let status = handle.query_status().map_err(failed("query"))?;
    let failed_last = status.exit_code != windows_service::service::ServiceExitCode::Win32(0);
    let active = match status.current_state {
        State::Running => "active",
        State::StartPending | State::ContinuePending => "activating",
        State::StopPending | State::PausePending => "deactivating",
        State::Stopped if failed_last => "failed",
        State::Stopped | State::Paused => "inactive",
    };
    let enabled = handle.query_config().ok().map(|config| match config.start_type {
        ServiceStartType::AutoStart | ServiceStartType::SystemStart | ServiceStartType::BootStart => {
            "enabled"
        }
        ServiceStartType::OnDemand => "manual",
        ServiceStartType::Disabled => "disabled",
    });
    Ok(ServiceState { installed: true, active: Some(active.into()), enabled: enabled.map(Into::into) })
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, ServiceError> {
    ServiceManager::local_computer(None::<&OsStr>, access).map_err(failed("connect"))
}

fn open(manager: &ServiceManager, service: &Service, access: ServiceAccess) -> Result<Handle, ServiceError> {
    manager.open_service(service.name, access).map_err(failed("open"))
}

fn start_and_wait(handle: &Handle) -> Result<(), ServiceError> {
    match handle.start::<&OsStr>(&[]) {
        Err(error) if code(&error) != Some(ALREADY_RUNNING) => return Err(failed("start")(error)),
        _ => {}
    }
    wait(handle, State::Running, "running")
}

fn stop_and_wait(handle: &Handle) -> Result<(), ServiceError> {
    match handle.stop() {
        Err(error) if code(&error) != Some(NOT_ACTIVE) => return Err(failed("stop")(error)),
        _ => {}
    }
    wait(handle, State::Stopped, "stopped")
}

fn wait(handle: &Handle, wanted: State, name: &'static str) -> Result<(), ServiceError> {
    let start = Instant::now();
    loop {
        let status = handle.query_status().map_err(failed("query"))?;
        if status.current_state == wanted {
            return Ok(());
        }
        if status.current_state == State::Stopped {
            return Err(ServiceError::Ended(format!("{:?}", status.exit_code)));
        }
        if start.elapsed() > PATIENCE {
            return Err(ServiceError::TooSlow(name));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

fn words(error: &windows_service::Error) -> String {
    match error {
        windows_service::Error::Winapi(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn failed(what: &'static str) -> impl FnOnce(windows_service::Error) -> ServiceError {
    move |error| match code(&error) {
        Some(ACCESS_DENIED) => ServiceError::NotElevated,
        Some(DOES_NOT_EXIST) => ServiceError::NotInstalled,
        Some(MARKED_FOR_DELETE) => ServiceError::MarkedForDeletion,
        _ => ServiceError::Failed { command: what.to_owned(), message: words(&error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one Microsoft documents.
    #[test]
    fn sid_of_a_service_is_that_of_windows() {
        let sid = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
        assert_eq!(service_sid("TrustedInstaller"), sid);
    }
}
