-- Who may run which function, and with whose rights.
--
-- What a trigger function calls and writes is checked against the rights of the role that writes. So that
-- UPDATE on one table is enough for a role that updates only that table, trigger functions run as their
-- owner. Three rules keep that harmless:
-- * PUBLIC may not execute them, so nobody but the owner can attach one to another table.
-- * Each looks at the table it was attached to before it looks at a row: a table of somebody else may have
--   columns whose casts are that role's code.
-- * Names mean the same whatever the session's search_path is. A function that runs once a statement sets
--   search_path, which takes some microseconds. One that runs once a row names the schema of each function
--   and operator instead.

create function public.refuse_foreign_table(attached_to oid, variadic wanted text[]) returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    -- A partition or child of the table is part of it: only the table's owner can make one.
    if attached_to not in (
        with recursive parts (id) as (
            select name::regclass::oid from unnest(wanted) name
            union
            select inhrelid from pg_inherits join parts on inhparent = id
        )
        select id from parts)
    then
        raise insufficient_privilege using
            message = format('this trigger function is for %s, not for %s', array_to_string(wanted, ' and '), attached_to::regclass);
    end if;
end
$$;
comment on function public.refuse_foreign_table(oid, text[]) is
    'Raises an error when a trigger function that runs as its owner was attached to another table than the wanted ones or a part of them.';

create or replace function public.notify_change(channel text, op text, ids uuid[]) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    operation constant text := coalesce(to_json(op)::text, 'null');
    payload text := format('{"op":%s,"ids":null}', operation);
    named text;
begin
    -- An id takes 39 bytes: 205 of them never fit, so a long list is not even written out.
    if cardinality(ids) < 205 then
        named := format('{"op":%s,"ids":%s}', operation, array_to_json(ids));
        if octet_length(named) <= 7999 then
            payload := named;
        end if;
    end if;
    if octet_length(payload) > 7999 then
        payload := '{"op":null,"ids":null}';
    end if;
    -- LISTEN cuts a long name in the same way.
    perform pg_notify(channel::name::text, payload);
end
$$;
comment on function public.notify_change(text, text, uuid[]) is
    'Announces a change as {"op","ids"}. The ids are a hint about what to read again, never the data; null means read everything. A payload has 7999 bytes at most, so ids that do not fit are left out, as is an operation of that length: a user''s transaction must not fail because of a notification.';

create or replace function public.derive_source() returns trigger
    language plpgsql security definer as $$
declare
    -- Once a row, and a plain value where delivery_status is inlined.
    today pg_catalog.date := public.local_date();
begin
    if tg_relid operator(pg_catalog.<>) 'public.sources'::pg_catalog.regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.sources');
    end if;
    if tg_op operator(pg_catalog.=) 'UPDATE' and new.updated_at operator(pg_catalog.=) old.updated_at then
        new.updated_at := pg_catalog.clock_timestamp();
    end if;
    -- Not by way of timestamptz, as to_char(date) goes: some zones have skipped a day.
    new.next_status := coalesce(pg_catalog.to_char(new.next_update::pg_catalog.timestamp, 'YYYY-MM-DD'), 'unscheduled');
    new.datadelivery_status := public.delivery_status(new.current_update, today);
    return new;
end
$$;

create or replace function public.touch_pipeline_run() returns trigger
    language plpgsql as $$
begin
    if new.updated_at operator(pg_catalog.=) old.updated_at then
        new.updated_at := pg_catalog.clock_timestamp();
    end if;
    return new;
end
$$;

create or replace function public.note_pipeline_run_state() returns trigger
    language plpgsql security definer as $$
begin
    if tg_relid operator(pg_catalog.<>) 'public.pipeline_runs'::pg_catalog.regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.pipeline_runs');
    end if;
    insert into public.pipeline_run_states (run_id, state, step_id, reason)
    values (new.id, new.state, new.step_id, new.reason);
    return null;
end
$$;
comment on function public.note_pipeline_run_state() is
    'Writes the history of a run. It runs as its owner, so that whoever may insert a run needs no rights on the history.';

-- In these functions the ids are taken from the first rows of a statement only: 250 are more than a
-- notification holds, so notify_change leaves them out, and a statement of 100,000 rows costs no more.

create or replace function public.notify_sources() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ids uuid[];
    toggled boolean := false;
    recounted boolean := false;
    toggled_ids uuid[];
