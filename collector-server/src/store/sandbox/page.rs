//! Pages of the published views: along the machines' ids, from where the page before ended.
//!
//! A view has no key of its own, and its columns may be null. So a place in it is a machine and how many
//! of its rows were given; the rows of one machine come in the order of all their columns.

use serde::Serialize;
use serde_json::Value;
use tenken_shared::ids::{HostId, OrgId};

use super::{Limits, SandboxError};
use crate::export::Table;
use crate::query::{BadCursor, Cursor};
use crate::store::view::{From, View};
use crate::store::{EngineKind, Store};

/// Machines looked up at once for a view that is asked machine by machine.
const HOSTS: u32 = 64;

/// One page of a view.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ViewPage {
    /// Rows.
    #[serde(flatten)]
    pub table: Table,
    /// Cursor of the next page; absent on the last.
    pub next: Option<String>,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    host: HostId,
    given: usize,
}

fn order(view: &View) -> String {
    format!("view {}", view.name)
}

impl Place {
    /// Reads a cursor of the view.
    pub fn read(view: &View, after: &str) -> Result<Option<Self>, BadCursor> {
        let Some(cursor) = Cursor::read(after, order(view), "ti")? else { return Ok(None) };
        let host = cursor.text(0).parse().map_err(|_| BadCursor)?;
        Ok(Some(Self { host, given: usize::try_from(cursor.int(1)).map_err(|_| BadCursor)? }))
    }

    fn to_text(&self, view: &View) -> String {
        let given = i64::try_from(self.given).unwrap_or(i64::MAX);
        Cursor::new(order(view), vec![self.host.as_str().into(), given.into()]).to_text()
    }
}

/// One question over a view.
struct Reader<'a> {
    store: &'a Store,
    org: &'a OrgId,
    view: &'a View,
    /// Rows to read: one more than the page has.
    fetch: usize,
    table: Table,
}

impl Reader<'_> {
    /// Reads what is still wanted of these questions, asked one after the other over one connection.
    async fn ask(&mut self, questions: &[(From<'_>, usize)]) -> Result<(), SandboxError> {
        let left = self.fetch.saturating_sub(self.table.rows.len());
        let all: Vec<String> =
            questions.iter().map(|(from, skip)| self.view.rows(from, left, *skip)).collect();
        let found = self.store.run_each(self.org, &all, Limits { rows: left, ..Limits::default() }).await?;
        self.table.append(found);
        Ok(())
    }

    /// Whether no more is to be read: the page is full, or a question met a limit.
    fn is_full(&self) -> bool {
        self.table.truncated || self.table.rows.len() >= self.fetch
    }

    /// Machine by machine from `place` on.
    async fn ask_each(&mut self, number: i64, place: Option<&Place>) -> Result<(), SandboxError> {
        let mut from = place.map_or(String::new(), |p| p.host.to_string());
        let mut asked = None;
        loop {
            let ids = self.store.host_ids_from(number, &from, HOSTS).await?;
            let more = ids.len() == HOSTS as usize;
            let new = ids.into_iter().filter(|id| asked.as_ref() != Some(id));
            let hosts: Vec<HostId> =
                new.map(|id| id.parse().map_err(|_| SandboxError::Invalid(id))).collect::<Result<_, _>>()?;
            let skip = |host: &HostId| place.filter(|p| p.host == *host).map_or(0, |p| p.given);
            let questions: Vec<_> = hosts.iter().map(|host| (From::Only(host), skip(host))).collect();
            if !questions.is_empty() {
                self.ask(&questions).await?;
            }
            match hosts.last() {
                Some(last) if more && !self.is_full() => from = last.to_string(),
                _ => return Ok(()),
            }
            asked = Some(from.clone());
        }
    }
}

impl Store {
    /// A page of a view from `place` on, of all machines or of one.
    pub async fn view_page(
        &self,
        org: (&OrgId, i64),
        view: &View,
        host: Option<&HostId>,
        place: Option<Place>,
        limit: u32,
    ) -> Result<ViewPage, SandboxError> {
        let limit = limit as usize;
        // PostgreSQL keeps statistics and plans a range of machines as one.
        let by_machine = view.deep && self.engine() == EngineKind::Sqlite;
        let mut reader = Reader { store: self, org: org.0, view, fetch: limit + 1, table: Table::default() };
        match (host, &place) {
            (Some(host), _) => {
                let skip = place.as_ref().filter(|p| p.host == *host).map_or(0, |p| p.given);
                reader.ask(&[(From::Only(host), skip)]).await?;
            }
            (None, _) if by_machine => reader.ask_each(org.1, place.as_ref()).await?,
            (None, None) => reader.ask(&[(From::Start, 0)]).await?,
            (None, Some(place)) => reader.ask(&[(From::Host(&place.host), place.given)]).await?,
        }
        let cut = std::mem::take(&mut reader.table.truncated);
        let mut table = reader.table;
        if table.columns.is_empty() {
            table.columns = self.view_columns(org.0, view).await?;
        }
        // Rows beyond the limit of a question are there too, though none was read.
        let more = cut || table.rows.len() > limit;
        table.rows.truncate(limit);
        let next = if more { place_after(&table, place.as_ref()).map(|p| p.to_text(view)) } else { None };
        Ok(ViewPage { table, next })
    }

    /// Names of a view's columns, which a page over no machine has too.
    async fn view_columns(&self, org: &OrgId, view: &View) -> Result<Vec<String>, SandboxError> {
        let sql = format!("select * from {} limit 0", view.name);
        Ok(self.run_sql(org, &sql, Limits::default()).await?.columns)
    }
}

/// The place after the last row; `began` is where the page began.
fn place_after(table: &Table, began: Option<&Place>) -> Option<Place> {
    let host = |row: &Vec<Value>| row.first().and_then(Value::as_str).map(str::to_owned);
    let last = host(table.rows.last()?)?;
    let given = table.rows.iter().rev().take_while(|row| host(row).as_deref() == Some(last.as_str())).count();
    let host: HostId = last.parse().ok()?;
    let before = began.filter(|p| p.host == host).map_or(0, |p| p.given);
    Some(Place { host, given: given + before })
}
