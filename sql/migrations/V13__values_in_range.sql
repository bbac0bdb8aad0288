-- Every column takes only values that the program can hold. PostgreSQL's own types hold more: times
-- that are infinite or before year 1, arrays with nulls, texts of a gigabyte. A time keeps a day's
-- distance from the first and last one with a year of four digits, so that it has one in every zone.

-- Rows that are there already are corrected first. The server logs each warning. Of two times updated_at
-- comes first: it moves by itself when the other one is corrected.
set local client_min_messages = warning;
-- At once what `alter table` needs below: two steps could meet a writer in between, and one would fail.
lock table public.sources, public.users, public.sessions, public.pipeline_runs, public.pipeline_run_states,
    public.pipeline_submissions, public.pipeline_followers, public.day_turns, public.uploads, public.changes,
    public.django_imports in access exclusive mode;
do $$
declare
    -- Longer lists are cut: somebody has to read them.
    most constant int := 100;
    earliest constant text := quote_literal('0001-01-02 00:00+00') || '::timestamptz';
    latest constant text := quote_literal('9999-12-30 00:00+00') || '::timestamptz';
    rule record;
    part record;
    corrected record;
    is_needed boolean;
    restored text[];
    statement text;
    count bigint;
begin
    for rule in
        select tab, key, col, format('not %I between %s and %s', col, earliest, latest) as is_wrong,
               format('least(greatest(%I, %s), %s)', col, earliest, latest) as instead
          from (values ('sources', 'id', 'updated_at'), ('sources', 'id', 'created_at'),
                       ('users', 'id', 'created_at'), ('users', 'id', 'last_login_at'),
                       ('sessions', 'id', 'created_at'), ('sessions', 'id', 'expires_at'),
                       ('pipeline_runs', 'id', 'updated_at'), ('pipeline_runs', 'id', 'created_at'),
                       ('pipeline_run_states', 'run_id', 'at'),
                       ('pipeline_submissions', 'run_id', 'sent_at'),
                       ('day_turns', 'day', 'turned_at'),
                       ('uploads', 'key', 'created_at'),
                       ('changes', 'id', 'at')) times (tab, key, col)
        union all
        -- A claim that would last for ever is over.
        select tab, key, col, format('not %I between %s and %s', col, earliest, latest), 'now()'
          from (values ('pipeline_submissions', 'run_id', 'claimed_until'), ('pipeline_followers', 'node', 'until'),
                       ('uploads', 'key', 'claimed_until')) claims (tab, key, col)
        union all
        select tab, key, col, format('octet_length(%I) > %s', col, allowed), instead
          from (values
              -- A source names its file as key/name, which is 37 characters longer than the name: both are
              -- cut together, and alike, or the file would belong to no source and be removed.
              ('sources', 'id', 'data_upload', 65536, 'left(data_upload, 10000)'),
              ('uploads', 'key', 'name', 65499, 'left(name, 9963)'),
              -- A part of a hash is the hash of no password.
              ('users', 'id', 'password_hash', 65536, quote_literal('!')),
              ('pipeline_runs', 'id', 'reason', 65536, 'left(reason, 10000)'),
              ('pipeline_run_states', 'run_id', 'reason', 65536, 'left(reason, 10000)'),
              -- EMR takes no command of a sixth of this length, so none such is at a cluster.
              ('pipeline_submissions', 'run_id', 'command', 65536, 'left(command, 10000)')
          ) texts (tab, key, col, allowed, instead)
        union all
        select 'changes', 'id', col, format('char_length(%I) > 150', col), format('left(%I, 150)', col)
          from unnest(array['table_name', 'operation', 'username', 'role_name', 'application_name']) col
        union all
        select * from (values
            ('changes', 'id', 'row_count', 'row_count < 0', '0'),
            ('changes', 'id', 'row_ids',
             'array_ndims(row_ids) > 1 or cardinality(row_ids) > 1000 or cardinality(row_ids) <> (select count(u) from unnest(row_ids) u)',
             'array(select u from unnest(row_ids) u where u is not null limit 100)'),
            ('pipeline_submissions', 'run_id', 'attempts', 'not attempts between 0 and 1000000', 'least(greatest(attempts, 0), 1000000)'),
            ('day_turns', 'day', 'rederived', 'rederived < 0', '0'),
            ('django_imports', 'key', 'was', 'jsonb_typeof(was) <> ''object''', '''{}''')) others
    loop
        execute format('select exists (select from public.%I where %s)', rule.tab, rule.is_wrong) into is_needed;
        continue when not is_needed;
        -- PostgreSQL updates a published table only if its rows can be told apart at a subscriber. A table
        -- without a key, or a child of ours, is in a publication `for all tables`.
        restored := '{}';
        for part in
            with recursive parts (id) as (
                select format('public.%I', rule.tab)::regclass::oid
                union
                select inhrelid from pg_inherits join parts on inhparent = id
            )
            select id::regclass as name, case relreplident when 'd' then 'default' else 'nothing' end as identity
              from parts join pg_class on oid = id
             where relreplident <> 'f'
               and not exists (select from pg_index
                                where indrelid = id and case relreplident when 'd' then indisprimary else indisreplident end)
        loop
            execute format('alter table %s replica identity full', part.name);
            restored := restored || format('alter table %s replica identity %s', part.name, part.identity);
        end loop;
        count := 0;
        for corrected in execute format(
            'with wrong as (select tableoid as part, ctid as place, %3$I::text as found from public.%1$I where %4$s)
             update public.%1$I t set %3$I = %5$s from wrong where (t.tableoid, t.ctid) = (wrong.part, wrong.place)
             returning t.%2$I::text as key,
                       case when length(wrong.found) > 100 then length(wrong.found) || '' characters'' else wrong.found end as found',
            rule.tab, rule.key, rule.col, rule.is_wrong, rule.instead)
        loop
            count := count + 1;
            if count <= most then
                raise warning '%: % of the row % was corrected: the program cannot hold what it was, %',
                    rule.tab, rule.col, corrected.key, corrected.found;
            end if;
        end loop;
        if count > most then
            raise warning '%: % of % more rows was corrected likewise', rule.tab, rule.col, count - most;
        end if;
        foreach statement in array restored loop
            execute statement;
        end loop;
    end loop;

    -- Days that are no key of any turn.
    for corrected in
        delete from public.day_turns where not day between '0001-01-01' and '9999-12-31' returning day::text as day
    loop
        raise warning 'day_turns: the row % was removed: the program cannot hold its day', corrected.day;
    end loop;
