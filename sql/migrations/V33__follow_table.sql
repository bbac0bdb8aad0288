-- One call adds a table to what the server follows, another removes it.
--
-- follow_table writes a trigger function for the table from one template (notifier_body) and attaches it. One
-- function for all tables, with the columns in its arguments, was the other way: it would have to put the names
-- of columns into a statement at run time, which PostgreSQL plans anew at each call, and it could not tell
-- by a constant whether the table it is attached to is one that it may look at. A written function
-- costs what one costs that was written by hand; nobody edits it, and `marketplace doctor` compares it with
-- what the template gives.
--
-- The catalogue of followed tables is pg_trigger: the arguments of the triggers are those of follow_table. It needs
-- nothing to keep in agreement: a dropped, renamed or restored table has its triggers or has them not.
--
-- One trigger a statement both announces it and keeps it in changes. It asks the frequent case first, a
-- single row, which needs no join.

create function public.notifier_name(table_name text) returns text
    language sql immutable parallel safe
    return 'notify_' || case when octet_length(table_name) > 56 then md5(table_name) else table_name end;
comment on function public.notifier_name(text) is
    'Name of the trigger function that follow_table makes for a table. A name has 63 bytes at most.';

create function public.notifier_body(table_name text, rules jsonb, recorded boolean) returns text
    language plpgsql stable set search_path = pg_catalog, pg_temp as $function$
declare
    qualified constant text := format('public.%I', table_name);
    rule record;
    -- The columns of each rule that looks at columns, as pieces of the statements that compare them.
    declared text := '';
    into_changed text := '';
    of_one text := '';
    of_some text := '';
    of_many text := '';
    of_applied text := '';
    is_changed text := '';
    sends text := '';
    sends_everything text := '';
    -- Whether an update of a row may concern no channel.
    may_be_silent boolean := not recorded;
    send text;
    body text;
    -- All columns that any rule looks at, each with its hash. A type's own function is several times as fast
    -- as its text; a null has no hash.
    compared constant text[] := array(
        select distinct c from jsonb_array_elements(rules) r, jsonb_array_elements_text(r -> 'changed') c order by c);
    hashes constant text := (
        select string_agg(format(E',\n                           bit_xor(%s) as hash_%s', format(case
                   when t.typcategory = 'S' and t.typnamespace = 'pg_catalog'::regnamespace
                       then 'hashtextextended(%I::text, uuid_hash_extended(id, 0))'
                   when t.oid = 'timestamptz'::regtype
                       then 'timestamp_hash_extended(%I at time zone ''UTC'', uuid_hash_extended(id, 0))'
                   else 'hashtextextended(case when num_nonnulls(%1$I) = 1 then concat(%1$I) end, uuid_hash_extended(id, 0))'
               end, name), place), '' order by place)
          from unnest(compared) with ordinality columns (name, place)
          left join pg_attribute a on a.attrelid = to_regclass(qualified)::oid and a.attname::text = name
          left join pg_type t on t.oid = a.atttypid);
