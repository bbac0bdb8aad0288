create table changes (
    id uuid primary key default gen_random_uuid(),
    at timestamptz not null default clock_timestamp(),
    table_name text not null,
    operation text not null,
    row_count bigint,
    row_ids uuid[] not null default '{}',
    username text,
    role_name text not null,
    application_name text not null
);
comment on table changes is 'Which statements changed sources and pipeline_runs, and whose: one row a statement, also for 100,000 rows. For people to look at, kept for 30 days; no proof against somebody who may write here.';
comment on column changes.operation is 'insert, update, delete or truncate.';
comment on column changes.row_count is 'How many rows; null for truncate, which does not count them.';
comment on column changes.row_ids is 'The first 100 of them.';
comment on column changes.username is 'The signed-in user for whom the server wrote; null for a direct edit. It is what the session says of itself in marketplace.user.';
comment on column changes.role_name is 'The database role that the statement ran as.';
comment on column changes.application_name is 'As the client calls itself: psql, marketplace, ...';
create index changes_at_idx on changes (at desc);

create function record_change() returns trigger
    language plpgsql security definer set search_path = '' as $$
declare
    touched bigint;
    ids uuid[];
    change uuid := gen_random_uuid();
begin
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
        nullif(current_setting('marketplace.user', true), ''),
        -- Not current_user, which is the owner of this function here.
        coalesce(nullif(current_setting('role'), 'none'), session_user),
        current_setting('application_name')
    );
    perform public.notify_change('activity', 'insert', array[change]);
    return null;
end
$$;
comment on function record_change() is
    'Keeps what a statement did in changes, and announces that on "activity". It runs as its owner, so that whoever may change sources needs no rights on changes. Its triggers come before those that announce the change itself, the last of which ends what a statement says.';

create trigger sources_activity_inserted after insert on sources
    referencing new table as new_rows
    for each statement execute function record_change();
create trigger sources_activity_updated after update on sources
    referencing new table as new_rows
    for each statement execute function record_change();
create trigger sources_activity_deleted after delete on sources
    referencing old table as old_rows
    for each statement execute function record_change();
create trigger sources_activity_truncated after truncate on sources
    for each statement execute function record_change();
alter table sources enable always trigger sources_activity_inserted;
alter table sources enable always trigger sources_activity_updated;
alter table sources enable always trigger sources_activity_deleted;
alter table sources enable always trigger sources_activity_truncated;

create trigger pipeline_runs_activity_inserted after insert on pipeline_runs
    referencing new table as new_rows
    for each statement execute function record_change();
create trigger pipeline_runs_activity_updated after update on pipeline_runs
    referencing new table as new_rows
    for each statement execute function record_change();
create trigger pipeline_runs_activity_deleted after delete on pipeline_runs
    referencing old table as old_rows
    for each statement execute function record_change();
create trigger pipeline_runs_activity_truncated after truncate on pipeline_runs
    for each statement execute function record_change();
alter table pipeline_runs enable always trigger pipeline_runs_activity_inserted;
alter table pipeline_runs enable always trigger pipeline_runs_activity_updated;
alter table pipeline_runs enable always trigger pipeline_runs_activity_deleted;
alter table pipeline_runs enable always trigger pipeline_runs_activity_truncated;
