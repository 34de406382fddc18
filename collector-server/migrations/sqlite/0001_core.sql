-- Organisations, hosts and their keys, chains, facts on two time axes, software rows, policy, jobs.
-- Times are milliseconds since 1970 (UTC), truth values 0 and 1. Every key begins with the organisation,
-- shared titles and kind names are reference tables that belong to nobody.

create table org (
    org_id integer not null primary key,
    slug text not null,
    name text not null,
    next_host integer not null,
    created_at integer not null
);

create unique index org_slug on org (slug);

-- One managed machine. host_id is the store's own number; uid is the id that everybody else sees.
create table host (
    org_id integer not null,
    host_id integer not null,
    uid text not null,
    state text not null,
    ephemeral integer not null,
    cloned_from text,
    hostname text not null,
    group_name text,
    labels text not null,
    os_family text,
    serial text,
    print text,
    agent_version text,
    token_id text,
    enrolled_at integer not null,
    state_at integer not null,
    state_by text not null,
    primary key (org_id, host_id)
);

create unique index host_uid on host (org_id, uid);

create table host_key (
    org_id integer not null,
    host_id integer not null,
    kid text not null,
    public_key blob not null,
    state text not null,
    created_at integer not null,
    ended_at integer,
    primary key (org_id, host_id, kid)
);

create index host_key_kid on host_key (kid);

-- Head of a host's chain of reports. recent: packed sequence numbers and digests, newest last.
-- confirmed: JSON of kinds confirmed at another time than confirmed_at (observed axis).
create table host_chain (
    org_id integer not null,
    host_id integer not null,
    head_seq integer not null,
    head blob,
    root blob,
    recent blob not null,
    print text,
    offset_ms integer not null,
    first_report_at integer,
    last_report_at integer,
    confirmed_at integer,
    confirmed text not null,
    reports integer not null,
    primary key (org_id, host_id)
);

-- Signed manifests (compact JWS) as evidence. Rows with keep = 0 are replaced by the next report.
create table report (
    org_id integer not null,
    host_id integer not null,
    seq integer not null,
    digest blob not null,
    received_at integer not null,
    created_at integer not null,
    offset_ms integer not null,
    keep integer not null,
    manifest blob not null,
    primary key (org_id, host_id, seq)
);

-- Runs of reports without a gap of more than a day, on both axes.
create table host_presence (
    org_id integer not null,
    host_id integer not null,
    recorded_from integer not null,
    recorded_to integer not null,
    observed_from integer not null,
    observed_to integer not null,
    primary key (org_id, host_id, recorded_from)
) without rowid;

-- Breaks of the chain with their cause, drops, re-admissions, and what agents report as events.
create table host_event (
    org_id integer not null,
    host_id integer not null,
    recorded_at integer not null,
    position integer not null,
    observed_at integer not null,
    seq integer not null,
    kind text not null,
    data text not null,
    primary key (org_id, host_id, recorded_at, position)
) without rowid;

-- Names of fact kinds (reference).
create table kind (
    kind_id integer not null primary key,
    name text not null
);

create unique index kind_name on kind (name);

-- Contents of facts. encoding: see store/fact/body.rs.
create table fact_body (
    org_id integer not null,
    host_id integer not null,
    kind_id integer not null,
    digest blob not null,
    encoding integer not null,
    base blob,
    bytes blob not null,
    primary key (org_id, host_id, kind_id, digest)
);

-- What a host's fact was, on two axes: observed (host time corrected) and recorded (collector time).
-- A row holds at (observed t, recorded r) when it began by then on both axes and had not ended, or its
-- end was not yet known at r; of several the one that began last on the observed axis.
create table host_fact (
    org_id integer not null,
    host_id integer not null,
    kind_id integer not null,
    observed_from integer not null,
    recorded_from integer not null,
    observed_to integer,
    recorded_to integer,
    confirmed_at integer not null,
    collected_at integer not null,
    digest blob not null,
    status text not null,
    primary key (org_id, host_id, kind_id, observed_from, recorded_from)
) without rowid;

-- Packed time series of the *_observed kinds: closed versions, newest chunk still growing.
create table observation (
    org_id integer not null,
    host_id integer not null,
    kind_id integer not null,
    observed_from integer not null,
    observed_to integer not null,
    points integer not null,
    bytes blob not null,
    primary key (org_id, host_id, kind_id, observed_from)
);