begin
    for rule in
        select nth, r ->> 'notify' as channel, r ->> 'otherwise' as otherwise,
               coalesce(r -> 'on', '["insert", "update", "delete", "truncate"]'::jsonb) as events,
               (select string_agg(format('o.%I', c), ', ' order by place)
                  from jsonb_array_elements_text(r -> 'changed') with ordinality columns (c, place)) as columns,
               (select string_agg(format('n.%I', c), ', ' order by place)
                  from jsonb_array_elements_text(r -> 'changed') with ordinality columns (c, place)) as new_columns,
               array(select jsonb_array_elements_text(r -> 'changed')) as names,
               (select string_agg(format('old.%I', c), ', ' order by place)
                  from jsonb_array_elements_text(r -> 'changed') with ordinality columns (c, place)) as old_values,
               (select string_agg(format('new.%I', c), ', ' order by place)
                  from jsonb_array_elements_text(r -> 'changed') with ordinality columns (c, place)) as new_values
          from (select nth, case jsonb_typeof(one) when 'string' then jsonb_build_object('notify', one) else one end as r
                  from jsonb_array_elements(rules) with ordinality elements (one, nth)) all_rules
         order by nth
    loop
        send := format('told := pg_notify(%s, %%s) is null;', replace(quote_literal(rule.channel), '%', '%%'));
        sends_everything := sends_everything || format('            ' || send || E'\n',
            case when rule.events ? 'truncate' then 'payload'
                 else quote_literal(format('{"op":"%s","ids":null}', rule.events ->> 0)) end);
        if rule.columns is not null then
            declared := declared || format(E'    changed_%s uuid[];\n', rule.nth);
            into_changed := into_changed || format(', changed_%s', rule.nth);
            of_one := of_one || format(
                E',\n                       case when o.id <> n.id then array[o.id, n.id] when record_image_ne(row(%s), row(%s)) then array[n.id] end',
                rule.columns, rule.new_columns);
            of_some := of_some || format(
                E',\n                   array_agg(coalesce(n.id, o.id)) filter (where o.id is null or n.id is null or record_image_ne(row(%s), row(%s)))',
                rule.columns, rule.new_columns);
            of_many := of_many || format(E'%s\n                       case when o.hash_id <> n.hash_id%s then ''{}''::uuid[] end',
                case when of_many <> '' then ',' else '' end,
                (select string_agg(format(' or o.hash_%s is distinct from n.hash_%1$s', array_position(compared, c)), '' order by place)
                   from unnest(rule.names) with ordinality columns (c, place)));
            of_applied := of_applied || format(
                E'            changed_%s := case when old.id <> new.id or record_image_ne(row(%s), row(%s)) then ids end;\n',
                rule.nth, rule.old_values, rule.new_values);
            is_changed := is_changed || format('%s changed_%s is null',
                case when is_changed <> '' then ' and' else '' end, rule.nth);
        end if;
        if rule.events ? 'update' and (rule.columns is null or rule.otherwise is not null) then
            may_be_silent := false;
        end if;

        sends := sends || case
            when rule.columns is null and jsonb_array_length(rule.events) = 4 then
                '    ' || format(send, 'payload') || E'\n'
            when rule.columns is null then
                format(E'    if tg_op in (%s) then\n        %s\n    end if;\n',
                    (select string_agg(quote_literal(upper(e)), ', ') from jsonb_array_elements_text(rule.events) e),
                    format(send, 'payload'))
            else
                format(E'    if tg_op = ''UPDATE'' then\n        if changed_%s is not null then\n            %s\n%s        end if;\n',
                    rule.nth,
                    -- Where nothing else tells of the others, the rows that have changed are named alone.
                    format(send, case when rule.otherwise is not null then 'payload'
                        else format($$'{"op":"update","ids":' || coalesce(case when cardinality(changed_%s) between 1 and 204 then array_to_json(changed_%1$s)::text end, 'null') || '}'$$,
                            rule.nth) end),
                    case when rule.otherwise is not null
                         then format(E'        else\n            told := pg_notify(%L, payload) is null;\n', rule.otherwise)
                         else '' end)
                || case when jsonb_array_length(rule.events) > 1
                        then format(E'    elsif tg_op in (%s) then\n        %s\n',
                            (select string_agg(quote_literal(upper(e)), ', ')
                               from jsonb_array_elements_text(rule.events) e where e <> 'update'),
                            format(send, 'payload'))
                        else '' end
                || E'    end if;\n'
            end;
    end loop;

    body := $template$
declare
    touched bigint;
    -- Null when they are too many to be named.
    ids uuid[];
    row_ids uuid[];
@declared@    payload text;
    counter text;
    named integer;
    -- An expression is evaluated without a plan of its own, which a statement would have. So each
    -- notification is the value of one.
    told boolean;
@change@begin
    if tg_relid <> @table@::regclass then
        perform public.refuse_foreign_table(tg_relid, array[@table@]::text[]);
    end if;

    if tg_level = 'ROW' then
        -- A row that logical replication applies: no statement trigger fires.
        if tg_op = 'INSERT' then
            ids := array[new.id];
        elsif tg_op = 'DELETE' then
            ids := array[old.id];
        else
            ids := case when old.id = new.id then array[new.id] else array[old.id, new.id] end;
