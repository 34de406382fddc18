-- What was judged: findings with their continuity, exceptions, attestations, snapshots.

-- The last judgement of each host. bytes: compressed JSON of its findings with evidence; digest: of the
-- canonical JSON. history: compressed JSON of what earlier inventories showed. recorded_from: since when
-- these very findings stand. pinned: a snapshot names this judgement.
create table judgement (
    org_id integer not null,
    host_id integer not null,
    recorded_from integer not null,
    judged_at integer not null,
    policy_version integer not null,
    catalog_version integer not null,
    digest blob not null,
    bytes blob not null,
    history blob not null,
    pinned integer not null,
    primary key (org_id, host_id)
);

-- Earlier judgements that a snapshot names.
create table judgement_past (
    org_id integer not null,
    host_id integer not null,
    recorded_from integer not null,
    recorded_to integer not null,
    digest blob not null,
    bytes blob not null,
    primary key (org_id, host_id, recorded_from)
);

-- Findings as lists search them. Evidence: see judgement. last_seen: see judgement.judged_at, this column
-- is written only when something else changes.
create table finding (
    org_id integer not null,
    host_id integer not null,
    control text not null,
    control_version integer not null,
    outcome text not null,
    message text not null,
    valid_until integer,
    first_seen integer not null,
    last_seen integer not null,
    resolved_at integer,
    primary key (org_id, host_id, control)
) without rowid;

create index finding_control on finding (org_id, control, outcome, host_id);

-- Outcomes that ended.
create table finding_past (
    org_id integer not null,
    host_id integer not null,
    control text not null,
    first_seen integer not null,
    ended_at integer not null,
    control_version integer not null,
    outcome text not null,
    message text not null,
    primary key (org_id, host_id, control, first_seen)
) without rowid;

create table exception (
    org_id integer not null,
    exception_id text not null,
    target text not null,
    control text not null,
    reason text not null,
    mitigation text not null,
    owner text not null,
    deadline integer not null,
    created_at integer not null,
    created_by text not null,
    removed_at integer,
    removed_by text,
    primary key (org_id, exception_id)
);

-- What people state. Never changed; a later statement of a criterion replaces an earlier one.
create table attestation (
    org_id integer not null,
    attestation_id text not null,
    criterion text not null,
    holds integer not null,
    stated_by text not null,
    statement text not null,
    document text,
    stated_at integer not null,
    next_review integer not null,
    recorded_by text not null,
    primary key (org_id, attestation_id)
);

-- Snapshots, numbered from 1 within their organisation; never changed. jws: the signed header.
-- secret: from which the salts of its leaves derive. body: compressed JSON of policy, catalogue,
-- criteria, exceptions and attestations as they were. Facts are those of host_fact and observation at
-- (observed_at, recorded_at): rows that hold at such a moment are never collected.
create table snapshot (
    org_id integer not null,
    number integer not null,
    snapshot_id text not null,
    observed_at integer not null,
    recorded_at integer not null,
    digest blob not null,
    jws text not null,
    secret blob not null,
    body blob not null,
    primary key (org_id, number)
);

create unique index snapshot_id on snapshot (org_id, snapshot_id);

-- Hosts of a snapshot: report and judgement it names, and its leaves as canonical JSON lines.
create table snapshot_host (
    org_id integer not null,
    number integer not null,
    host_id integer not null,
    seq integer not null,
    recorded_from integer not null,
    leaf text not null,
    primary key (org_id, number, host_id)
) without rowid;

create table snapshot_schedule (
    org_id integer not null primary key,
    cron text not null,
    time_zone text not null,
    created_at integer not null,
    created_by text not null,
    next_at integer not null
);
