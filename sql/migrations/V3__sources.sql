create table sources (
    id uuid primary key default gen_random_uuid(),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp() + interval '1 microsecond',
    created_by varchar(255) not null default current_user,
    country varchar(255) not null default '',
    data_vendor varchar(255) not null default '',
    panel varchar(255) not null default '',
    panel_group varchar(255) not null default 'DKM',
    scope_of_subscription varchar(255) not null default '',
    data_type varchar(255) not null default '',
    granularity varchar(255) not null default 'National',
    end_date date,
    current_update date,
    next_update date,
    next_status varchar(50) not null default 'unscheduled',
    datadelivery_status varchar(50) not null default 'delayed',
    data_upload text,
    status varchar(50) not null default 'active',
    constraint sources_created_at_finite check (isfinite(created_at)),
    constraint sources_updated_at_finite check (isfinite(updated_at)),
    constraint sources_end_date_range check (end_date between '0001-01-01' and '9999-12-31'),
    constraint sources_current_update_range check (current_update between '0001-01-01' and '9999-12-31'),
    constraint sources_next_update_range check (next_update between '0001-01-01' and '9999-12-31')
);
comment on table sources is 'The catalogue of data sources. Safe to edit by hand: defaults, checks, derived columns and notifications all live here.';
comment on column sources.created_at is 'When the row came to be; lists are sorted by it, newest first.';
comment on column sources.updated_at is 'Set on every update, unless the statement sets it. Later than created_at from the start.';
comment on column sources.created_by is 'Who added the source: the name given in the form, or the database role of a direct insert.';
comment on column sources.end_date is 'Last day of the subscription; null when open.';
comment on column sources.current_update is 'Day of the delivery that is due or was last made; null when none is known.';
comment on column sources.next_update is 'Day of the next delivery; null while unscheduled.';
comment on column sources.next_status is 'Derived: next_update as an ISO date, or "unscheduled". What a statement writes here is overwritten.';
comment on column sources.datadelivery_status is 'Derived from current_update and the local date: awaiting (after today), received (today), delayed (before today, or null). What a statement writes here is overwritten.';
comment on column sources.data_upload is 'Object key of the uploaded file; null when there is none.';
comment on column sources.status is '"active" and "inactive" are toggled and counted; any other text is kept and counted nowhere.';
create index sources_created_at_idx on sources (created_at desc, id);

create function delivery_status(current_update date, today date) returns text
    language sql immutable parallel safe
    return case when current_update > today then 'awaiting' when current_update = today then 'received' else 'delayed' end;
comment on function delivery_status(date, date) is 'Where a delivery stands on a given day.';

create function derive_source() returns trigger
    language plpgsql as $$
declare
    -- Once a row, and a plain value where delivery_status is inlined.
    today date := public.local_date();
begin
    if tg_op = 'UPDATE' and new.updated_at = old.updated_at then
        new.updated_at := clock_timestamp();
    end if;
    new.next_status := coalesce(to_char(new.next_update, 'YYYY-MM-DD'), 'unscheduled');
    new.datadelivery_status := public.delivery_status(new.current_update, today);
    return new;
end
$$;
comment on function derive_source() is 'Keeps the derived columns and updated_at right, whoever writes.';

create trigger sources_derived before insert or update on sources
    for each row execute function derive_source();
alter table sources enable always trigger sources_derived;

create function notify_sources() returns trigger
    language plpgsql as $$
declare
    touched bigint;
    toggled bigint := 0;
    recounted bigint := 0;
    ids uuid[];
    toggled_ids uuid[];
begin
    -- One statement, one pass over its rows. An update whose id itself changed counts as both ids.
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('source_lib', 'truncate', null), public.notify_change('crud', 'truncate', null);
        return null;
    elsif tg_op = 'INSERT' then
        select count(*) into touched from new_rows;
    elsif tg_op = 'DELETE' then
        select count(*) into touched from old_rows;
    else
        select count(*),
               count(*) filter (where o.status is distinct from n.status),
               count(*) filter (where o.datadelivery_status is distinct from n.datadelivery_status)
          into touched, toggled, recounted
          from old_rows o full join new_rows n on o.id = n.id;
    end if;
    if touched = 0 then
        return null;
    end if;

    if touched <= public.max_notified_ids() then
        if tg_op = 'INSERT' then
            select array_agg(n.id) into ids from new_rows n;
        elsif tg_op = 'DELETE' then
            select array_agg(o.id) into ids from old_rows o;
        else
            select array_agg(coalesce(n.id, o.id)) into ids from old_rows o full join new_rows n on o.id = n.id;
        end if;
    end if;
    if tg_op <> 'UPDATE' then
        perform public.notify_change('source_lib', lower(tg_op), ids), public.notify_change('crud', lower(tg_op), ids);
        return null;
    end if;
    if toggled > 0 then
        if toggled <= public.max_notified_ids() then
            select array_agg(coalesce(n.id, o.id)) into toggled_ids
              from old_rows o full join new_rows n on o.id = n.id
             where o.status is distinct from n.status;
        end if;
        perform public.notify_change('toggle', 'update', toggled_ids);
    end if;
    if toggled > 0 or recounted > 0 then
        perform public.notify_change('source_lib', 'update', ids);
    else
        perform public.notify_change('source', 'update', ids);
    end if;
    perform public.notify_change('crud', 'update', ids);
    return null;
end
$$;
comment on function notify_sources() is
    'Announces a statement on sources: always on "crud"; on "toggle" when a status changed; on "source_lib" when a Data Library count may have moved, else on "source". One notification a channel, none for zero rows. "crud" is the last: who hears it has heard the others.';

create trigger sources_inserted after insert on sources
    referencing new table as new_rows
    for each statement execute function notify_sources();
create trigger sources_updated after update on sources
    referencing old table as old_rows new table as new_rows
    for each statement execute function notify_sources();
create trigger sources_deleted after delete on sources
    referencing old table as old_rows
    for each statement execute function notify_sources();
create trigger sources_truncated after truncate on sources
    for each statement execute function notify_sources();
alter table sources enable always trigger sources_inserted;
alter table sources enable always trigger sources_updated;
alter table sources enable always trigger sources_deleted;
alter table sources enable always trigger sources_truncated;