@applied@        end if;
        -- How many rows of this transaction were named. -1: all rows are announced already; -2: a
        -- transaction that notifies cannot be prepared, so a subscription with two_phase would stop.
        counter := 'marketplace.applied_' || (@table@::regclass)::oid;
        named := coalesce(nullif(current_setting(counter, true), ''), '0');
        if named = 0 and exists (
            select from pg_subscription join pg_database on pg_database.oid = subdbid
             where datname = current_database() and subtwophasestate <> 'd')
        then
            named := -2;
            perform set_config(counter, '-2', true);
        end if;
        if named < 0 then
            return null;
        end if;
        if named >= 100 then
            perform set_config(counter, '-1', true);
            payload := '{"op":"' || lower(tg_op) || '","ids":null}';
@everything@            return null;
        end if;
        perform set_config(counter, (named + 1)::text, true);
    else
        if tg_op = 'INSERT' then
            select count(*), array(select n.id from new_rows n limit 205) into touched, ids from new_rows;
            row_ids := ids[1:100];
        elsif tg_op = 'DELETE' then
            select count(*), array(select o.id from old_rows o limit 205) into touched, ids from old_rows;
            row_ids := ids[1:100];
        elsif tg_op = 'UPDATE' then
            select c.touched, one.* into touched, row_ids, ids@into@
              from (select count(*) as touched from new_rows) c
              left join lateral (
                select array[n.id], case when o.id = n.id then array[n.id] else array[o.id, n.id] end@one@
                  from old_rows o, new_rows n
                 where c.touched = 1
                 limit 1) one on true;
            if touched > 1 then
                row_ids := array(select n.id from new_rows n limit 100);
            end if;
            if touched between 2 and 249 then
                -- A row whose id was changed counts as two.
                select array_agg(coalesce(n.id, o.id))@some@
                  into ids@into@
                  from old_rows o full join new_rows n on o.id = n.id;
@many@            end if;
        end if;
        if touched = 0 then
            return null;
        end if;
@record@    end if;

    -- notify_change writes its payloads like this. 205 ids never fit.
    payload := '{"op":"' || lower(tg_op) || '","ids":'
        || coalesce(case when cardinality(ids) < 205 then array_to_json(ids)::text end, 'null') || '}';
@sends@    return null;
end
$template$;
    body := replace(body, '@declared@', declared);
    body := replace(body, '@change@', case when recorded then E'    change uuid;\n' else '' end);
    body := replace(body, '@applied@', of_applied || case when may_be_silent and is_changed <> '' then
        format(E'            if%s then\n                return null;\n            end if;\n', is_changed) else '' end);
    body := replace(body, '@everything@', sends_everything);
    body := replace(body, '@into@', into_changed);
    body := replace(body, '@one@', of_one);
    body := replace(body, '@some@', of_some);
    body := replace(body, '@many@', case when of_many = '' then '' else format($piece$            elsif touched > 249 then
                -- So many ids are not named, so old and new rows need not be brought together, which is what a large
                -- update would wait for: it is enough that the sums over both sides differ. Each row's hash
                -- is keyed by its id, so that two rows that swap their values count as changed.
                select%s
                  into %s
                  from (select bit_xor(uuid_hash_extended(id, 0)) as hash_id%s
                          from old_rows) o,
                       (select bit_xor(uuid_hash_extended(id, 0)) as hash_id%3$s
                          from new_rows) n;
$piece$, of_many, substr(into_changed, 3), hashes) end);
    body := replace(body, '@record@', case when recorded then $piece$
        insert into public.changes (table_name, operation, row_count, row_ids, username, role_name, application_name)
        values (
            tg_table_name, lower(tg_op), touched, coalesce(row_ids, '{}'),
            -- Any session may write any text of any length here; a user's name has 150 characters at most.
            left(nullif(current_setting('marketplace.user', true), ''), 150),
            -- Not current_user, which is the owner of this function here.
            coalesce(nullif(current_setting('role'), 'none'), session_user),
            current_setting('application_name')
        ) returning id into change;
        told := pg_notify('activity', '{"op":"insert","ids":["' || change || '"]}') is null;
$piece$ else '' end);
    body := replace(body, '@sends@', sends);
    return replace(body, '@table@', quote_literal(qualified));
