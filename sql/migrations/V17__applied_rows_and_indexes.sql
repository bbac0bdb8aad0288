-- Rows that logical replication applies. Statement triggers do not fire for them, row triggers that are
-- "enable always" do.

create function public.notify_applied_row() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- Counts the rows of this transaction and table that were named. -1: all rows are announced already;
    -- -2: nothing may be announced.
    counter constant text := 'marketplace.applied_' || tg_argv[0];
    named integer := coalesce(nullif(current_setting(counter, true), ''), '0');
    ids uuid[];
    operation constant text := lower(tg_op);
begin
    if tg_relid not in ('public.sources'::regclass, 'public.pipeline_runs'::regclass, 'public.sessions'::regclass, 'public.users'::regclass) then
        perform public.refuse_foreign_table(tg_relid, 'public.sources', 'public.pipeline_runs', 'public.sessions', 'public.users');
    end if;
    -- Nested, because a condition may name only columns that the table at hand has.
    if tg_argv[0] = 'users' and tg_op = 'UPDATE' then
        if (old.id, old.role, old.is_active) = (new.id, new.role, new.is_active) then
            return null;
        end if;
    end if;
    -- A transaction that has notified cannot be prepared, so a subscription with two_phase would stop.
    if named = 0 and exists (
        select from pg_subscription join pg_database on pg_database.oid = subdbid
         where datname = current_database() and subtwophasestate <> 'd')
    then
        named := -2;
        perform set_config(counter, '-2', true);
    end if;
    if named = -2 then
        return null;
    end if;
    if tg_argv[0] = 'users' and tg_op = 'UPDATE' then
        if old.is_active <> new.is_active then
            delete from public.sessions where user_id = new.id;
        end if;
    end if;
    if named = -1 then
        return null;
    end if;
    -- A large transaction names its first rows, and then all rows at once.
    if named < 100 then
        ids := array(select distinct id from unnest(array[old.id, new.id]) id where id is not null);
        perform set_config(counter, (named + 1)::text, true);
    else
        perform set_config(counter, '-1', true);
    end if;

    if tg_argv[0] = 'pipeline_runs' then
        perform public.notify_change('emr', operation, ids), public.notify_change('lib', operation, ids);
    elsif tg_argv[0] = 'sessions' then
        perform public.notify_change('session', operation, ids);
    elsif tg_argv[0] = 'users' then
        perform public.notify_change('account', operation, ids);
    elsif ids is null or tg_op <> 'UPDATE' or old.id <> new.id then
        if ids is null or tg_op = 'UPDATE' then
            perform public.notify_change('toggle', 'update', ids);
        end if;
        perform public.notify_change('source_lib', operation, ids), public.notify_change('crud', operation, ids);
    else
        if old.status <> new.status then
            perform public.notify_change('toggle', 'update', ids);
        end if;
        if (old.status, old.datadelivery_status, old.created_at) <> (new.status, new.datadelivery_status, new.created_at) then
            perform public.notify_change('source_lib', 'update', ids);
        else
            perform public.notify_change('source', 'update', ids);
        end if;
        perform public.notify_change('crud', 'update', ids);
    end if;
    return null;
end
$$;
comment on function public.notify_applied_row() is
    'Announces a row that logical replication has applied, on the channels of its table. Says nothing in a database that has a subscription with two_phase.';
revoke execute on function public.notify_applied_row() from public;

-- The worker that applies rows has no query of a client; every session that sends statements has one, and there
-- the triggers of its statements announce them.
create trigger sources_applied after insert or update or delete on public.sources
    for each row when (current_setting('session_replication_role') = 'replica' and current_query() is null)
    execute function public.notify_applied_row('sources');
create trigger pipeline_runs_applied after insert or update or delete on public.pipeline_runs
    for each row when (current_setting('session_replication_role') = 'replica' and current_query() is null)
    execute function public.notify_applied_row('pipeline_runs');
create trigger sessions_applied after update or delete on public.sessions
    for each row when (current_setting('session_replication_role') = 'replica' and current_query() is null)
    execute function public.notify_applied_row('sessions');
create trigger users_applied after update or delete on public.users
    for each row when (current_setting('session_replication_role') = 'replica' and current_query() is null)
    execute function public.notify_applied_row('users');
alter table public.sources enable always trigger sources_applied;
alter table public.pipeline_runs enable always trigger pipeline_runs_applied;
alter table public.sessions enable always trigger sessions_applied;
alter table public.users enable always trigger users_applied;

-- Statements that read all of a table to find a few of its rows.

create index pipeline_runs_state_idx on public.pipeline_runs (state, created_at desc);
create index pipeline_submissions_claimed_until_idx on public.pipeline_submissions (claimed_until);
create index users_admins_idx on public.users (id) where role = 'admin' and is_active;
comment on index public.users_admins_idx is 'Finds who may manage users, of whom one must remain.';