begin
    if tg_relid <> 'public.sources'::regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.sources');
    end if;
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('source_lib', 'truncate', null), public.notify_change('crud', 'truncate', null);
        return null;
    elsif tg_op = 'INSERT' then
        ids := array(select n.id from new_rows n limit 250);
    else
        ids := array(select o.id from old_rows o limit 250);
    end if;
    if ids = '{}' then
        return null;
    end if;
    if tg_op <> 'UPDATE' then
        perform public.notify_change('source_lib', lower(tg_op), ids), public.notify_change('crud', lower(tg_op), ids);
        return null;
    end if;

    if cardinality(ids) = 250 then
        -- No ids are named, so old and new rows need not be brought together, which is what a large
        -- update would wait for: it is enough that the sums over both sides differ. Each row's hash
        -- is keyed by its id, so that two rows that swap their values count as changed.
        ids := null;
        select o.status <> n.status, o.delivery <> n.delivery into toggled, recounted
          from (select bit_xor(hashtextextended(status, uuid_hash_extended(id, 0))) as status,
                       bit_xor(hashtextextended(datadelivery_status, uuid_hash_extended(id, 0))) as delivery
                  from old_rows) o,
               (select bit_xor(hashtextextended(status, uuid_hash_extended(id, 0))) as status,
                       bit_xor(hashtextextended(datadelivery_status, uuid_hash_extended(id, 0))) as delivery
                  from new_rows) n;
    else
        -- An update whose id itself changed counts as both ids.
        select array_agg(coalesce(n.id, o.id)),
               array_agg(coalesce(n.id, o.id)) filter (where o.status is distinct from n.status),
               coalesce(bool_or(o.datadelivery_status is distinct from n.datadelivery_status), false)
          into ids, toggled_ids, recounted
          from old_rows o full join new_rows n on o.id = n.id;
        toggled := toggled_ids is not null;
    end if;

    if toggled then
        perform public.notify_change('toggle', 'update', toggled_ids);
    end if;
    if toggled or recounted then
        perform public.notify_change('source_lib', 'update', ids);
    else
        perform public.notify_change('source', 'update', ids);
    end if;
    perform public.notify_change('crud', 'update', ids);
    return null;
end
$$;

create or replace function public.notify_pipeline_runs() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ids uuid[];
begin
    if tg_relid <> 'public.pipeline_runs'::regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.pipeline_runs');
    end if;
    if tg_op = 'DELETE' then
        ids := array(select o.id from old_rows o limit 250);
    elsif tg_op <> 'TRUNCATE' then
        ids := array(select n.id from new_rows n limit 250);
    end if;
    if ids is distinct from '{}' then
        perform public.notify_change('emr', lower(tg_op), ids), public.notify_change('lib', lower(tg_op), ids);
    end if;
    return null;
end
$$;

create or replace function public.notify_sessions() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ids uuid[];
begin
    if tg_relid <> 'public.sessions'::regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.sessions');
    end if;
    if tg_op <> 'TRUNCATE' then
        ids := array(select o.id from old_rows o limit 250);
    end if;
    if ids is distinct from '{}' then
        perform public.notify_change('session', lower(tg_op), ids);
    end if;
    return null;
end
$$;

create or replace function public.notify_users() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ids uuid[];
begin
    if tg_relid <> 'public.users'::regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.users');
    end if;
    if tg_op = 'DELETE' then
        ids := array(select o.id from old_rows o limit 250);
    elsif tg_op = 'UPDATE' then
        if exists (select from old_rows o join new_rows n using (id) where o.is_active <> n.is_active) then
            -- Who was switched off and on again must not be let in by what was opened before.
            delete from public.sessions s
             using old_rows o join new_rows n using (id)
             where s.user_id = o.id and o.is_active <> n.is_active;
        end if;
        ids := array(
            select o.id from old_rows o left join new_rows n using (id)
             where n.id is null or (n.role, n.is_active) is distinct from (o.role, o.is_active)
             limit 250);
    end if;
    if ids is distinct from '{}' then
        perform public.notify_change('account', lower(tg_op), ids);
    end if;
    return null;
end
$$;
comment on function public.notify_users() is
    'Announces on channel "account" whose role or standing changed, or who went, so that every node re-reads what their sockets may do. A sign-in or a new user announces nothing. It runs as its owner, so that whoever may disable a user needs no rights on sessions.';

create or replace function public.record_change() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    touched bigint;
    ids uuid[];
    change uuid := gen_random_uuid();