-- Software titles (reference, shared by all organisations; names no host).
create table software_title (
    title_id integer not null primary key,
    digest blob not null,
    name text not null,
    version text not null,
    arch text,
    vendor text,
    source text not null,
    scope text not null,
    source_package text
);

create unique index software_title_digest on software_title (digest);

create index software_title_name on software_title (name);

-- Software now installed. installed_at: seconds since 1970.
create table host_software (
    org_id integer not null,
    host_id integer not null,
    title_id integer not null,
    user_name text not null,
    installed_at integer,
    primary key (org_id, host_id, title_id, user_name)
) without rowid;

create index host_software_title on host_software (org_id, title_id);

-- Search projections of current facts; rebuilt from the facts at any time.
create table host_update (
    org_id integer not null,
    host_id integer not null,
    position integer not null,
    update_id text not null,
    title text,
    package text,
    installed text,
    candidate text,
    origin text,
    class text,
    security integer,
    severity text,
    cvss text,
    released_at integer,
    held integer not null,
    primary key (org_id, host_id, position)
) without rowid;

create index host_update_package on host_update (org_id, package);

create table host_backup (
    org_id integer not null,
    host_id integer not null,
    position integer not null,
    product text not null,
    name text not null,
    role text not null,
    last_success integer,
    result text,
    copies integer,
    oldest_copy integer,
    size_bytes integer,
    destination text,
    destination_class text,
    encrypted integer,
    evidence text not null,
    primary key (org_id, host_id, position)
) without rowid;

create table host_medium (
    org_id integer not null,
    host_id integer not null,
    position integer not null,
    class text not null,
    vendor_id text,
    product_id text,
    serial text,
    serial_genuine integer not null,
    vendor text,
    product text,
    size_bytes integer,
    present integer not null,
    first_seen_at integer,
    first_seen_source text,
    primary key (org_id, host_id, position)
) without rowid;

create index host_medium_serial on host_medium (org_id, serial);

create table host_account (
    org_id integer not null,
    host_id integer not null,
    position integer not null,
    name text not null,
    account_id text not null,
    enabled integer,
    administrator integer,
    built_in integer not null,
    primary key (org_id, host_id, position)
) without rowid;

-- Hosts to be judged again, and when.
create table due (
    org_id integer not null,
    host_id integer not null,
    due_at integer not null,
    reason text not null,
    primary key (org_id, host_id)
) without rowid;

create index due_due_at on due (due_at);

create table enrol_token (
    org_id integer not null,
    token_id text not null,
    secret_hash blob not null,
    label text not null,
    group_name text,
    class text not null,
    address_range text,
    created_at integer not null,
    created_by text not null,
    expires_at integer not null,
    max_uses integer not null,
    uses integer not null,
    revoked_at integer,
    primary key (org_id, token_id)
);

create index enrol_token_secret_hash on enrol_token (secret_hash);

create table policy (
    org_id integer not null,
    version integer not null,
    document text not null,
    created_at integer not null,
    created_by text not null,
    primary key (org_id, version)
);

-- Dated outside data (end of support ...), newest version in use.
create table catalog (
    name text not null,
    version integer not null,
    document blob not null,
    created_at integer not null,
    created_by text not null,
    primary key (name, version)
);

-- The collector's own keys and certificates. purpose: sign, ca, tls.
create table collector_key (
    key_id text not null primary key,
    purpose text not null,
    state text not null,
    private_key blob not null,
    certificate text,
    created_at integer not null,
    active_from integer not null,
    retired_at integer
);

-- Settings of the whole installation that the programs keep for themselves.
create table setting (
    name text not null primary key,
    value text not null
);

-- Company ledger, to confirm hosts by serial or name and to find machines that are not covered.
create table ledger (
    org_id integer not null,
    asset_id text not null,
    hostname text,
    serial text,
    data text not null,
    imported_at integer not null,
    primary key (org_id, asset_id)
);

create index ledger_serial on ledger (org_id, serial);

-- Leases of periodic work: one collector at a time does a job.
create table job (
    name text not null primary key,
    holder text,
    lease_until integer not null,
    last_run_at integer
);
