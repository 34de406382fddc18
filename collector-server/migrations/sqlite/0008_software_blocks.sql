-- Installed software as search rows in blocks of 32 machines: a report touches the few pages of its block, not
-- one page of every title, and one order serves both directions (decision 0090).

-- Blocks that have rows, so that a search by title can go from block to block. block: host_id / 32.
create table host_block (
    org_id integer not null,
    block integer not null,
    primary key (org_id, block)
) without rowid;

create table host_software_blocks (
    org_id integer not null,
    block integer not null,
    title_id integer not null,
    host_id integer not null,
    user_name text not null,
    installed_at integer,
    primary key (org_id, block, title_id, host_id, user_name)
) without rowid;

insert into host_software_blocks
    select org_id, host_id / 32, title_id, host_id, user_name, installed_at from host_software
    order by org_id, host_id / 32, title_id, host_id, user_name;

insert into host_block select distinct org_id, block from host_software_blocks;

drop table host_software;

alter table host_software_blocks rename to host_software;

-- How large a large fleet is, for the planner: it knows no sizes of its own and would begin with every row of an
-- organisation.
analyze host_block;

delete from sqlite_stat1 where tbl = 'host_block';

insert into sqlite_stat1 (tbl, idx, stat) values
    ('host_block', 'host_block', '313 313 1'),
    ('host_software', 'host_software', '7000000 7000000 22400 24 1 1'),
    ('software_title', 'software_title_name', '100000 3'),
    ('host', 'sqlite_autoindex_host_1', '10000 10000 1'),
    ('host', 'host_uid', '10000 10000 1'),
    ('host', 'host_name', '10000 10000 1 1'),
    ('finding', 'finding', '310000 310000 31 1'),
    ('finding', 'finding_control', '310000 310000 10000 2500 1');

analyze sqlite_schema;