end
$function$;
comment on function public.notifier_body(text, jsonb, boolean) is
    'The body of the trigger function that follow_table makes for a table: the one template of all of them.';

create function public.unfollow_table(table_name text) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    trigger_name name;
    -- The function of a table that was renamed has its former name, and the table may be gone.
    notifiers oid[] := array[to_regprocedure(format('public.%I()', public.notifier_name(table_name::text)))::oid];
    notifier oid;
begin
    for trigger_name, notifier in
        select t.tgname, t.tgfoid from pg_trigger t join pg_class c on c.oid = t.tgrelid
         where c.relnamespace = 'public'::regnamespace and c.relname::text = table_name and t.tgparentid = 0
           and t.tgname in ('follow_insert', 'follow_update', 'follow_delete', 'follow_truncate', 'follow_applied')
    loop
        execute format('drop trigger %I on public.%I', trigger_name, table_name);
        notifiers := notifiers || notifier;
    end loop;
    for notifier in
        select p.oid from pg_proc p
         where p.oid = any (notifiers) and p.pronamespace = 'public'::regnamespace and p.proname like 'notify\_%'
           and p.pronargs = 0 and not exists (select from pg_trigger t where t.tgfoid = p.oid)
    loop
        execute format('drop function %s', notifier::regprocedure);
    end loop;
end
$$;
comment on function public.unfollow_table(text) is
    'Drops what follow_table has made for a table of the schema public, except a function that another table''s trigger calls. Works also when the table is gone.';

create function public.follow_table(table_name text, rules jsonb, recorded boolean) returns void
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    events constant text[] := array['insert', 'update', 'delete', 'truncate'];
    found_table pg_class;
    notifier constant text := format('public.%I()', public.notifier_name(table_name::text));
    arguments constant text := format('%L, %L', rules::text, recorded::text);
    rule jsonb;
    wrong text;
    followed text[] := '{}';
    event text;
