//! The Windows Update Agent through COM. Runs only in a child process (see `sys::child`).

#![allow(unsafe_code, reason = "COM; each block says why it is sound")]

use std::os::windows::io::AsRawHandle as _;
use std::process::Child;

use serde_json::Value;
use windows::Win32::Foundation::{HANDLE, RPC_E_CHANGED_MODE, VARIANT_BOOL, VARIANT_FALSE, VARIANT_TRUE};
use windows::Win32::System::Com::{
    CLSCTX_INPROC_SERVER, COINIT_MULTITHREADED, CoCreateInstance, CoInitializeEx,
};
use windows::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject,
};
use windows::Win32::System::UpdateAgent::{
    AutomaticUpdates, IAutomaticUpdates2, IStringCollection, IUpdate, IUpdate2, IUpdateHistoryEntry,
    IUpdateSearcher, IUpdateServiceManager, IUpdateSession, UpdateServiceManager, UpdateSession,
};
use windows::Win32::System::Variant::{VARIANT, VT_DATE};
use windows::core::{BSTR, Error, Interface as _, Owned};

use crate::sys::SysError;
use crate::sys::windows_update::{
    MAX_ROWS, UpdateAnswer, UpdateEntries, UpdateEntry, UpdateQuestion, UpdateRow, UpdateSearch,
    UpdateSelection, UpdateService, automation_date, hresult, reason_of,
};

const WHAT: &str = "windows_update";
/// What is not installed, and what is but waits for a restart; hidden ones are in both.
const PENDING: &str = "IsInstalled=0";
const AWAITING: &str = "IsInstalled=1 and RebootRequired=1";
/// Part of an answer that was not asked for.
const SKIPPED: &str = "skipped";
const MAX_STRINGS: i32 = 500;

type Com<T> = Result<T, Error>;

fn code<T>(result: Com<T>) -> Result<T, String> {
    result.map_err(|error| hresult(error.code().0))
}

