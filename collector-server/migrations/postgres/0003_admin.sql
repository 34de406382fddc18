-- People and programs that ask, what they changed, and prepared rows for host lists.

-- Log-in names of the whole installation (reference); what each may do stands in user_role.
create table app_user (
    user_name text not null primary key,
    password_hash text,
    created_at bigint not null,
    disabled_at bigint,
    last_login_at bigint
);

create table user_role (
    org_id bigint not null,
    user_name text not null,
    role text not null,
    primary key (org_id, user_name)
);

create index user_role_user_name on user_role (user_name);

-- Sessions of the console. secret_hash: SHA-256 of the cookie.
create table session (
    secret_hash text not null primary key,
    org_id bigint not null,
    user_name text not null,
    created_at bigint not null,
    last_seen_at bigint not null,
    expires_at bigint not null
);

create index session_user_name on session (user_name);

-- Links with which a user sets a password, once.
create table one_time_link (
    secret_hash text not null primary key,
    user_name text not null,
    created_at bigint not null,
    expires_at bigint not null,
    used_at bigint
);

create table api_token (
    org_id bigint not null,
    token_id text not null,
    secret_hash text not null,
    name text not null,
    role text not null,
    created_at bigint not null,
    created_by text not null,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint,
    primary key (org_id, token_id)
);

create index api_token_secret_hash on api_token (secret_hash);

-- Every change by a person or program. Rows are only ever added.
create table audit_log (
    org_id bigint not null,
    audit_id bigint not null generated always as identity,
    at bigint not null,
    actor text not null,
    action text not null,
    object text not null,
    detail text not null,
    primary key (org_id, audit_id)
);

create function audit_log_refuse() returns trigger language plpgsql as $$ begin raise exception 'audit_log is append-only'; end $$;

create trigger audit_log_no_update before update on audit_log for each row execute function audit_log_refuse();

create trigger audit_log_no_delete before delete on audit_log for each row execute function audit_log_refuse();

create trigger audit_log_no_truncate before truncate on audit_log for each statement execute function audit_log_refuse();

-- What host lists show and filter by, beside the host row; rebuilt from the facts at any time.
create table host_summary (
    org_id bigint not null,
    host_id bigint not null,
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
);

create index host_name on host (org_id, hostname, host_id);
