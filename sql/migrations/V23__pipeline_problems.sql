alter table pipeline_submissions
    add column waits_for varchar(20),
    add column problem text,
    add constraint pipeline_submissions_waits_for_known check (waits_for in ('answer', 'rate', 'room', 'access'));
comment on column pipeline_submissions.waits_for is 'What the run waits for: "answer" of EMR whether it has the run, "rate" of requests, "room" on the cluster for another step, "access" to EMR (a connection, credentials, rights). Null before the first attempt has ended.';
comment on column pipeline_submissions.problem is 'What EMR or the connection said at the last attempt, for people; null when there was no problem.';