begin
    select c.* into found_table from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relname::text = table_name;
    if not found then
        raise undefined_table using message = format('the schema public has no table %I', table_name);
    elsif found_table.relkind not in ('r', 'p') then
        raise wrong_object_type using message = format('%I is no table; only a table can be followed', table_name);
    end if;
    -- Its function runs as its owner and writes into changes.
    if found_table.relowner <> (select c.relowner from pg_class c where c.oid = 'public.sources'::regclass)
        or not pg_has_role(found_table.relowner, 'member')
    then
        raise insufficient_privilege using
            message = format('%I can be followed only if it belongs to the owner of the table sources, and only its owner can call this', table_name);
    end if;
    if not exists (select from pg_attribute a
                    where a.attrelid = found_table.oid and a.attname = 'id' and a.atttypid = 'uuid'::regtype and a.attnotnull)
    then
        raise invalid_table_definition using
            message = format('%I has no column id of type uuid that is not null', table_name),
            detail = 'Notifications name rows by it.';
    end if;
    if recorded is null or table_name = 'changes' and recorded then
        raise invalid_parameter_value using message = 'changes of the table changes cannot be recorded there';
    end if;

    if jsonb_typeof(rules) is distinct from 'array' or jsonb_array_length(rules) = 0 then
        raise invalid_parameter_value using message = 'rules is a list of channels, such as ["vendors"]';
    end if;
    for rule in select one from jsonb_array_elements(rules) one loop
        if jsonb_typeof(rule) = 'string' then
            rule := jsonb_build_object('notify', rule);
        end if;
        wrong := case
            when jsonb_typeof(rule) <> 'object' then 'it is neither a channel nor an object'
            when jsonb_typeof(rule -> 'notify') is distinct from 'string' then 'it has no channel "notify"'
            when rule - array['notify', 'on', 'changed', 'otherwise'] <> '{}' then 'it has keys besides "notify", "on", "changed" and "otherwise"'
            when octet_length(rule ->> 'notify') not between 1 and 63
              or octet_length(rule ->> 'otherwise') not between 1 and 63 then 'a channel has 1 to 63 bytes'
            when jsonb_typeof(rule -> 'otherwise') <> 'string' then '"otherwise" is a channel'
            when jsonb_typeof(rule -> 'on') <> 'array' or jsonb_typeof(rule -> 'changed') <> 'array' then '"on" and "changed" are lists'
            when rule -> 'on' = '[]' or not coalesce(rule -> 'on', '[]') <@ to_jsonb(events) then '"on" is a list of insert, update, delete and truncate'
            when rule ? 'otherwise' and not rule ? 'changed' then '"otherwise" needs "changed"'
            when rule -> 'changed' = '[]' then '"changed" names no column'
            when rule ? 'changed' and rule ? 'on' and not rule -> 'on' ? 'update' then '"changed" is about updates, which "on" leaves out'
            when exists (select from jsonb_array_elements(rule -> 'changed') c (name)
                          where not exists (select from pg_attribute a
                                             where a.attrelid = found_table.oid and a.attnum > 0 and not a.attisdropped
                                               and to_jsonb(a.attname::text) = c.name)) then '"changed" names a column that the table does not have'
            end;
        if wrong is not null then
            raise invalid_parameter_value using message = format('the rule %s: %s', rule, wrong);
        end if;
        followed := followed || array(select jsonb_array_elements_text(coalesce(rule -> 'on', to_jsonb(events))));
    end loop;
    if recorded then
        followed := events;
    end if;

    if exists (select from pg_proc p where p.oid = to_regprocedure(notifier)::oid and p.proowner <> found_table.relowner) then
        raise duplicate_function using message = format('the function %s belongs to another role; drop it first', notifier);
    end if;
    perform public.unfollow_table(table_name::text);
    -- It is still there where a trigger of a child calls it.
    execute format('create or replace function %s returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as %L',
        notifier, public.notifier_body(table_name::text, rules::jsonb, recorded::boolean));
    execute format('comment on function %s is %L', notifier,
        format('Announces statements on %I as the arguments of its triggers say. follow_table made it; nobody edits it.', table_name));
    execute format('revoke all on function %s from public', notifier);
    -- A superuser may call this for the owner.
    if found_table.relowner <> (select r.oid from pg_roles r where r.rolname = current_user) then
        execute format('alter function %s owner to %s', notifier, found_table.relowner::regrole);
    end if;
    foreach event in array events loop
        continue when event <> all (followed);
        execute format('create trigger follow_%s after %1$s on public.%I%s for each statement execute function %s(%s)',
            event, table_name,
            case event when 'insert' then ' referencing new table as new_rows'
                       when 'update' then ' referencing old table as old_rows new table as new_rows'
                       when 'delete' then ' referencing old table as old_rows' end,
            left(notifier, -2), arguments);
        execute format('alter table public.%I enable always trigger follow_%s', table_name, event);
    end loop;
    -- The worker that applies rows has no query of a client; every session that sends statements has one, and
    -- there the triggers of its statements announce them.
    execute format(
        'create trigger follow_applied after %s on public.%I for each row
           when (current_setting(''session_replication_role'') = ''replica'' and current_query() is null)
         execute function %s(%s)',
        (select string_agg(e, ' or ') from unnest(events) e where e = any (followed) and e <> 'truncate'),
        table_name, left(notifier, -2), arguments);
    execute format('alter table public.%I enable always trigger follow_applied', table_name);
end
$$;
-- It has no default: a planted function of two parameters would come before it.
comment on function public.follow_table(text, jsonb, boolean) is
    'Makes triggers that announce each statement on a table of the schema public, and keep it in changes if recorded. rules lists the channels, in the order in which they are notified: a name, or an object with "notify" (the channel), "on" (some of insert, update, delete, truncate; all if left out), "changed" (columns: an update notifies only if one of them has changed, and names those rows) and "otherwise" (the channel of an update that changed none of them). Replaces what an earlier call made.';

-- What the owner of the tables alone may call.
revoke all on function public.notifier_name(text), public.notifier_body(text, jsonb, boolean),
    public.follow_table(text, jsonb, boolean), public.unfollow_table(text) from public;