end
$$;

-- One constraint a table: PostgreSQL reads each anew for every statement. A null passes each part.
alter table public.sources
    drop constraint sources_created_at_finite,
    drop constraint sources_updated_at_finite,
    add constraint sources_in_range check (
        created_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and updated_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and octet_length(data_upload) <= 65536);
alter table public.users add constraint users_in_range check (
    created_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and last_login_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and octet_length(password_hash) <= 65536);
alter table public.sessions add constraint sessions_in_range check (
    created_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and expires_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00');
alter table public.pipeline_runs
    drop constraint pipeline_runs_created_at_finite,
    drop constraint pipeline_runs_updated_at_finite,
    add constraint pipeline_runs_in_range check (
        created_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and updated_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and octet_length(reason) <= 65536);
alter table public.pipeline_run_states add constraint pipeline_run_states_in_range check (
    at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and octet_length(reason) <= 65536);
alter table public.pipeline_submissions add constraint pipeline_submissions_in_range check (
    claimed_until between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and sent_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and attempts between 0 and 1000000
    and octet_length(command) <= 65536);
alter table public.pipeline_followers add constraint pipeline_followers_in_range check (
    until between '0001-01-02 00:00+00' and '9999-12-30 00:00+00');
alter table public.day_turns add constraint day_turns_in_range check (
    day between '0001-01-01' and '9999-12-31'
    and turned_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and rederived >= 0);
alter table public.django_imports add constraint django_imports_was_object check (jsonb_typeof(was) = 'object');
alter table public.uploads add constraint uploads_in_range check (
    created_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and claimed_until between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and octet_length(name) <= 65536);
-- record_change() fills this table within the statements of others, and never with more than this.
alter table public.changes add constraint changes_in_range check (
    at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
    and row_count >= 0
    and coalesce(array_ndims(row_ids), 1) = 1
    and cardinality(row_ids) <= 1000
    and array_position(row_ids, null) is null
    and char_length(table_name) <= 150
    and char_length(operation) <= 150
    and char_length(username) <= 150
    and char_length(role_name) <= 150
    and char_length(application_name) <= 150);

comment on constraint sources_in_range on public.sources is
    'What the program can hold. Times have a year of four digits in every zone, and texts no more than 64 KiB.';
comment on constraint users_in_range on public.users is
    'What the program can hold, as for sources.';
comment on constraint sessions_in_range on public.sessions is
    'What the program can hold, as for sources.';
comment on constraint pipeline_runs_in_range on public.pipeline_runs is
    'What the program can hold, as for sources.';
comment on constraint pipeline_run_states_in_range on public.pipeline_run_states is
    'What the program can hold, as for sources.';
comment on constraint pipeline_submissions_in_range on public.pipeline_submissions is
    'What the program can hold, as for sources; and an attempt can be added to the attempts.';
comment on constraint pipeline_followers_in_range on public.pipeline_followers is
    'What the program can hold, as for sources.';
comment on constraint day_turns_in_range on public.day_turns is
    'What the program can hold, as for sources.';
comment on constraint uploads_in_range on public.uploads is
    'What the program can hold, as for sources.';
comment on constraint changes_in_range on public.changes is
    'What the program can hold, as for sources; ids are a plain list, none of them null.';
comment on constraint django_imports_was_object on public.django_imports is 'What the statements of an import take.';
