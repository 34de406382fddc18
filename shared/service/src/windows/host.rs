//! Living under the service control manager: telling it how things stand, and hearing when to end.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_dispatcher;

use crate::ServiceError;

/// What the service does until the receiver turns true; `false` where it ended with an error.
pub type Work = Box<dyn FnOnce(watch::Receiver<bool>) -> bool + Send>;

/// How long ending may take before the manager says so.
const END_HINT: Duration = Duration::from_secs(30);

struct Job {
    name: &'static str,
    work: Work,
}

/// Set once the manager has taken the handler.
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// Handed to the one service of this process, whose entry point takes no arguments of ours.
static JOB: OnceLock<Mutex<Option<Job>>> = OnceLock::new();

/// Runs `work` as the service `name` until the manager stops it. Only for a process the manager started;
/// errors where it was started by hand.
pub fn dispatch(name: &'static str, work: Work) -> Result<(), ServiceError> {
    let job = JOB.get_or_init(|| Mutex::new(None));
    *job.lock().unwrap_or_else(PoisonError::into_inner) = Some(Job { name, work });
    service_dispatcher::start(name, entry).map_err(super::failed("run"))
}

extern "system" fn entry(_count: u32, _arguments: *mut *mut u16) {
    let job = JOB.get().and_then(|job| job.lock().unwrap_or_else(PoisonError::into_inner).take());
    if let Some(job) = job {
        run(job);
    }
}

fn run(job: Job) {
    let (stop, stopped) = watch::channel(false);
    let handler = move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            // Before the work hears of it: "stopped" must be the last word.
            if let Some(status) = STATUS.get() {
                tell(*status, ServiceState::StopPending, ServiceExitCode::NO_ERROR);
            }
            stop.send_replace(true);
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let Ok(status) = service_control_handler::register(job.name, handler) else {
        tracing::error!("The service control manager does not take this process.");
        return;
    };
    tell(status, ServiceState::Running, ServiceExitCode::NO_ERROR);
    let _ = STATUS.set(status);
    let well = (job.work)(stopped);
    let exit = if well { ServiceExitCode::NO_ERROR } else { ServiceExitCode::ServiceSpecific(1) };
    tell(status, ServiceState::Stopped, exit);
}

fn tell(handle: ServiceStatusHandle, state: ServiceState, exit_code: ServiceExitCode) {
    let accepted = match state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
        _ => ServiceControlAccept::empty(),
    };
    let told = handle.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepted,
        exit_code,
        checkpoint: 0,
        wait_hint: if state == ServiceState::StopPending { END_HINT } else { Duration::ZERO },
        process_id: None,
    });
    if let Err(error) = told {
        tracing::warn!(%error, "The service control manager did not hear how the service stands.");
    }
}