begin
    if tg_relid not in ('public.sources'::regclass, 'public.pipeline_runs'::regclass) then
        perform public.refuse_foreign_table(tg_relid, 'public.sources', 'public.pipeline_runs');
    end if;
    if tg_op = 'DELETE' then
        select count(*) into touched from old_rows;
        ids := array(select o.id from old_rows o limit 100);
    elsif tg_op <> 'TRUNCATE' then
        select count(*) into touched from new_rows;
        ids := array(select n.id from new_rows n limit 100);
    end if;
    if touched = 0 then
        return null;
    end if;
    insert into public.changes (id, table_name, operation, row_count, row_ids, username, role_name, application_name)
    values (
        change, tg_table_name, lower(tg_op), touched, coalesce(ids, '{}'),
        -- Any session may write any text of any length here; a user's name has 150 characters at most.
        left(nullif(current_setting('marketplace.user', true), ''), 150),
        -- Not current_user, which is the owner of this function here.
        coalesce(nullif(current_setting('role'), 'none'), session_user),
        current_setting('application_name')
    );
    perform public.notify_change('activity', 'insert', array[change]);
    return null;
end
$$;

-- Housekeeping never waits for a row and so never fails a user's transaction with a deadlock. A row that
-- somebody else has locked is derived when it is written; if that is rolled back, by the next run, within
-- ten minutes.
create or replace function public.rederive_sources() returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    today date := public.local_date();
    changed bigint;
begin
    -- The trigger derives the value; the assignment only makes the row pass through it.
    with stale as materialized (
        select id from public.sources
         where datadelivery_status <> public.delivery_status(current_update, today)
           for no key update skip locked)
    update public.sources s
       set datadelivery_status = public.delivery_status(s.current_update, today)
      from stale
     where s.id = stale.id;
    get diagnostics changed = row_count;
    return changed;
end
$$;
comment on function public.rederive_sources() is
    'Derives the delivery status again where the calendar has moved past it; returns how many rows changed. Cheap when none did. Leaves out rows that another transaction has locked.';

create or replace function public.turn_day() returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    today date := public.local_date();
    changed bigint;
begin
    insert into public.day_turns (day) values (today) on conflict (day) do nothing;
    if not found then
        return false;
    end if;
    changed := public.rederive_sources();
    update public.day_turns set rederived = changed where day = today;
    delete from public.day_turns where day < today - 400;
    -- The counts of the last 30 days move although no run was touched.
    perform public.notify_change('lib', 'update', null);
    return true;
end
$$;

create or replace function public.cancel_waiting_run(run uuid) returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- Whoever sends it holds this lock while noting that it is sent, so one of the two comes first.
    perform from public.pipeline_runs where id = run and state = 'requested' and step_id is null for update;
    if not found or exists (select from public.pipeline_submissions where run_id = run and sent_at is not null) then
        return false;
    end if;
    delete from public.pipeline_submissions where run_id = run;
    update public.pipeline_runs set state = 'CANCELLED', reason = 'cancelled before it was sent' where id = run;
    return true;
end
$$;

drop function public.max_notified_ids();

-- The predicate of an index is evaluated with the rights of the role that writes, so it calls no function.
drop index public.pipeline_runs_followed_idx;
create index pipeline_runs_followed_idx on public.pipeline_runs (created_at)
    where step_id is not null
      and not (state in ('COMPLETED', 'CANCELLED', 'FAILED', 'INTERRUPTED', 'refused', 'lost'));
comment on index public.pipeline_runs_followed_idx is
    'The runs that are followed at the cluster: those whose state pipeline_state_is_final() says is not final.';

revoke execute on function
    public.refuse_foreign_table(oid, text[]), public.delivery_status(date, date), public.derive_source(),
    public.touch_pipeline_run(), public.note_pipeline_run_state(), public.notify_sources(),
    public.notify_pipeline_runs(), public.notify_sessions(), public.notify_users(), public.record_change(),
    public.rederive_sources(), public.turn_day(), public.cancel_waiting_run(uuid), public.pipeline_state_is_final(text)
    from public;
-- local_date() and local_time_zone() stay everybody's: people write `current_update = local_date()`. So does
-- notify_change(), which can do no more than NOTIFY and which triggers of other tables call.

-- Rows that were written before. No update without a row: of a published table without a key PostgreSQL
-- refuses it also then.
do $$
begin
    if exists (select from public.sources
                where next_status <> coalesce(to_char(next_update::timestamp, 'YYYY-MM-DD'), 'unscheduled')) then
        update public.sources set updated_at = updated_at
         where next_status <> coalesce(to_char(next_update::timestamp, 'YYYY-MM-DD'), 'unscheduled');
    end if;
    if exists (select from public.changes where char_length(username) > 150) then
        update public.changes set username = left(username, 150) where char_length(username) > 150;
    end if;
end
$$;
