-- API tokens that may change what concerns every organisation.
alter table api_token add column everywhere integer not null default 0;
