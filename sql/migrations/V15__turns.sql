-- Servers that ask while another one turns the day go on at once: they do not wait for its transaction,
-- which on a large table would take longer than they wait for any lock.
create or replace function public.turn_day() returns boolean
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    today date := public.local_date();
    changed bigint;
begin
    if not pg_try_advisory_xact_lock('public.day_turns'::regclass::bigint) then
        return false;
    end if;
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
comment on function public.turn_day() is
    'Does what a new local day demands, once a day whoever calls and however often; true for the caller that did it. False at once while another one does it; if that fails, a later call does it.';