-- A user who is disabled or enabled loses the sessions. This was part of what announced users.

create function public.end_sessions() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_relid <> 'public.users'::regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.users']::text[]);
    end if;
    if tg_level = 'ROW' then
        -- Deleting notifies, and a transaction that has notified cannot be prepared.
        if not exists (
            select from pg_subscription join pg_database on pg_database.oid = subdbid
             where datname = current_database() and subtwophasestate <> 'd')
        then
            delete from public.sessions where user_id = new.id;
        end if;
    elsif exists (select from old_rows o join new_rows n using (id) where o.is_active <> n.is_active) then
        -- Who was switched off and on again must not be let in by what was opened before.
        delete from public.sessions s
         using old_rows o join new_rows n using (id)
         where s.user_id = o.id and o.is_active <> n.is_active;
    end if;
    return null;
end
$$;
comment on function public.end_sessions() is
    'Deletes the sessions of users who were disabled or enabled. It runs with its owner''s rights, so that a role that may disable a user needs no rights on sessions.';
revoke all on function public.end_sessions() from public;

drop trigger sources_activity_inserted on public.sources;
drop trigger sources_activity_updated on public.sources;
drop trigger sources_activity_deleted on public.sources;
drop trigger sources_activity_truncated on public.sources;
drop trigger sources_inserted on public.sources;
drop trigger sources_updated on public.sources;
drop trigger sources_deleted on public.sources;
drop trigger sources_truncated on public.sources;
drop trigger sources_applied on public.sources;
drop trigger pipeline_runs_activity_inserted on public.pipeline_runs;
drop trigger pipeline_runs_activity_updated on public.pipeline_runs;
drop trigger pipeline_runs_activity_deleted on public.pipeline_runs;
drop trigger pipeline_runs_activity_truncated on public.pipeline_runs;
drop trigger pipeline_runs_inserted on public.pipeline_runs;
drop trigger pipeline_runs_updated on public.pipeline_runs;
drop trigger pipeline_runs_deleted on public.pipeline_runs;
drop trigger pipeline_runs_truncated on public.pipeline_runs;
drop trigger pipeline_runs_applied on public.pipeline_runs;
drop trigger sessions_updated on public.sessions;
drop trigger sessions_deleted on public.sessions;
drop trigger sessions_truncated on public.sessions;
drop trigger sessions_applied on public.sessions;
drop trigger users_updated on public.users;
drop trigger users_deleted on public.users;
drop trigger users_truncated on public.users;
drop trigger users_applied on public.users;
drop function public.record_change();
drop function public.notify_applied_row();
drop function public.notify_sources();
drop function public.notify_pipeline_runs();
drop function public.notify_sessions();
drop function public.notify_users();

-- "crud" is the last: a listener that hears it has heard the others.
select public.follow_table('sources'::text, '[
    {"notify": "toggle", "on": ["update"], "changed": ["status"]},
    {"notify": "source_lib", "changed": ["status", "datadelivery_status", "created_at"], "otherwise": "source"},
    "crud"]'::jsonb, true);
select public.follow_table('pipeline_runs'::text, '["emr", "lib"]'::jsonb, true);
-- A new session or user concerns nobody yet, and a sign-in concerns no socket.
select public.follow_table('sessions'::text, '[{"notify": "session", "on": ["update", "delete", "truncate"]}]'::jsonb, false);
select public.follow_table('users'::text,
    '[{"notify": "account", "on": ["update", "delete", "truncate"], "changed": ["role", "is_active"]}]'::jsonb, false);

-- Before what announces the user: "end_" sorts before "follow_".
create trigger end_sessions after update on public.users
    referencing old table as old_rows new table as new_rows for each statement execute function public.end_sessions();
create trigger end_sessions_applied after update on public.users for each row
    when (current_setting('session_replication_role') = 'replica' and current_query() is null
          and old.is_active is distinct from new.is_active)
    execute function public.end_sessions();
alter table public.users enable always trigger end_sessions;
alter table public.users enable always trigger end_sessions_applied;
