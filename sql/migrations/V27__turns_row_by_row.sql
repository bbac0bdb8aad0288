-- One row never keeps the day from turning for the others: a row whose values cannot be derived keeps what it
-- has, and one that the database refuses to write is left out.

create or replace function public.derive_source() returns trigger
    language plpgsql security definer as $$
declare
    -- Once a row, and a plain value where delivery_status is inlined.
    today pg_catalog.date := public.local_date();
begin
    if tg_relid operator(pg_catalog.<>) 'public.sources'::pg_catalog.regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.sources'::pg_catalog.text);
    end if;
    if tg_op operator(pg_catalog.=) 'UPDATE' and new.updated_at operator(pg_catalog.=) old.updated_at then
        new.updated_at := pg_catalog.clock_timestamp();
    end if;
    if new.next_update is null then
        new.next_status := 'unscheduled';
    -- A date beyond these is refused by a constraint, unless somebody has dropped that.
    elsif new.next_update operator(pg_catalog.>=) '0001-01-01'::pg_catalog.date
        and new.next_update operator(pg_catalog.<=) '9999-12-31'::pg_catalog.date
    then
        -- Not by way of timestamptz, as to_char(date) goes: some zones have skipped a day.
        new.next_status := pg_catalog.to_char(new.next_update::pg_catalog.timestamp, 'YYYY-MM-DD'::pg_catalog.text);
    end if;
    new.datadelivery_status := public.delivery_status(new.current_update, today);
    return new;
end
$$;
comment on function public.derive_source() is
    'Keeps the derived columns and updated_at right, whoever writes. A next_update that no text can show leaves next_status as it is.';

create or replace function public.rederive_sources() returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp as $$
-- Somebody may give the table a column of one of these names.
#variable_conflict use_variable
declare
    today constant date := public.local_date();
    ids constant uuid[] := array(
        select s.id from public.sources s
         where s.datadelivery_status <> public.delivery_status(s.current_update, today)
           for no key update skip locked);
    next_one int := 1;
    how_many int := cardinality(ids);
    rows_now bigint;
    changed bigint := 0;
begin
    -- All in one statement, so that they are announced once. When a row in there is refused, half of them,
    -- and so on down to the row itself, which is left out; from there on twice as many each time.
    while next_one <= cardinality(ids) loop
        begin
            -- The trigger derives the value; the assignment only makes the row pass through it.
            update public.sources s
               set datadelivery_status = public.delivery_status(s.current_update, today)
             where s.id = any (ids[next_one : next_one + how_many - 1]);
            get diagnostics rows_now = row_count;
            changed := changed + rows_now;
            next_one := next_one + how_many;
            how_many := least(how_many * 2, cardinality(ids));
        exception when data_exception or integrity_constraint_violation or raise_exception then
            if how_many = 1 then
                raise warning 'sources: the delivery status of the row % cannot be derived: %', ids[next_one], sqlerrm;
                next_one := next_one + 1;
            else
                how_many := how_many / 2;
            end if;
        end;
    end loop;
    return changed;
end
$$;
comment on function public.rederive_sources() is
    'Derives the delivery status again where the calendar has moved past it; returns how many rows changed. Cheap when none did. Leaves out rows that another transaction has locked, and rows that the database refuses to write.';

create or replace function public.turn_day() returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    today constant date := public.local_date();
    changed bigint;
begin
    -- Not an advisory lock: any role that can connect can hold one of those.
    begin
        lock table public.day_turns in share update exclusive mode nowait;
    exception when lock_not_available then
        return false;
    end;
    insert into public.day_turns (day) values (today) on conflict (day) do nothing;
    if not found then
        return false;
    end if;
    changed := public.rederive_sources();
    update public.day_turns t set rederived = changed where t.day = today;
    delete from public.day_turns t where t.day < today - 400;
    -- The counts of the last 30 days move although no run was touched.
    perform public.notify_change('lib'::text, 'update'::text, null::uuid[]);
    return true;
end
$$;
