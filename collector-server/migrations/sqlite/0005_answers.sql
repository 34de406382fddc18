-- Ends of what people answered for, and where a user worked last.

-- An attestation ends when a person withdraws it; it stays on record.
alter table attestation add column ended_at integer;

alter table attestation add column ended_by text;

alter table attestation add column end_reason text;

alter table exception add column remove_reason text;

-- Organisation of the last session.
alter table app_user add column last_org_id integer;
