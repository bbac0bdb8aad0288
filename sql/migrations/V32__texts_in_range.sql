-- Texts that came after V13 have its limits too: 64 KiB, and 1 MiB for what an import remembers of a row.

-- Rows that are there already are corrected first. The server logs each warning.
set local client_min_messages = warning;
lock table public.users, public.pipeline_submissions, public.django_imports in access exclusive mode;
do $$
declare
    -- Longer lists are cut: somebody has to read them.
    most constant int := 100;
    rule record;
    corrected record;
    is_needed boolean;
    count bigint;
begin
    for rule in
        select * from (values
            ('pipeline_submissions', 'run_id', 'problem', 'octet_length(problem) > 65536', 'problem = left(problem, 10000)'),
            ('users', 'id', 'name_key', 'octet_length(name_key) > 65536', 'name_key = null, look_key = null'),
            ('users', 'id', 'look_key', 'octet_length(look_key) > 65536', 'name_key = null, look_key = null'),
            ('django_imports', 'left(key, 100)', 'was', 'octet_length(was::text) > 1048576', 'was = ''{}'''))
            rules (tab, key, col, is_wrong, instead)
    loop
        -- No update without a row: of a published table without a key PostgreSQL refuses it also then.
        execute format('select exists (select from public.%I where %s)', rule.tab, rule.is_wrong) into is_needed;
        continue when not is_needed;
        count := 0;
        for corrected in execute format(
            'with wrong as (select tableoid as part, ctid as place, length(%3$I::text) as found from public.%1$I where %4$s)
             update public.%1$I t set %5$s from wrong where (t.tableoid, t.ctid) = (wrong.part, wrong.place)
             returning %2$s::text as key, wrong.found',
            rule.tab, rule.key, rule.col, rule.is_wrong, rule.instead)
        loop
            count := count + 1;
            if count <= most then
                raise warning '%: % of the row % was corrected: the program cannot hold what it was, % characters',
                    rule.tab, rule.col, corrected.key, corrected.found;
            end if;
        end loop;
        if count > most then
            raise warning '%: % of % more rows was corrected likewise', rule.tab, rule.col, count - most;
        end if;
    end loop;

    -- Keys that name no row of any backend.
    if exists (select from public.django_imports where octet_length(key) > 65536) then
        for corrected in
            delete from public.django_imports where octet_length(key) > 65536 returning left(key, 100) as key
        loop
            raise warning 'django_imports: the row %... was removed: the program cannot hold its key', corrected.key;
        end loop;
    end if;
end
$$;

-- One constraint a table, as V13 says.
alter table public.pipeline_submissions
    drop constraint pipeline_submissions_in_range,
    add constraint pipeline_submissions_in_range check (
        claimed_until between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and sent_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and attempts between 0 and 1000000
        and octet_length(command) <= 65536
        and octet_length(problem) <= 65536);
alter table public.users
    drop constraint users_in_range,
    add constraint users_in_range check (
        created_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and last_login_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and octet_length(password_hash) <= 65536
        and octet_length(name_key) <= 65536
        and octet_length(look_key) <= 65536);
alter table public.django_imports add constraint django_imports_in_range check (
    octet_length(key) <= 65536
    and octet_length(was::text) <= 1048576);

comment on constraint pipeline_submissions_in_range on public.pipeline_submissions is
    'What the program can hold, as for sources; and an attempt can be added to the attempts.';
comment on constraint users_in_range on public.users is
    'What the program can hold, as for sources.';
comment on constraint django_imports_in_range on public.django_imports is
    'What the program can hold: keys of 64 KiB and rows of 1 MiB at most.';
