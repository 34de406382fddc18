-- Judging beside the writer.

-- basis: what the judgement rests on, by kind, so that the next one looks only at what changed (see
-- store/judgement.rs). full_at: when every control was judged last.
alter table judgement add column basis blob not null default x'';

alter table judgement add column full_at integer not null default 0;

-- How often the host was marked: a judgement is written only if no mark came since its facts were read.
alter table due add column marks integer not null default 0;
