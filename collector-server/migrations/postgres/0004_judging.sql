-- Judging beside the writer.

-- basis: what the judgement rests on, by kind, so that the next one looks only at what changed (see
-- store/judgement.rs). full_at: when every control was judged last.
alter table judgement add column basis bytea not null default '';

alter table judgement add column full_at bigint not null default 0;

-- How often the host was marked: a judgement is written only if no mark came since its facts were read.
alter table due add column marks bigint not null default 0;
