alter table pipeline_runs
    add column kind varchar(20) not null default 'step',
    add column deploy_mode varchar(20) not null default 'cluster',
    add column cluster_id varchar(100),
    add constraint pipeline_runs_kind_known check (kind in ('step', 'job')),
    add constraint pipeline_runs_deploy_mode_known check (deploy_mode in ('client', 'cluster'));
comment on column pipeline_runs.kind is '"step" runs the scripts of a pipeline step; "job" runs a packaged job of that name.';
comment on column pipeline_runs.deploy_mode is 'Where Spark''s driver runs: "cluster" or "client".';
comment on column pipeline_runs.cluster_id is 'The cluster that accepted it; null until then.';
comment on column pipeline_runs.state is '"requested" until the cluster has accepted it, then the cluster''s own word (PENDING, RUNNING, COMPLETED, ...); "refused" when it was never accepted, "lost" when the cluster no longer knows it.';
comment on column pipeline_runs.reason is 'Why it failed, or why it was refused; null otherwise.';

create function pipeline_state_is_final(state text) returns boolean
    language sql immutable parallel safe
    return state in ('COMPLETED', 'CANCELLED', 'FAILED', 'INTERRUPTED', 'refused', 'lost');
comment on function pipeline_state_is_final(text) is 'Whether a run stays in this state. Words that are not known yet are not final: such a run is still followed.';

-- The head of each lane of waiting runs, and the runs that are followed at the cluster.
create index pipeline_runs_waiting_idx on pipeline_runs (kind, step, deploy_mode, created_at, id)
    where state = 'requested' and step_id is null;
create index pipeline_runs_followed_idx on pipeline_runs (created_at)
    where step_id is not null and not pipeline_state_is_final(state);

create table pipeline_submissions (
    run_id uuid primary key,
    node uuid not null,
    claimed_until timestamptz not null,
    attempts integer not null default 0,
    cluster_id varchar(100),
    command text,
    sent_at timestamptz,
    constraint pipeline_submissions_sent_what check (sent_at is null or (cluster_id is not null and command is not null))
);
comment on table pipeline_submissions is 'Runs that a server is handing to the cluster. A row goes when the cluster has accepted or refused the run. Beside the runs, so that claims are no changes of a run; not a foreign key, so that TRUNCATE pipeline_runs stays possible.';
comment on column pipeline_submissions.node is 'The server process that works on it.';
comment on column pipeline_submissions.claimed_until is 'From then on any server may take it: its server has died, or waits before the next attempt.';
comment on column pipeline_submissions.attempts is 'How often it was claimed.';
comment on column pipeline_submissions.command is 'What was sent, by which the step is found at the cluster again.';
comment on column pipeline_submissions.sent_at is 'When it was first sent; null before. From then on it is in doubt until the cluster has answered, and is not sent again without asking the cluster whether it is there.';
-- A step carries no name of ours, so a lost answer can be told only while no other run of the same command is in doubt.
create unique index pipeline_submissions_one_in_doubt on pipeline_submissions (cluster_id, md5(command))
    where sent_at is not null;

create table pipeline_run_states (
    run_id uuid not null,
    at timestamptz not null default clock_timestamp(),
    state varchar(50) not null,
    step_id varchar(100),
    reason text
);
comment on table pipeline_run_states is 'What each run went through, whoever changed it. Outlives its run: step ids of deleted runs are known here, so that they are not taken for somebody else''s.';
create index pipeline_run_states_run_id_idx on pipeline_run_states (run_id, at);
create index pipeline_run_states_step_id_idx on pipeline_run_states (step_id) where step_id is not null;

create function note_pipeline_run_state() returns trigger
    language plpgsql as $$
begin
    insert into public.pipeline_run_states (run_id, state, step_id, reason)
    values (new.id, new.state, new.step_id, new.reason);
    return null;
end
$$;
comment on function note_pipeline_run_state() is 'Writes the history of a run.';

create trigger pipeline_runs_noted_insert after insert on pipeline_runs
    for each row execute function note_pipeline_run_state();
create trigger pipeline_runs_noted_update after update on pipeline_runs
    for each row when ((old.state, old.step_id, old.reason) is distinct from (new.state, new.step_id, new.reason))
    execute function note_pipeline_run_state();
alter table pipeline_runs enable always trigger pipeline_runs_noted_insert;
alter table pipeline_runs enable always trigger pipeline_runs_noted_update;

insert into pipeline_run_states (run_id, at, state, step_id, reason)
select id, updated_at, state, step_id, reason from pipeline_runs;

create table pipeline_followers (
    only_one boolean primary key default true check (only_one),
    node uuid not null,
    until timestamptz not null
);
comment on table pipeline_followers is 'The one server that follows the runs at the cluster. Another takes over when it has not been heard of in time.';

create function cancel_waiting_run(run uuid) returns boolean
    language plpgsql as $$
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
comment on function cancel_waiting_run(uuid) is 'Cancels a run of which the cluster cannot know yet; false when it may.';
