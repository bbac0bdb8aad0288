-- The comments in plain words. This migration changes nothing else.

comment on function public.cancel_waiting_run(uuid) is 'Cancels a run that was not sent to EMR; returns false if it may have been sent.';
comment on function public.delivery_status(date, date) is 'Delivery status on the given day: awaiting, received or delayed.';
comment on function public.derive_source() is 'Sets the derived columns and updated_at, for every writer. Leaves next_status as it is if no text can show next_update.';
comment on function public.note_pipeline_run_state() is 'Writes the history of a run. It runs with its owner''s rights, so that a role that inserts runs needs no rights on the history.';
comment on function public.notify_sessions() is 'Announces changed and deleted sessions on the channel "session", so that every server checks whether their sockets may stay open.';
comment on function public.pipeline_state_is_final(text) is 'True if a run stays in this state. Unknown states are not final: the server continues to track such a run.';
comment on function public.rederive_sources() is 'Computes the delivery status again for rows whose status depends on the current date; returns the number of changed rows. Skips rows that another transaction has locked, and rows that the database refuses to write.';
comment on function public.touch_pipeline_run() is 'Sets updated_at, for every writer.';
comment on function public.turn_day() is 'Runs the daily update of delivery statuses. Any server may call it any number of times: it runs once a day. Returns true for the call that ran it, false if another call is running it or has run it.';

comment on table public.changes is 'Statements that changed sources and pipeline_runs, with their users: one row per statement, however many rows it changed. Kept for 30 days. Informative, not tamper-proof.';
comment on column public.changes.row_count is 'Number of rows; null for truncate, which does not count them.';
comment on column public.changes.row_ids is 'The first 100 ids.';
comment on column public.changes.username is 'The signed-in user for whom the server wrote; null for a direct edit. Taken from the setting marketplace.user of the session.';
comment on column public.changes.application_name is 'application_name of the client: psql, marketplace, ...';
comment on constraint changes_in_range on public.changes is 'Limits values to what the program can represent, as for sources; row_ids is a plain list without null.';

comment on table public.day_turns is 'One row for each local day for which the daily update ran. The key ensures that one server runs it.';
comment on column public.day_turns.rederived is 'Number of sources whose delivery status this update changed.';
comment on constraint day_turns_in_range on public.day_turns is 'Limits values to what the program can represent, as for sources.';

comment on table public.django_imports is 'Rows that `marketplace import-django` has imported, as they were in the Django database. The next run imports only rows that have changed there. After the move these rows can be deleted.';
comment on column public.django_imports.key is 'Key of the row in the Django database.';
comment on column public.django_imports.id is 'Id of the source or user in this database; it may have been deleted.';
comment on column public.django_imports.was is 'The Django row at the last import, with the SHA-256 of the password hash instead of the hash.';

comment on table public.pipeline_followers is 'The server that polls EMR for the states of runs. Another server takes over if it does not renew its lease in time.';
comment on constraint pipeline_followers_in_range on public.pipeline_followers is 'Limits values to what the program can represent, as for sources.';
comment on table public.pipeline_run_states is 'History of run states, for every writer. It outlives its run, so that the server recognises the EMR steps of deleted runs.';
comment on constraint pipeline_run_states_in_range on public.pipeline_run_states is 'Limits values to what the program can represent, as for sources.';

comment on table public.pipeline_runs is 'Runs of pipeline steps and packaged jobs, with their states.';
comment on column public.pipeline_runs.source_id is 'The source that the run is for; null if none. Not a foreign key: the history outlives its source, and TRUNCATE sources stays possible.';
comment on column public.pipeline_runs.state is '"requested" until EMR has accepted the run, then the state as EMR reports it (PENDING, RUNNING, COMPLETED, ...); "refused" if EMR never accepted it, "lost" if EMR no longer knows it.';
comment on column public.pipeline_runs.step_id is 'EMR''s id of the step; null until EMR has accepted the run.';
comment on column public.pipeline_runs.requested_by is 'The signed-in user, or the database role of a direct insert.';
comment on column public.pipeline_runs.cluster_id is 'The cluster that accepted the run; null until then.';
comment on constraint pipeline_runs_in_range on public.pipeline_runs is 'Limits values to what the program can represent, as for sources.';

comment on constraint sessions_in_range on public.sessions is 'Limits values to what the program can represent, as for sources.';
comment on column public.sessions.token_hash is 'SHA-256 of the cookie. The cookie itself is not stored.';
comment on column public.sessions.expires_at is 'End of the session. The server extends it while the session is used.';

comment on column public.sources.created_at is 'Time of the insert; lists are sorted by it, newest first.';
comment on column public.sources.status is 'The server toggles and counts "active" and "inactive". It stores any other text, and counts it nowhere.';
comment on constraint sources_in_range on public.sources is 'Limits values to what the program can represent: times from 0001-01-02 to 9999-12-30, days in the years 1 to 9999, texts of at most 64 KiB.';

comment on column public.uploads.name is 'The file name after the key in sources.data_upload: the sent name with safe characters only.';
comment on column public.uploads.created_at is 'Start of the upload.';
comment on column public.uploads.original_name is 'File name of a download: the sent name without its directory and control characters; null if it equals name.';
comment on constraint uploads_in_range on public.uploads is 'Limits values to what the program can represent, as for sources.';

comment on table public.users is 'User accounts.';
comment on column public.users.username is 'The name for signing in; unique, compared exactly.';
comment on column public.users.is_active is 'Whether the user may sign in. Any change ends the user''s sessions and closes the sockets.';
comment on constraint users_in_range on public.users is 'Limits values to what the program can represent, as for sources.';
comment on index public.users_admins_idx is 'Finds admins; one must remain.';
comment on index public.users_imported_hash_idx is 'Finds users with an imported password hash: while one exists, failed sign-ins take longer.';