/// What holds a child to this process.
#[derive(Debug)]
pub struct Tie(#[expect(dead_code, reason = "held open for its end")] Owned<HANDLE>);

/// Ties a child to this process: what asks for more memory gets none, and the child ends with the tie, so also
/// when this process is killed.
pub fn tie(child: &Child, memory: usize) -> Result<Tie, SysError> {
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_PROCESS_MEMORY | JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    limits.ProcessMemoryLimit = memory;
    let size = u32::try_from(size_of_val(&limits)).unwrap_or(u32::MAX);
    // SAFETY: the structure lives across the call and its size is given; the job is made here and owned, not
    // inherited by any child; the child's handle is open as long as `child`.
    let tied = unsafe {
        CreateJobObjectW(None, None).map(|job| Owned::new(job)).and_then(|job| {
            let limits = std::ptr::from_ref(&limits).cast();
            SetInformationJobObject(*job, JobObjectExtendedLimitInformation, limits, size)?;
            AssignProcessToJobObject(*job, HANDLE(child.as_raw_handle()))?;
            Ok(Tie(job))
        })
    };
    tied.map_err(|error| SysError::Failed {
        what: "job object".into(),
        reason: "api_error".into(),
        detail: hresult(error.code().0),
    })
}

/// Answers one question.
pub fn answer(request: Value) -> Result<Value, SysError> {
    let question: UpdateQuestion =
        serde_json::from_value(request).map_err(|e| SysError::malformed(WHAT, e))?;
    let failed = |error: Error| {
        let code = hresult(error.code().0);
        match reason_of(&code) {
            "permission_denied" => SysError::Denied { what: WHAT.into() },
            reason => SysError::Failed { what: WHAT.into(), reason: reason.into(), detail: code },
        }
    };
    // SAFETY: called once, on the thread that makes all calls below; never balanced, the process ends instead.
    let started = unsafe { CoInitializeEx(None, COINIT_MULTITHREADED) };
    if started.is_err() && started != RPC_E_CHANGED_MODE {
        return Err(failed(Error::from(started)));
    }
    let searcher = searcher(question.online).map_err(failed)?;
    let results = last_successes();
    let date = |index: usize| match &results {
        Ok(dates) => code(dates[index].clone()),
        Err(error) => Err(hresult(error.code().0)),
    };
    let answer = UpdateAnswer {
        asked_at: jiff::Timestamp::now(),
        question,
        searched: code(selection(&searcher)),
        service: code(service()),
        search: if question.search { code(search(&searcher)) } else { Err(SKIPPED.into()) },
        history: if question.history { code(history(&searcher)) } else { Err(SKIPPED.into()) },
        last_search_success: date(0),
        last_install_success: date(1),
    };
    serde_json::to_value(answer).map_err(|e| SysError::malformed(WHAT, e))
}

fn searcher(online: bool) -> Com<IUpdateSearcher> {
    // SAFETY: COM is initialised on this thread; the interfaces are counted by their wrappers.
    unsafe {
        let session: IUpdateSession = CoCreateInstance(&UpdateSession, None, CLSCTX_INPROC_SERVER)?;
        let searcher = session.CreateUpdateSearcher()?;
        searcher.SetOnline(if online { VARIANT_TRUE } else { VARIANT_FALSE })?;
        Ok(searcher)
    }
}

/// The server that this searcher asks for.
fn selection(searcher: &IUpdateSearcher) -> Com<UpdateSelection> {
    // SAFETY: COM is initialised on this thread.
    unsafe {
        Ok(UpdateSelection {
            selection: searcher.ServerSelection()?.0,
            service: searcher.ServiceID()?.to_string().to_ascii_lowercase(),
        })
    }
}

/// The service that automatic updates use; it also answers a search that names none.
fn service() -> Com<Option<UpdateService>> {
    // SAFETY: COM is initialised on this thread; indices stay below the count.
    unsafe {
        let manager: IUpdateServiceManager =
            CoCreateInstance(&UpdateServiceManager, None, CLSCTX_INPROC_SERVER)?;
        let services = manager.Services()?;
        for index in 0..services.Count()?.min(100) {
            let service = services.get_Item(index)?;
            let second: windows::Win32::System::UpdateAgent::IUpdateService2 = service.cast()?;
            if second.IsDefaultAUService()?.as_bool() {
                let id = service.ServiceID()?.to_string().to_ascii_lowercase();
                return Ok(Some(UpdateService { id, managed: service.IsManaged()?.as_bool() }));
            }
        }
    }
    Ok(None)
}

fn search(searcher: &IUpdateSearcher) -> Com<UpdateSearch> {
    let mut out = UpdateSearch { result: 2, ..UpdateSearch::default() };
    for criteria in [PENDING, AWAITING] {
        // SAFETY: COM is initialised on this thread; the string lives across the call; indices stay below
        // the counts.
        unsafe {
            let found = searcher.Search(&BSTR::from(criteria))?;
            out.result = out.result.max(found.ResultCode()?.0);
            let warnings = found.Warnings()?;
            for index in 0..warnings.Count()?.min(MAX_STRINGS) {
                out.warnings.push(hresult(warnings.get_Item(index)?.HResult()?));
            }
            let updates = found.Updates()?;
            let count = updates.Count()?;
            out.truncated |= count > MAX_ROWS;
            for index in 0..count.min(MAX_ROWS) {
                out.updates.push(row(&updates.get_Item(index)?)?);
            }
        }
    }
    Ok(out)
}

fn row(update: &IUpdate) -> Com<UpdateRow> {
    // SAFETY: COM is initialised on this thread; indices stay below the counts.
    unsafe {
        let identity = update.Identity()?;
        let categories = update.Categories()?;
        let mut ids = vec![];
        for index in 0..categories.Count()?.min(MAX_STRINGS) {
            ids.push(categories.get_Item(index)?.CategoryID()?.to_string().to_ascii_lowercase());
        }
        let second = update.cast::<IUpdate2>().ok();
        let severity = update.MsrcSeverity()?.to_string();
        Ok(UpdateRow {
            id: identity.UpdateID()?.to_string().to_ascii_lowercase(),
            revision: identity.RevisionNumber()?,
            title: update.Title()?.to_string(),
            kbs: strings(&update.KBArticleIDs()?)?,
            severity: (!severity.is_empty()).then_some(severity),
            cves: second.as_ref().map(|u| strings(&u.CveIDs()?)).transpose()?.unwrap_or_default(),
            categories: ids,
            kind: update.Type()?.0,
            deployed_at: automation_date(update.LastDeploymentChangeTime()?),
            hidden: flag(update.IsHidden()?),
            installed: flag(update.IsInstalled()?),
            restart_required: second.map(|u| u.RebootRequired()).transpose()?.is_some_and(flag),
        })
    }
}

fn history(searcher: &IUpdateSearcher) -> Com<UpdateEntries> {
    // SAFETY: COM is initialised on this thread; indices stay below the counts.
    unsafe {
        let total = searcher.GetTotalHistoryCount()?;
        let mut out = UpdateEntries { truncated: total > MAX_ROWS, ..UpdateEntries::default() };
        if total <= 0 {
            return Ok(out);
        }
        let entries = searcher.QueryHistory(0, total.min(MAX_ROWS))?;
        for index in 0..entries.Count()?.min(MAX_ROWS) {
            out.entries.push(entry(&entries.get_Item(index)?)?);
        }
        Ok(out)
    }
}

fn entry(entry: &IUpdateHistoryEntry) -> Com<UpdateEntry> {
    // SAFETY: COM is initialised on this thread.
    unsafe {
        Ok(UpdateEntry {
            id: entry.UpdateIdentity()?.UpdateID()?.to_string().to_ascii_lowercase(),
            title: entry.Title()?.to_string(),
            operation: entry.Operation()?.0,
            result: entry.ResultCode()?.0,
            code: entry.HResult()?,
            at: automation_date(entry.Date()?),
        })
    }
}

/// Last search and last installation that succeeded.
fn last_successes() -> Com<[Com<Option<jiff::Timestamp>>; 2]> {
    // SAFETY: COM is initialised on this thread.
    unsafe {
        let automatic: IAutomaticUpdates2 = CoCreateInstance(&AutomaticUpdates, None, CLSCTX_INPROC_SERVER)?;
        let results = automatic.Results()?;
        Ok([
            results.LastSearchSuccessDate().map(|v| date(&v)),
            results.LastInstallationSuccessDate().map(|v| date(&v)),
        ])
    }
}

fn date(variant: &VARIANT) -> Option<jiff::Timestamp> {
    // SAFETY: the tag says which field of the union holds; a variant of another type is not read.
    unsafe {
        let inner = &variant.Anonymous.Anonymous;
        (inner.vt == VT_DATE).then(|| automation_date(inner.Anonymous.date)).flatten()
    }
}

fn strings(collection: &IStringCollection) -> Com<Vec<String>> {
    // SAFETY: COM is initialised on this thread; indices stay below the count.
    unsafe {
        let count = collection.Count()?.min(MAX_STRINGS);
        (0..count).map(|index| Ok(collection.get_Item(index)?.to_string())).collect()
    }
}

fn flag(value: VARIANT_BOOL) -> bool {
    value.as_bool()
}
