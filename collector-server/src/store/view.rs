//! The published views: what read-only SQL may ask. Names and columns are a contract; more may be added.
//!
//! Each text stands once. `{org}` is the organisation, put in by the engine and never by the caller;
//! `{time COLUMN}` is a time column (milliseconds) as RFC 3339 text in UTC. Truth values are 0, 1 or null
//! (not known). A view uses no common table expressions, so that the SQLite authorizer sees its name.

use jiff::Timestamp;
use tenken_shared::ids::HostId;
use tenken_shared::text::Text;

use super::lapse;

/// One published view.
#[derive(Debug)]
pub struct View {
    /// Name.
    pub name: &'static str,
    /// What a row is.
    pub title: Text,
    /// Many rows per machine: asked machine by machine, so that the engine begins with it.
    pub deep: bool,
    /// Neutral text.
    text: &'static str,
}

/// The view of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static View> {
    ALL.iter().find(|v| v.name.eq_ignore_ascii_case(name))
}

impl View {
    /// Rows of a machine, or of every one from it on, in a fixed order that begins with the machine.
    #[must_use]
    pub fn rows(&self, from: &From<'_>, limit: usize, skip: usize) -> String {
        // An id holds no quote: see its type.
        let place = match from {
            From::Start => String::new(),
            From::Host(id) => format!(" where host >= '{id}'"),
            From::Only(id) => format!(" where host = '{id}'"),
        };
        let columns: Vec<String> = (1..=self.columns()).map(|n| n.to_string()).collect();
        let order = columns.join(", ");
        format!("select * from {}{place} order by {order} limit {limit} offset {skip}", self.name)
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.text.split(" from ").next().unwrap_or_default().matches(" as ").count()
    }
}

/// Which rows of a view.
#[derive(Debug)]
pub enum From<'a> {
    /// All.
    Start,
    /// Those of a machine and of all after it.
    Host(&'a HostId),
    /// Those of one machine.
    Only(&'a HostId),
}

/// A question that answers something everywhere, for forms to begin with.
pub const EXAMPLE: &str = "select name, os_name, os_version, last_report_at from hosts order by name";

/// Every published view.
pub static ALL: &[View] = &[
    View {
        name: "hosts",
        title: Text::new(
            "機器1台",
            "one row per machine",
        ),
        deep: false,
        text: "select h.uid as host, h.hostname as name, h.state as state, h.group_name as group_name,
            h.os_family as os_family, s.os_name as os_name, s.os_version as os_version, s.os_edition as os_edition,
            s.os_build as os_build, s.maker as maker, s.model as model, coalesce(s.serial, h.serial) as serial,
            s.chassis as chassis, s.virtualization as virtualization, s.address as address,
            h.agent_version as agent_version, {time h.enrolled_at} as enrolled_at,
            {time c.last_report_at} as last_report_at
            from host h
            left join host_summary s on s.org_id = h.org_id and s.host_id = h.host_id
            left join host_chain c on c.org_id = h.org_id and c.host_id = h.host_id
            where h.org_id = {org}",
    },
    View {
        name: "software",
        title: Text::new(
            "機器ごとの導入済みソフトウェア1件",
            "one row per installed title and machine",
        ),
        deep: true,
        text: "select h.uid as host, h.hostname as host_name, t.name as name, t.version as version, t.arch as arch,
            t.vendor as vendor, t.source as source, t.scope as scope, i.user_name as user_name,
            {time i.installed_at * 1000} as installed_at
            from host_block b
            join host_software i on i.org_id = b.org_id and i.block = b.block
            join software_title t on t.title_id = i.title_id
            join host h on h.org_id = i.org_id and h.host_id = i.host_id and h.host_id / 32 = b.block
            where b.org_id = {org}",
    },
    View {
        name: "updates",
        title: Text::new(
            "適用が済んでいない更新1件。取得できていない機器は facts で確かめてください",
            "one row per update that is not (fully) applied; look at facts for machines where this is not known",
        ),
        deep: false,
        text: "select h.uid as host, h.hostname as host_name, u.update_id as id, u.title as title,
            u.package as package, u.installed as installed, u.candidate as candidate, u.origin as origin,
            u.class as class, u.security as security, u.severity as severity, u.cvss as cvss,
            {time u.released_at} as released_at, u.held as held
            from host_update u
            join host h on h.org_id = u.org_id and h.host_id = u.host_id
            where u.org_id = {org}",
    },
    View {
        name: "backups",
        title: Text::new(
            "バックアップのジョブ・リポジトリ・宣言されたパス1件",
            "one row per backup job, repository or declared path",
        ),
        deep: false,
        text: "select h.uid as host, h.hostname as host_name, b.product as product, b.name as name, b.role as role,
            {time b.last_success} as last_success, b.result as result, b.copies as copies,
            {time b.oldest_copy} as oldest_copy, b.size_bytes as size_bytes, b.destination as destination,
            b.destination_class as destination_class, b.encrypted as encrypted, b.evidence as evidence
            from host_backup b
            join host h on h.org_id = b.org_id and h.host_id = b.host_id
            where b.org_id = {org}",
    },
    View {
        name: "media",
        title: Text::new(
            "機器ごとの外部記憶媒体・携帯機器1台（presentが空なら、接続中かどうかは不明）",
            "one row per removable medium or portable device and machine; present is null where it is not known",
        ),
        deep: false,
        text: "select h.uid as host, h.hostname as host_name, m.class as class, m.vendor_id as vendor_id,
            m.product_id as product_id, m.serial as serial, m.serial_genuine as serial_genuine,
            m.vendor as vendor, m.product as product, m.size_bytes as size_bytes, m.present as present,
            {time m.first_seen_at} as first_seen_at, m.first_seen_source as first_seen_source
            from host_medium m
            join host h on h.org_id = m.org_id and h.host_id = m.host_id
            where m.org_id = {org}",
    },
    View {
        name: "accounts",
        title: Text::new(
            "人が使える、または管理者であるローカルアカウント1件",
            "one row per local account that a person can use or that is an administrator",
        ),
        deep: false,
        text: "select h.uid as host, h.hostname as host_name, a.name as name, a.account_id as account_id,
            a.enabled as enabled, a.administrator as administrator, a.built_in as built_in
            from host_account a
            join host h on h.org_id = a.org_id and h.host_id = a.host_id
            where a.org_id = {org}",
    },
    View {
        name: "findings",
        title: Text::new(
            "機器と項目ごとの判定1件。unknown は合格でも不合格でもありません",
            "one row per control and machine; an outcome of unknown is neither pass nor fail",
        ),
        deep: false,
        text: "select h.uid as host, h.hostname as host_name, f.control as control,
            f.control_version as control_version, {outcome} as outcome, {message} as message,
            {time f.first_seen} as first_seen, {time coalesce(j.judged_at, f.last_seen)} as last_seen,
            {time f.resolved_at} as resolved_at, {time f.valid_until} as valid_until
            from finding f
            join host h on h.org_id = f.org_id and h.host_id = f.host_id
            left join judgement j on j.org_id = f.org_id and j.host_id = f.host_id
            left join due d on d.org_id = f.org_id and d.host_id = f.host_id
            where f.org_id = {org}",
    },
    View {
        name: "facts",
        title: Text::new(
            "現在の事実1件と、その取得状態",
            "one row per current fact, with its honest status",
        ),
        deep: true,
        text: "select h.uid as host, h.hostname as host_name, k.name as kind, f.status as status,
            {time f.collected_at} as collected_at, {time f.confirmed_at} as confirmed_at,
            {time f.observed_from} as since
            from host_fact f
            join kind k on k.kind_id = f.kind_id
            join host h on h.org_id = f.org_id and h.host_id = f.host_id
            where f.org_id = {org} and f.observed_to is null",
    },
];

/// What the engines write differently.
struct Dialect<'a> {
    /// The organisation's number, or the expression that finds it.
    org: &'a str,
    /// Milliseconds now.
    now: &'a str,
    /// Text of a time column.
    time: fn(&str) -> String,
}

