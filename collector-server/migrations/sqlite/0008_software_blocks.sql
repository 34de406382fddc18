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
