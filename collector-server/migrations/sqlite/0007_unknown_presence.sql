-- Whether a medium is plugged in may be unknown (null). Of the rows so far, 0 stood for both.
create table host_medium_new (
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
    present integer,
    first_seen_at integer,
    first_seen_source text,
    primary key (org_id, host_id, position)
) without rowid;

insert into host_medium_new
    select org_id, host_id, position, class, vendor_id, product_id, serial, serial_genuine, vendor, product,
        size_bytes, nullif(present, 0), first_seen_at, first_seen_source
    from host_medium;

drop table host_medium;

alter table host_medium_new rename to host_medium;

create index host_medium_serial on host_medium (org_id, serial);