impl View {
    /// Text for SQLite; the organisation's number and the moment stand in it.
    #[must_use]
    pub fn sqlite(&self, org: i64, now: Timestamp) -> String {
        let time = |column: &str| format!("strftime('%Y-%m-%dT%H:%M:%SZ', ({column}) / 1000, 'unixepoch')");
        let now = now.as_millisecond().to_string();
        expand(self.text, &Dialect { org: &org.to_string(), now: &now, time })
    }

    /// Text for PostgreSQL; `org` is the expression that finds the organisation of the session's role.
    #[must_use]
    pub fn postgres(&self, org: &str) -> String {
        let time = |column: &str| {
            format!(
                "to_char(to_timestamp(({column}) / 1000) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
            )
        };
        expand(self.text, &Dialect { org, now: "(extract(epoch from now()) * 1000)::bigint", time })
    }
}

fn expand(text: &str, dialect: &Dialect<'_>) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        let end = rest[start..].find('}').map_or(rest.len(), |offset| start + offset);
        let place = &rest[start + 1..end];
        match place.strip_prefix("time ") {
            Some(column) => out.push_str(&(dialect.time)(column)),
            None if place == "outcome" => out.push_str(&lapse::outcome(dialect.now)),
            None if place == "message" => {
                let judged_at = (dialect.time)("coalesce(j.judged_at, f.last_seen)");
                out.push_str(&lapse::message(dialect.now, &judged_at));
            }
            None => out.push_str(dialect.org),
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_limited_to_the_organisation_on_both_engines() {
        for view in ALL {
            let sqlite = view.sqlite(42, Timestamp::UNIX_EPOCH);
            assert!(sqlite.contains("org_id = 42"), "{}", view.name);
            assert!(view.postgres("own_org()").contains("org_id = own_org()"), "{}", view.name);
            assert!(!view.text.to_lowercase().contains("with "), "{}", view.name);
            let ours = sqlite.replace("'{\"code\"", "").replace("{\"judged_at\"", "");
            assert!(!ours.contains('{'), "{}", view.name);
        }
    }
}
