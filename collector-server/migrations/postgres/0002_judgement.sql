-- What was judged: findings with their continuity, exceptions, attestations, snapshots.

-- The last judgement of each host. bytes: compressed JSON of its findings with evidence; digest: of the
-- canonical JSON. history: compressed JSON of what earlier inventories showed. recorded_from: since when
-- these very findings stand. pinned: a snapshot names this judgement.
create table judgement (
    org_id bigint not null,
    host_id bigint not null,
    recorded_from bigint not null,
    judged_at bigint not null,
    policy_version bigint not null,
    catalog_version bigint not null,
    digest bytea not null,
    bytes bytea not null,
    history bytea not null,
    pinned bigint not null,
    primary key (org_id, host_id)
);

-- Earlier judgements that a snapshot names.
create table judgement_past (
    org_id bigint not null,
    host_id bigint not null,
    recorded_from bigint not null,
    recorded_to bigint not null,
    digest bytea not null,
    bytes bytea not null,
    primary key (org_id, host_id, recorded_from)
);

-- Findings as lists search them. Evidence: see judgement. last_seen: see judgement.judged_at, this column
-- is written only when something else changes.
create table finding (
    org_id bigint not null,
    host_id bigint not null,
    control text not null,
    control_version bigint not null,
    outcome text not null,
    message text not null,
    valid_until bigint,
    first_seen bigint not null,
    last_seen bigint not null,
    resolved_at bigint,
    primary key (org_id, host_id, control)
);

create index finding_control on finding (org_id, control, outcome, host_id);

-- Outcomes that ended.
create table finding_past (
    org_id bigint not null,
    host_id bigint not null,
    control text not null,
    first_seen bigint not null,
    ended_at bigint not null,
    control_version bigint not null,
    outcome text not null,
    message text not null,
    primary key (org_id, host_id, control, first_seen)
);

create table exception (
    org_id bigint not null,
    exception_id text not null,
    target text not null,
    control text not null,
    reason text not null,
    mitigation text not null,
    owner text not null,
    deadline bigint not null,
    created_at bigint not null,
    created_by text not null,
    removed_at bigint,
    removed_by text,
    primary key (org_id, exception_id)
);

-- What people state. Never changed; a later statement of a criterion replaces an earlier one.
create table attestation (
    org_id bigint not null,
    attestation_id text not null,
    criterion text not null,
    holds bigint not null,
    stated_by text not null,
    statement text not null,
    document text,
    stated_at bigint not null,
    next_review bigint not null,
    recorded_by text not null,
    primary key (org_id, attestation_id)
);

-- Snapshots, numbered from 1 within their organisation; never changed. jws: the signed header.
-- secret: from which the salts of its leaves derive. body: compressed JSON of policy, catalogue,
-- criteria, exceptions and attestations as they were. Facts are those of host_fact and observation at
-- (observed_at, recorded_at): rows that hold at such a moment are never collected.
create table snapshot (
    org_id bigint not null,
    number bigint not null,
    snapshot_id text not null,
    observed_at bigint not null,
    recorded_at bigint not null,
    digest bytea not null,
    jws text not null,
    secret bytea not null,
    body bytea not null,
    primary key (org_id, number)
);

create unique index snapshot_id on snapshot (org_id, snapshot_id);

-- Hosts of a snapshot: report and judgement it names, and its leaves as canonical JSON lines.
create table snapshot_host (
    org_id bigint not null,
    number bigint not null,
    host_id bigint not null,
    seq bigint not null,
    recorded_from bigint not null,
    leaf text not null,
    primary key (org_id, number, host_id)
);

create table snapshot_schedule (
    org_id bigint not null primary key,
    cron text not null,
    time_zone text not null,
    created_at bigint not null,
    created_by text not null,
    next_at bigint not null
);
