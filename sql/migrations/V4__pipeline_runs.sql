create table pipeline_runs (
    id uuid primary key default gen_random_uuid(),
    source_id uuid,
    step varchar(100) not null,
    state varchar(50) not null default 'requested',
    step_id varchar(100),
    reason text,
    requested_by varchar(255) not null default current_user,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint pipeline_runs_step_not_blank check (step <> ''),
    constraint pipeline_runs_created_at_finite check (isfinite(created_at)),
    constraint pipeline_runs_updated_at_finite check (isfinite(updated_at))
);
comment on table pipeline_runs is 'Pipeline steps asked of the cluster, and what became of them.';
comment on column pipeline_runs.source_id is 'The source it was asked for; null when for none. Not a foreign key: history outlives its source, and TRUNCATE sources stays possible.';
comment on column pipeline_runs.state is '"requested" until the cluster has accepted it, then the cluster''s own word (PENDING, RUNNING, COMPLETED, ...).';
comment on column pipeline_runs.step_id is 'The cluster''s name for the step; null until it was accepted.';
comment on column pipeline_runs.reason is 'Why it failed; null otherwise.';
comment on column pipeline_runs.requested_by is 'Who asked: the signed-in user, or the database role of a direct insert.';
comment on column pipeline_runs.updated_at is 'Set on every update, unless the statement sets it.';
create index pipeline_runs_created_at_idx on pipeline_runs (created_at desc);
create index pipeline_runs_source_id_idx on pipeline_runs (source_id, created_at desc);
create unique index pipeline_runs_step_id_key on pipeline_runs (step_id);

create function touch_pipeline_run() returns trigger
    language plpgsql as $$
begin
    if new.updated_at = old.updated_at then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end
$$;
comment on function touch_pipeline_run() is 'Keeps updated_at right, whoever writes.';

create trigger pipeline_runs_touched before update on pipeline_runs
    for each row execute function touch_pipeline_run();
alter table pipeline_runs enable always trigger pipeline_runs_touched;

create function notify_pipeline_runs() returns trigger
    language plpgsql as $$
declare
    touched bigint;
    ids uuid[];
begin
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('emr', 'truncate', null), public.notify_change('lib', 'truncate', null);
        return null;
    elsif tg_op = 'DELETE' then
        select count(*) into touched from old_rows;
        if touched between 1 and public.max_notified_ids() then
            select array_agg(o.id) into ids from old_rows o;
        end if;
    else
        select count(*) into touched from new_rows;
        if touched between 1 and public.max_notified_ids() then
            select array_agg(n.id) into ids from new_rows n;
        end if;
    end if;
    if touched > 0 then
        perform public.notify_change('emr', lower(tg_op), ids), public.notify_change('lib', lower(tg_op), ids);
    end if;
    return null;
end
$$;
comment on function notify_pipeline_runs() is
    'Announces a statement on pipeline_runs on "emr" (states of runs) and "lib" (the Data Update counts). None for zero rows.';

create trigger pipeline_runs_inserted after insert on pipeline_runs
    referencing new table as new_rows
    for each statement execute function notify_pipeline_runs();
create trigger pipeline_runs_updated after update on pipeline_runs
    referencing new table as new_rows
    for each statement execute function notify_pipeline_runs();
create trigger pipeline_runs_deleted after delete on pipeline_runs
    referencing old table as old_rows
    for each statement execute function notify_pipeline_runs();
create trigger pipeline_runs_truncated after truncate on pipeline_runs
    for each statement execute function notify_pipeline_runs();
alter table pipeline_runs enable always trigger pipeline_runs_inserted;
alter table pipeline_runs enable always trigger pipeline_runs_updated;
alter table pipeline_runs enable always trigger pipeline_runs_deleted;
alter table pipeline_runs enable always trigger pipeline_runs_truncated;
