-- People and programs that ask, what they changed, and prepared rows for host lists.

-- Log-in names of the whole installation (reference); what each may do stands in user_role.
create table app_user (
    user_name text not null primary key,
    password_hash text,
    created_at integer not null,
    disabled_at integer,
    last_login_at integer
);

create table user_role (
    org_id integer not null,
    user_name text not null,
    role text not null,
    primary key (org_id, user_name)
);

create index user_role_user_name on user_role (user_name);

-- Sessions of the console. secret_hash: SHA-256 of the cookie.
create table session (
    secret_hash text not null primary key,
    org_id integer not null,
    user_name text not null,
    created_at integer not null,
    last_seen_at integer not null,
    expires_at integer not null
);

create index session_user_name on session (user_name);

-- Links with which a user sets a password, once.
create table one_time_link (
    secret_hash text not null primary key,
    user_name text not null,
    created_at integer not null,
    expires_at integer not null,
    used_at integer
);

create table api_token (
    org_id integer not null,
    token_id text not null,
    secret_hash text not null,
    name text not null,
    role text not null,
    created_at integer not null,
    created_by text not null,
    expires_at integer,
    revoked_at integer,
    last_used_at integer,
    primary key (org_id, token_id)
);

create index api_token_secret_hash on api_token (secret_hash);

-- Every change by a person or program. Rows are only ever added.
create table audit_log (
    org_id integer not null,
    audit_id integer not null primary key autoincrement,
    at integer not null,
    actor text not null,
    action text not null,
    object text not null,
    detail text not null
);

create index audit_log_org_id on audit_log (org_id, audit_id);

create trigger audit_log_no_update before update on audit_log begin select raise(abort, 'audit_log is append-only'); end;

create trigger audit_log_no_delete before delete on audit_log begin select raise(abort, 'audit_log is append-only'); end;

-- What host lists show and filter by, beside the host row; rebuilt from the facts at any time.
create table host_summary (
    org_id integer not null,
    host_id integer not null,
    os_name text,
    os_version text,
    os_edition text,
    os_build text,
    maker text,
    model text,
    serial text,
    chassis text,
    virtualization text,
    address text,
    primary key (org_id, host_id)
) without rowid;

create index host_name on host (org_id, hostname, host_id);
