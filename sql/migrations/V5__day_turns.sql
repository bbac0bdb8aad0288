create table day_turns (
    day date primary key,
    turned_at timestamptz not null default clock_timestamp(),
    rederived bigint not null default 0
);
comment on table day_turns is 'One row a local day whose turn was done. Its key lets exactly one process do each.';
comment on column day_turns.rederived is 'How many sources changed their delivery status at that turn.';

create function rederive_sources() returns bigint
    language plpgsql as $$
declare
    today date := public.local_date();
    changed bigint;
begin
    -- The trigger derives the value; the assignment only makes the row pass through it.
    update public.sources s
       set datadelivery_status = public.delivery_status(s.current_update, today)
     where s.datadelivery_status <> public.delivery_status(s.current_update, today);
    get diagnostics changed = row_count;
    return changed;
end
$$;
comment on function rederive_sources() is
    'Derives the delivery status again where the calendar has moved past it; returns how many rows changed. Cheap when none did.';

create function turn_day() returns boolean
    language plpgsql as $$
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
comment on function turn_day() is
    'Does what a new local day demands, once a day whoever calls and however often; true for the caller that did it.';
