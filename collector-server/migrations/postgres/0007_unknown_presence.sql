-- Whether a medium is plugged in may be unknown (null). Of the rows so far, 0 stood for both.
alter table host_medium alter column present drop not null;

update host_medium set present = null where present = 0;
