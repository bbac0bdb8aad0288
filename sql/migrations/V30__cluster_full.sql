alter table public.pipeline_submissions add column full_at timestamptz
    constraint pipeline_submissions_full_at_in_range
        check (full_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00');
comment on column public.pipeline_submissions.full_at is 'When the cluster last had no room for another step while the run waited: the run grows stale from then on. Null when it has had room ever since the run was requested.';
-- These runs wait for room now.
update public.pipeline_submissions set full_at = clock_timestamp() where waits_for = 'room';
