--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: cancel_waiting_run(uuid); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.cancel_waiting_run(run uuid) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

--
-- Name: FUNCTION cancel_waiting_run(run uuid); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.cancel_waiting_run(run uuid) IS 'Cancels a run that was not sent to EMR; returns false if it may have been sent.';

--
-- Name: delivery_status(date, date); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.delivery_status(current_update date, today date) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (current_update > today) THEN 'awaiting'::text WHEN (current_update = today) THEN 'received'::text ELSE 'delayed'::text END;

--
-- Name: FUNCTION delivery_status(current_update date, today date); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.delivery_status(current_update date, today date) IS 'Delivery status on the given day: awaiting, received or delayed.';

--
-- Name: derive_source(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.derive_source() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    -- Once a row, and a plain value where delivery_status is inlined.
    today pg_catalog.date := public.local_date();
begin
    if tg_relid operator(pg_catalog.<>) 'public.sources'::pg_catalog.regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.sources'::pg_catalog.text]::text[]);
    end if;
    if tg_op operator(pg_catalog.=) 'UPDATE' and new.updated_at operator(pg_catalog.=) old.updated_at then
        new.updated_at := pg_catalog.clock_timestamp();
    end if;
    if new.next_update is null then
        new.next_status := 'unscheduled';
    -- A date beyond these is refused by a constraint, unless somebody has dropped that.
    elsif new.next_update operator(pg_catalog.>=) '0001-01-01'::pg_catalog.date
        and new.next_update operator(pg_catalog.<=) '9999-12-31'::pg_catalog.date
    then
        -- Not by way of timestamptz, as to_char(date) goes: some zones have skipped a day.
        new.next_status := pg_catalog.to_char(new.next_update::pg_catalog.timestamp, 'YYYY-MM-DD'::pg_catalog.text);
    end if;
    new.datadelivery_status := public.delivery_status(new.current_update, today);
    return new;
end
$$;

--
-- Name: FUNCTION derive_source(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.derive_source() IS 'Sets the derived columns and updated_at, for every writer. Leaves next_status as it is if no text can show next_update.';

--
-- Name: end_sessions(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.end_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

--
-- Name: FUNCTION end_sessions(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.end_sessions() IS 'Deletes the sessions of users who were disabled or enabled. It runs with its owner''s rights, so that a role that may disable a user needs no rights on sessions.';

--
-- Name: follow_table(text, jsonb, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.follow_table(table_name text, rules jsonb, recorded boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

--
-- Name: FUNCTION follow_table(table_name text, rules jsonb, recorded boolean); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.follow_table(table_name text, rules jsonb, recorded boolean) IS 'Makes triggers that announce each statement on a table of the schema public, and keep it in changes if recorded. rules lists the channels, in the order in which they are notified: a name, or an object with "notify" (the channel), "on" (some of insert, update, delete, truncate; all if left out), "changed" (columns: an update notifies only if one of them has changed, and names those rows) and "otherwise" (the channel of an update that changed none of them). Replaces what an earlier call made.';

--
-- Name: forget_name_keys(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.forget_name_keys() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if new.name_key is not distinct from old.name_key then
        new.name_key := null;
        new.look_key := null;
        new.was_compared := false;
    end if;
    return new;
end
$$;

--
-- Name: FUNCTION forget_name_keys(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.forget_name_keys() IS 'Takes the keys of its old name from a user who is renamed.';

--
-- Name: local_time_zone(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.local_time_zone() RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 'Europe/Paris'::text;

--
-- Name: FUNCTION local_time_zone(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.local_time_zone() IS 'The time zone whose calendar decides what "today" is. The server replaces this function when its TIME_ZONE setting differs, so that every session agrees, a DBA''s included.';

--
-- Name: local_date(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.local_date() RETURNS date
    LANGUAGE sql PARALLEL SAFE
    RETURN ((clock_timestamp() AT TIME ZONE public.local_time_zone()))::date;

--
-- Name: FUNCTION local_date(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.local_date() IS 'Today in the local calendar, by the clock and not by the start of the transaction.';

--
-- Name: note_pipeline_run_state(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.note_pipeline_run_state() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if tg_relid operator(pg_catalog.<>) 'public.pipeline_runs'::pg_catalog.regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.pipeline_runs']::text[]);
    end if;
    insert into public.pipeline_run_states (run_id, state, step_id, reason)
    values (new.id, new.state, new.step_id, new.reason);
    return null;
end
$$;

--
-- Name: FUNCTION note_pipeline_run_state(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.note_pipeline_run_state() IS 'Writes the history of a run. It runs with its owner''s rights, so that a role that inserts runs needs no rights on the history.';

--
-- Name: notifier_body(text, jsonb, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notifier_body(table_name text, rules jsonb, recorded boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

--
-- Name: FUNCTION notifier_body(table_name text, rules jsonb, recorded boolean); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notifier_body(table_name text, rules jsonb, recorded boolean) IS 'The body of the trigger function that follow_table makes for a table: the one template of all of them.';

--
-- Name: notifier_name(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notifier_name(table_name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('notify_'::text || CASE WHEN (octet_length(table_name) > 56) THEN md5(table_name) ELSE table_name END);

--
-- Name: FUNCTION notifier_name(table_name text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notifier_name(table_name text) IS 'Name of the trigger function that follow_table makes for a table. A name has 63 bytes at most.';

--
-- Name: notify_change(text, text, uuid[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_change(channel text, op text, ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    operation constant text := coalesce(to_json(op)::text, 'null');
    payload text := format('{"op":%s,"ids":null}', operation);
    named text;
begin
    -- An id takes 39 bytes: 205 of them never fit, so a long list is not even written out.
    if cardinality(ids) < 205 then
        named := format('{"op":%s,"ids":%s}', operation, array_to_json(ids));
        if octet_length(named) <= 7999 then
            payload := named;
        end if;
    end if;
    if octet_length(payload) > 7999 then
        payload := '{"op":null,"ids":null}';
    end if;
    -- LISTEN cuts a long name in the same way.
    perform pg_notify(channel::name::text, payload);
end
$$;

--
-- Name: FUNCTION notify_change(channel text, op text, ids uuid[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notify_change(channel text, op text, ids uuid[]) IS 'Announces a change as {"op","ids"}. The ids are a hint about what to read again, never the data; null means read everything. A payload has 7999 bytes at most, so ids that do not fit are left out, as is an operation of that length: a user''s transaction must not fail because of a notification.';

--
-- Name: notify_pipeline_runs(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_pipeline_runs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    touched bigint;
    -- Null when they are too many to be named.
    ids uuid[];
    row_ids uuid[];
    payload text;
    counter text;
    named integer;
    -- An expression is evaluated without a plan of its own, which a statement would have. So each
    -- notification is the value of one.
    told boolean;
    change uuid;
begin
    if tg_relid <> 'public.pipeline_runs'::regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.pipeline_runs']::text[]);
    end if;

    if tg_level = 'ROW' then
        -- A row that logical replication applies: no statement trigger fires.
        if tg_op = 'INSERT' then
            ids := array[new.id];
        elsif tg_op = 'DELETE' then
            ids := array[old.id];
        else
            ids := case when old.id = new.id then array[new.id] else array[old.id, new.id] end;
        end if;
        -- How many rows of this transaction were named. -1: all rows are announced already; -2: a
        -- transaction that notifies cannot be prepared, so a subscription with two_phase would stop.
        counter := 'marketplace.applied_' || ('public.pipeline_runs'::regclass)::oid;
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
            told := pg_notify('emr', payload) is null;
            told := pg_notify('lib', payload) is null;
            return null;
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
            select c.touched, one.* into touched, row_ids, ids
              from (select count(*) as touched from new_rows) c
              left join lateral (
                select array[n.id], case when o.id = n.id then array[n.id] else array[o.id, n.id] end
                  from old_rows o, new_rows n
                 where c.touched = 1
                 limit 1) one on true;
            if touched > 1 then
                row_ids := array(select n.id from new_rows n limit 100);
            end if;
            if touched between 2 and 249 then
                -- A row whose id was changed counts as two.
                select array_agg(coalesce(n.id, o.id))
                  into ids
                  from old_rows o full join new_rows n on o.id = n.id;
            end if;
        end if;
        if touched = 0 then
            return null;
        end if;

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
    end if;

    -- notify_change writes its payloads like this. 205 ids never fit.
    payload := '{"op":"' || lower(tg_op) || '","ids":'
        || coalesce(case when cardinality(ids) < 205 then array_to_json(ids)::text end, 'null') || '}';
    told := pg_notify('emr', payload) is null;
    told := pg_notify('lib', payload) is null;
    return null;
end
$$;

--
-- Name: FUNCTION notify_pipeline_runs(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notify_pipeline_runs() IS 'Announces statements on pipeline_runs as the arguments of its triggers say. follow_table made it; nobody edits it.';

--
-- Name: notify_sessions(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_sessions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    touched bigint;
    -- Null when they are too many to be named.
    ids uuid[];
    row_ids uuid[];
    payload text;
    counter text;
    named integer;
    -- An expression is evaluated without a plan of its own, which a statement would have. So each
    -- notification is the value of one.
    told boolean;
begin
    if tg_relid <> 'public.sessions'::regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.sessions']::text[]);
    end if;

    if tg_level = 'ROW' then
        -- A row that logical replication applies: no statement trigger fires.
        if tg_op = 'INSERT' then
            ids := array[new.id];
        elsif tg_op = 'DELETE' then
            ids := array[old.id];
        else
            ids := case when old.id = new.id then array[new.id] else array[old.id, new.id] end;
        end if;
        -- How many rows of this transaction were named. -1: all rows are announced already; -2: a
        -- transaction that notifies cannot be prepared, so a subscription with two_phase would stop.
        counter := 'marketplace.applied_' || ('public.sessions'::regclass)::oid;
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
            told := pg_notify('session', payload) is null;
            return null;
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
            select c.touched, one.* into touched, row_ids, ids
              from (select count(*) as touched from new_rows) c
              left join lateral (
                select array[n.id], case when o.id = n.id then array[n.id] else array[o.id, n.id] end
                  from old_rows o, new_rows n
                 where c.touched = 1
                 limit 1) one on true;
            if touched > 1 then
                row_ids := array(select n.id from new_rows n limit 100);
            end if;
            if touched between 2 and 249 then
                -- A row whose id was changed counts as two.
                select array_agg(coalesce(n.id, o.id))
                  into ids
                  from old_rows o full join new_rows n on o.id = n.id;
            end if;
        end if;
        if touched = 0 then
            return null;
        end if;
    end if;

    -- notify_change writes its payloads like this. 205 ids never fit.
    payload := '{"op":"' || lower(tg_op) || '","ids":'
        || coalesce(case when cardinality(ids) < 205 then array_to_json(ids)::text end, 'null') || '}';
    if tg_op in ('UPDATE', 'DELETE', 'TRUNCATE') then
        told := pg_notify('session', payload) is null;
    end if;
    return null;
end
$$;

--
-- Name: FUNCTION notify_sessions(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notify_sessions() IS 'Announces statements on sessions as the arguments of its triggers say. follow_table made it; nobody edits it.';

--
-- Name: notify_sources(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_sources() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    touched bigint;
    -- Null when they are too many to be named.
    ids uuid[];
    row_ids uuid[];
    changed_1 uuid[];
    changed_2 uuid[];
    payload text;
    counter text;
    named integer;
    -- An expression is evaluated without a plan of its own, which a statement would have. So each
    -- notification is the value of one.
    told boolean;
    change uuid;
begin
    if tg_relid <> 'public.sources'::regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.sources']::text[]);
    end if;

    if tg_level = 'ROW' then
        -- A row that logical replication applies: no statement trigger fires.
        if tg_op = 'INSERT' then
            ids := array[new.id];
        elsif tg_op = 'DELETE' then
            ids := array[old.id];
        else
            ids := case when old.id = new.id then array[new.id] else array[old.id, new.id] end;
            changed_1 := case when old.id <> new.id or record_image_ne(row(old.status), row(new.status)) then ids end;
            changed_2 := case when old.id <> new.id or record_image_ne(row(old.status, old.datadelivery_status, old.created_at), row(new.status, new.datadelivery_status, new.created_at)) then ids end;
        end if;
        -- How many rows of this transaction were named. -1: all rows are announced already; -2: a
        -- transaction that notifies cannot be prepared, so a subscription with two_phase would stop.
        counter := 'marketplace.applied_' || ('public.sources'::regclass)::oid;
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
            told := pg_notify('toggle', '{"op":"update","ids":null}') is null;
            told := pg_notify('source_lib', payload) is null;
            told := pg_notify('crud', payload) is null;
            return null;
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
            select c.touched, one.* into touched, row_ids, ids, changed_1, changed_2
              from (select count(*) as touched from new_rows) c
              left join lateral (
                select array[n.id], case when o.id = n.id then array[n.id] else array[o.id, n.id] end,
                       case when o.id <> n.id then array[o.id, n.id] when record_image_ne(row(o.status), row(n.status)) then array[n.id] end,
                       case when o.id <> n.id then array[o.id, n.id] when record_image_ne(row(o.status, o.datadelivery_status, o.created_at), row(n.status, n.datadelivery_status, n.created_at)) then array[n.id] end
                  from old_rows o, new_rows n
                 where c.touched = 1
                 limit 1) one on true;
            if touched > 1 then
                row_ids := array(select n.id from new_rows n limit 100);
            end if;
            if touched between 2 and 249 then
                -- A row whose id was changed counts as two.
                select array_agg(coalesce(n.id, o.id)),
                   array_agg(coalesce(n.id, o.id)) filter (where o.id is null or n.id is null or record_image_ne(row(o.status), row(n.status))),
                   array_agg(coalesce(n.id, o.id)) filter (where o.id is null or n.id is null or record_image_ne(row(o.status, o.datadelivery_status, o.created_at), row(n.status, n.datadelivery_status, n.created_at)))
                  into ids, changed_1, changed_2
                  from old_rows o full join new_rows n on o.id = n.id;
            elsif touched > 249 then
                -- So many ids are not named, so old and new rows need not be brought together, which is what a large
                -- update would wait for: it is enough that the sums over both sides differ. Each row's hash
                -- is keyed by its id, so that two rows that swap their values count as changed.
                select
                       case when o.hash_id <> n.hash_id or o.hash_3 is distinct from n.hash_3 then '{}'::uuid[] end,
                       case when o.hash_id <> n.hash_id or o.hash_3 is distinct from n.hash_3 or o.hash_2 is distinct from n.hash_2 or o.hash_1 is distinct from n.hash_1 then '{}'::uuid[] end
                  into changed_1, changed_2
                  from (select bit_xor(uuid_hash_extended(id, 0)) as hash_id,
                           bit_xor(timestamp_hash_extended(created_at at time zone 'UTC', uuid_hash_extended(id, 0))) as hash_1,
                           bit_xor(hashtextextended(datadelivery_status::text, uuid_hash_extended(id, 0))) as hash_2,
                           bit_xor(hashtextextended(status::text, uuid_hash_extended(id, 0))) as hash_3
                          from old_rows) o,
                       (select bit_xor(uuid_hash_extended(id, 0)) as hash_id,
                           bit_xor(timestamp_hash_extended(created_at at time zone 'UTC', uuid_hash_extended(id, 0))) as hash_1,
                           bit_xor(hashtextextended(datadelivery_status::text, uuid_hash_extended(id, 0))) as hash_2,
                           bit_xor(hashtextextended(status::text, uuid_hash_extended(id, 0))) as hash_3
                          from new_rows) n;
            end if;
        end if;
        if touched = 0 then
            return null;
        end if;

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
    end if;

    -- notify_change writes its payloads like this. 205 ids never fit.
    payload := '{"op":"' || lower(tg_op) || '","ids":'
        || coalesce(case when cardinality(ids) < 205 then array_to_json(ids)::text end, 'null') || '}';
    if tg_op = 'UPDATE' then
        if changed_1 is not null then
            told := pg_notify('toggle', '{"op":"update","ids":' || coalesce(case when cardinality(changed_1) between 1 and 204 then array_to_json(changed_1)::text end, 'null') || '}') is null;
        end if;
    end if;
    if tg_op = 'UPDATE' then
        if changed_2 is not null then
            told := pg_notify('source_lib', payload) is null;
        else
            told := pg_notify('source', payload) is null;
        end if;
    elsif tg_op in ('INSERT', 'DELETE', 'TRUNCATE') then
        told := pg_notify('source_lib', payload) is null;
    end if;
    told := pg_notify('crud', payload) is null;
    return null;
end
$$;

--
-- Name: FUNCTION notify_sources(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notify_sources() IS 'Announces statements on sources as the arguments of its triggers say. follow_table made it; nobody edits it.';

--
-- Name: notify_users(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
    touched bigint;
    -- Null when they are too many to be named.
    ids uuid[];
    row_ids uuid[];
    changed_1 uuid[];
    payload text;
    counter text;
    named integer;
    -- An expression is evaluated without a plan of its own, which a statement would have. So each
    -- notification is the value of one.
    told boolean;
begin
    if tg_relid <> 'public.users'::regclass then
        perform public.refuse_foreign_table(tg_relid, array['public.users']::text[]);
    end if;

    if tg_level = 'ROW' then
        -- A row that logical replication applies: no statement trigger fires.
        if tg_op = 'INSERT' then
            ids := array[new.id];
        elsif tg_op = 'DELETE' then
            ids := array[old.id];
        else
            ids := case when old.id = new.id then array[new.id] else array[old.id, new.id] end;
            changed_1 := case when old.id <> new.id or record_image_ne(row(old.role, old.is_active), row(new.role, new.is_active)) then ids end;
            if changed_1 is null then
                return null;
            end if;
        end if;
        -- How many rows of this transaction were named. -1: all rows are announced already; -2: a
        -- transaction that notifies cannot be prepared, so a subscription with two_phase would stop.
        counter := 'marketplace.applied_' || ('public.users'::regclass)::oid;
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
            told := pg_notify('account', payload) is null;
            return null;
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
            select c.touched, one.* into touched, row_ids, ids, changed_1
              from (select count(*) as touched from new_rows) c
              left join lateral (
                select array[n.id], case when o.id = n.id then array[n.id] else array[o.id, n.id] end,
                       case when o.id <> n.id then array[o.id, n.id] when record_image_ne(row(o.role, o.is_active), row(n.role, n.is_active)) then array[n.id] end
                  from old_rows o, new_rows n
                 where c.touched = 1
                 limit 1) one on true;
            if touched > 1 then
                row_ids := array(select n.id from new_rows n limit 100);
            end if;
            if touched between 2 and 249 then
                -- A row whose id was changed counts as two.
                select array_agg(coalesce(n.id, o.id)),
                   array_agg(coalesce(n.id, o.id)) filter (where o.id is null or n.id is null or record_image_ne(row(o.role, o.is_active), row(n.role, n.is_active)))
                  into ids, changed_1
                  from old_rows o full join new_rows n on o.id = n.id;
            elsif touched > 249 then
                -- So many ids are not named, so old and new rows need not be brought together, which is what a large
                -- update would wait for: it is enough that the sums over both sides differ. Each row's hash
                -- is keyed by its id, so that two rows that swap their values count as changed.
                select
                       case when o.hash_id <> n.hash_id or o.hash_2 is distinct from n.hash_2 or o.hash_1 is distinct from n.hash_1 then '{}'::uuid[] end
                  into changed_1
                  from (select bit_xor(uuid_hash_extended(id, 0)) as hash_id,
                           bit_xor(hashtextextended(case when num_nonnulls(is_active) = 1 then concat(is_active) end, uuid_hash_extended(id, 0))) as hash_1,
                           bit_xor(hashtextextended(role::text, uuid_hash_extended(id, 0))) as hash_2
                          from old_rows) o,
                       (select bit_xor(uuid_hash_extended(id, 0)) as hash_id,
                           bit_xor(hashtextextended(case when num_nonnulls(is_active) = 1 then concat(is_active) end, uuid_hash_extended(id, 0))) as hash_1,
                           bit_xor(hashtextextended(role::text, uuid_hash_extended(id, 0))) as hash_2
                          from new_rows) n;
            end if;
        end if;
        if touched = 0 then
            return null;
        end if;
    end if;

    -- notify_change writes its payloads like this. 205 ids never fit.
    payload := '{"op":"' || lower(tg_op) || '","ids":'
        || coalesce(case when cardinality(ids) < 205 then array_to_json(ids)::text end, 'null') || '}';
    if tg_op = 'UPDATE' then
        if changed_1 is not null then
            told := pg_notify('account', '{"op":"update","ids":' || coalesce(case when cardinality(changed_1) between 1 and 204 then array_to_json(changed_1)::text end, 'null') || '}') is null;
        end if;
    elsif tg_op in ('DELETE', 'TRUNCATE') then
        told := pg_notify('account', payload) is null;
    end if;
    return null;
end
$$;

--
-- Name: FUNCTION notify_users(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.notify_users() IS 'Announces statements on users as the arguments of its triggers say. follow_table made it; nobody edits it.';

--
-- Name: pipeline_state_is_final(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.pipeline_state_is_final(state text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (state = ANY (ARRAY['COMPLETED'::text, 'CANCELLED'::text, 'FAILED'::text, 'INTERRUPTED'::text, 'refused'::text, 'lost'::text]));

--
-- Name: FUNCTION pipeline_state_is_final(state text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.pipeline_state_is_final(state text) IS 'True if a run stays in this state. Unknown states are not final: the server continues to track such a run.';

--
-- Name: rederive_sources(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.rederive_sources() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
-- Somebody may give the table a column of one of these names.
#variable_conflict use_variable
declare
    today constant date := public.local_date();
    ids constant uuid[] := array(
        select s.id from public.sources s
         where s.datadelivery_status <> public.delivery_status(s.current_update, today)
           for no key update skip locked);
    next_one int := 1;
    how_many int := cardinality(ids);
    rows_now bigint;
    changed bigint := 0;
begin
    -- All in one statement, so that they are announced once. When a row in there is refused, half of them,
    -- and so on down to the row itself, which is left out; from there on twice as many each time.
    while next_one <= cardinality(ids) loop
        begin
            -- The trigger derives the value; the assignment only makes the row pass through it.
            update public.sources s
               set datadelivery_status = public.delivery_status(s.current_update, today)
             where s.id = any (ids[next_one : next_one + how_many - 1]);
            get diagnostics rows_now = row_count;
            changed := changed + rows_now;
            next_one := next_one + how_many;
            how_many := least(how_many * 2, cardinality(ids));
        exception when data_exception or integrity_constraint_violation or raise_exception then
            if how_many = 1 then
                raise warning 'sources: the delivery status of the row % cannot be derived: %', ids[next_one], sqlerrm;
                next_one := next_one + 1;
            else
                how_many := how_many / 2;
            end if;
        end;
    end loop;
    return changed;
end
$$;

--
-- Name: FUNCTION rederive_sources(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.rederive_sources() IS 'Computes the delivery status again for rows whose status depends on the current date; returns the number of changed rows. Skips rows that another transaction has locked, and rows that the database refuses to write.';

--
-- Name: refuse_foreign_table(oid, text[]); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.refuse_foreign_table(attached_to oid, wanted text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    -- A partition or child of the table is part of it: only the table's owner can make one.
    if attached_to not in (
        with recursive parts (id) as (
            select name::regclass::oid from unnest(wanted) name
            union
            select inhrelid from pg_inherits join parts on inhparent = id
        )
        select id from parts)
    then
        raise insufficient_privilege using
            message = format('this trigger function is for %s, not for %s', array_to_string(wanted, ' and '), attached_to::regclass);
    end if;
end
$$;

--
-- Name: FUNCTION refuse_foreign_table(attached_to oid, wanted text[]); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.refuse_foreign_table(attached_to oid, wanted text[]) IS 'Raises an error when a trigger function that runs as its owner was attached to another table than the wanted ones or a part of them.';

--
-- Name: touch_pipeline_run(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.touch_pipeline_run() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
    if new.updated_at operator(pg_catalog.=) old.updated_at then
        new.updated_at := pg_catalog.clock_timestamp();
    end if;
    return new;
end
$$;

--
-- Name: FUNCTION touch_pipeline_run(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.touch_pipeline_run() IS 'Sets updated_at, for every writer.';

--
-- Name: turn_day(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.turn_day() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
    today constant date := public.local_date();
    changed bigint;
begin
    -- Not an advisory lock: any role that can connect can hold one of those.
    begin
        lock table public.day_turns in share update exclusive mode nowait;
    exception when lock_not_available then
        return false;
    end;
    insert into public.day_turns (day) values (today) on conflict (day) do nothing;
    if not found then
        return false;
    end if;
    changed := public.rederive_sources();
    update public.day_turns t set rederived = changed where t.day = today;
    delete from public.day_turns t where t.day < today - 400;
    -- The counts of the last 30 days move although no run was touched.
    perform public.notify_change('lib'::text, 'update'::text, null::uuid[]);
    return true;
end
$$;

--
-- Name: FUNCTION turn_day(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.turn_day() IS 'Runs the daily update of delivery statuses. Any server may call it any number of times: it runs once a day. Returns true for the call that ran it, false if another call is running it or has run it.';

--
-- Name: unfollow_table(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.unfollow_table(table_name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

--
-- Name: FUNCTION unfollow_table(table_name text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.unfollow_table(table_name text) IS 'Drops what follow_table has made for a table of the schema public, except a function that another table''s trigger calls. Works also when the table is gone.';

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: changes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.changes (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    table_name text NOT NULL,
    operation text NOT NULL,
    row_count bigint,
    row_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    username text,
    role_name text NOT NULL,
    application_name text NOT NULL,
    CONSTRAINT changes_in_range CHECK ((((at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (row_count >= 0) AND (COALESCE(array_ndims(row_ids), 1) = 1) AND (cardinality(row_ids) <= 1000) AND (array_position(row_ids, NULL::uuid) IS NULL) AND (char_length(table_name) <= 150) AND (char_length(operation) <= 150) AND (char_length(username) <= 150) AND (char_length(role_name) <= 150) AND (char_length(application_name) <= 150)))
);

--
-- Name: TABLE changes; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.changes IS 'Statements that changed sources and pipeline_runs, with their users: one row per statement, however many rows it changed. Kept for 30 days. Informative, not tamper-proof.';

--
-- Name: COLUMN changes.operation; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.changes.operation IS 'insert, update, delete or truncate.';

--
-- Name: COLUMN changes.row_count; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.changes.row_count IS 'Number of rows; null for truncate, which does not count them.';

--
-- Name: COLUMN changes.row_ids; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.changes.row_ids IS 'The first 100 ids.';

--
-- Name: COLUMN changes.username; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.changes.username IS 'The signed-in user for whom the server wrote; null for a direct edit. Taken from the setting marketplace.user of the session.';

--
-- Name: COLUMN changes.role_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.changes.role_name IS 'The database role that the statement ran as.';

--
-- Name: COLUMN changes.application_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.changes.application_name IS 'application_name of the client: psql, marketplace, ...';

--
-- Name: CONSTRAINT changes_in_range ON changes; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT changes_in_range ON public.changes IS 'Limits values to what the program can represent, as for sources; row_ids is a plain list without null.';

--
-- Name: day_turns; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.day_turns (
    day date NOT NULL,
    turned_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    rederived bigint DEFAULT 0 NOT NULL,
    CONSTRAINT day_turns_in_range CHECK ((((day >= '0001-01-01'::date) AND (day <= '9999-12-31'::date)) AND ((turned_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (turned_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (rederived >= 0)))
);

--
-- Name: TABLE day_turns; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.day_turns IS 'One row for each local day for which the daily update ran. The key ensures that one server runs it.';

--
-- Name: COLUMN day_turns.rederived; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.day_turns.rederived IS 'Number of sources whose delivery status this update changed.';

--
-- Name: CONSTRAINT day_turns_in_range ON day_turns; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT day_turns_in_range ON public.day_turns IS 'Limits values to what the program can represent, as for sources.';

--
-- Name: django_imports; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.django_imports (
    kind text NOT NULL,
    key text NOT NULL,
    id uuid NOT NULL,
    was jsonb NOT NULL,
    CONSTRAINT django_imports_in_range CHECK (((octet_length(key) <= 65536) AND (octet_length((was)::text) <= 1048576))),
    CONSTRAINT django_imports_kind_known CHECK ((kind = ANY (ARRAY['source'::text, 'user'::text]))),
    CONSTRAINT django_imports_was_object CHECK ((jsonb_typeof(was) = 'object'::text))
);

--
-- Name: TABLE django_imports; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.django_imports IS 'Rows that `marketplace import-django` has imported, as they were in the Django database. The next run imports only rows that have changed there. After the move these rows can be deleted.';

--
-- Name: COLUMN django_imports.key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.django_imports.key IS 'Key of the row in the Django database.';

--
-- Name: COLUMN django_imports.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.django_imports.id IS 'Id of the source or user in this database; it may have been deleted.';

--
-- Name: COLUMN django_imports.was; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.django_imports.was IS 'The Django row at the last import, with the SHA-256 of the password hash instead of the hash.';

--
-- Name: CONSTRAINT django_imports_in_range ON django_imports; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT django_imports_in_range ON public.django_imports IS 'What the program can hold: keys of 64 KiB and rows of 1 MiB at most.';

--
-- Name: CONSTRAINT django_imports_was_object ON django_imports; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT django_imports_was_object ON public.django_imports IS 'What the statements of an import take.';

--
-- Name: pipeline_followers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipeline_followers (
    only_one boolean DEFAULT true NOT NULL,
    node uuid NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT pipeline_followers_in_range CHECK (((until >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (until <= '9999-12-30 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT pipeline_followers_only_one_check CHECK (only_one)
);

--
-- Name: TABLE pipeline_followers; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.pipeline_followers IS 'The server that polls EMR for the states of runs. Another server takes over if it does not renew its lease in time.';

--
-- Name: CONSTRAINT pipeline_followers_in_range ON pipeline_followers; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT pipeline_followers_in_range ON public.pipeline_followers IS 'Limits values to what the program can represent, as for sources.';

--
-- Name: pipeline_run_states; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipeline_run_states (
    run_id uuid NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    state character varying(50) NOT NULL,
    step_id character varying(100),
    reason text,
    CONSTRAINT pipeline_run_states_in_range CHECK ((((at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (octet_length(reason) <= 65536)))
);

--
-- Name: TABLE pipeline_run_states; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.pipeline_run_states IS 'History of run states, for every writer. It outlives its run, so that the server recognises the EMR steps of deleted runs.';

--
-- Name: CONSTRAINT pipeline_run_states_in_range ON pipeline_run_states; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT pipeline_run_states_in_range ON public.pipeline_run_states IS 'Limits values to what the program can represent, as for sources.';

--
-- Name: pipeline_runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipeline_runs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    source_id uuid,
    step character varying(100) NOT NULL,
    state character varying(50) DEFAULT 'requested'::character varying NOT NULL,
    step_id character varying(100),
    reason text,
    requested_by character varying(255) DEFAULT CURRENT_USER NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind character varying(20) DEFAULT 'step'::character varying NOT NULL,
    deploy_mode character varying(20) DEFAULT 'cluster'::character varying NOT NULL,
    cluster_id character varying(100),
    CONSTRAINT pipeline_runs_deploy_mode_known CHECK (((deploy_mode)::text = ANY ((ARRAY['client'::character varying, 'cluster'::character varying])::text[]))),
    CONSTRAINT pipeline_runs_in_range CHECK ((((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((updated_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (updated_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (octet_length(reason) <= 65536))),
    CONSTRAINT pipeline_runs_kind_known CHECK (((kind)::text = ANY ((ARRAY['step'::character varying, 'job'::character varying])::text[]))),
    CONSTRAINT pipeline_runs_step_not_blank CHECK (((step)::text <> ''::text))
);

--
-- Name: TABLE pipeline_runs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.pipeline_runs IS 'Runs of pipeline steps and packaged jobs, with their states.';

--
-- Name: COLUMN pipeline_runs.source_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.source_id IS 'The source that the run is for; null if none. Not a foreign key: the history outlives its source, and TRUNCATE sources stays possible.';

--
-- Name: COLUMN pipeline_runs.state; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.state IS '"requested" until EMR has accepted the run, then the state as EMR reports it (PENDING, RUNNING, COMPLETED, ...); "refused" if EMR never accepted it, "lost" if EMR no longer knows it.';

--
-- Name: COLUMN pipeline_runs.step_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.step_id IS 'EMR''s id of the step; null until EMR has accepted the run.';

--
-- Name: COLUMN pipeline_runs.reason; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.reason IS 'Why it failed, or why it was refused; null otherwise.';

--
-- Name: COLUMN pipeline_runs.requested_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.requested_by IS 'The signed-in user, or the database role of a direct insert.';

--
-- Name: COLUMN pipeline_runs.updated_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.updated_at IS 'Set on every update, unless the statement sets it.';

--
-- Name: COLUMN pipeline_runs.kind; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.kind IS '"step" runs the scripts of a pipeline step; "job" runs a packaged job of that name.';

--
-- Name: COLUMN pipeline_runs.deploy_mode; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.deploy_mode IS 'Where Spark''s driver runs: "cluster" or "client".';

--
-- Name: COLUMN pipeline_runs.cluster_id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_runs.cluster_id IS 'The cluster that accepted the run; null until then.';

--
-- Name: CONSTRAINT pipeline_runs_in_range ON pipeline_runs; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT pipeline_runs_in_range ON public.pipeline_runs IS 'Limits values to what the program can represent, as for sources.';

--
-- Name: pipeline_submissions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pipeline_submissions (
    run_id uuid NOT NULL,
    node uuid NOT NULL,
    claimed_until timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    cluster_id character varying(100),
    command text,
    sent_at timestamp with time zone,
    waits_for character varying(20),
    problem text,
    full_at timestamp with time zone,
    CONSTRAINT pipeline_submissions_full_at_in_range CHECK (((full_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (full_at <= '9999-12-30 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT pipeline_submissions_in_range CHECK ((((claimed_until >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (claimed_until <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((sent_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (sent_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((attempts >= 0) AND (attempts <= 1000000)) AND (octet_length(command) <= 65536) AND (octet_length(problem) <= 65536))),
    CONSTRAINT pipeline_submissions_sent_what CHECK (((sent_at IS NULL) OR ((cluster_id IS NOT NULL) AND (command IS NOT NULL)))),
    CONSTRAINT pipeline_submissions_waits_for_known CHECK (((waits_for)::text = ANY ((ARRAY['answer'::character varying, 'rate'::character varying, 'room'::character varying, 'access'::character varying])::text[])))
);

--
-- Name: TABLE pipeline_submissions; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.pipeline_submissions IS 'Runs that a server is handing to the cluster. A row goes when the cluster has accepted or refused the run. Beside the runs, so that claims are no changes of a run; not a foreign key, so that TRUNCATE pipeline_runs stays possible.';

--
-- Name: COLUMN pipeline_submissions.node; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.node IS 'The server process that works on it.';

--
-- Name: COLUMN pipeline_submissions.claimed_until; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.claimed_until IS 'From then on any server may take it: its server has died, or waits before the next attempt.';

--
-- Name: COLUMN pipeline_submissions.attempts; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.attempts IS 'How often it was claimed.';

--
-- Name: COLUMN pipeline_submissions.command; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.command IS 'What was sent, by which the step is found at the cluster again.';

--
-- Name: COLUMN pipeline_submissions.sent_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.sent_at IS 'When it was first sent; null before. From then on it is in doubt until the cluster has answered, and is not sent again without asking the cluster whether it is there.';

--
-- Name: COLUMN pipeline_submissions.waits_for; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.waits_for IS 'What the run waits for: "answer" of EMR whether it has the run, "rate" of requests, "room" on the cluster for another step, "access" to EMR (a connection, credentials, rights). Null before the first attempt has ended.';

--
-- Name: COLUMN pipeline_submissions.problem; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.problem IS 'What EMR or the connection said at the last attempt, for people; null when there was no problem.';

--
-- Name: COLUMN pipeline_submissions.full_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.pipeline_submissions.full_at IS 'When the cluster last had no room for another step while the run waited: the run grows stale from then on. Null when it has had room ever since the run was requested.';

--
-- Name: CONSTRAINT pipeline_submissions_in_range ON pipeline_submissions; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT pipeline_submissions_in_range ON public.pipeline_submissions IS 'What the program can hold, as for sources; and an attempt can be added to the attempts.';

--
-- Name: sessions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sessions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT sessions_in_range CHECK ((((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((expires_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (expires_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)))),
    CONSTRAINT sessions_token_hash_length CHECK ((octet_length(token_hash) = 32))
);

--
-- Name: TABLE sessions; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.sessions IS 'Signed-in browsers, and one row for all sockets that a user opened with a password at one server. A user has at most 100: a new one replaces the one used longest ago. Deleting a row, or moving its expiry into the past, signs it out everywhere and closes its sockets within a second.';

--
-- Name: COLUMN sessions.id; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sessions.id IS 'Names the session in notifications; it gives no access.';

--
-- Name: COLUMN sessions.token_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sessions.token_hash IS 'SHA-256 of the cookie. The cookie itself is not stored.';

--
-- Name: COLUMN sessions.expires_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sessions.expires_at IS 'End of the session. The server extends it while the session is used.';

--
-- Name: CONSTRAINT sessions_in_range ON sessions; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT sessions_in_range ON public.sessions IS 'Limits values to what the program can represent, as for sources.';

--
-- Name: sources; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sources (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT (clock_timestamp() + '00:00:00.000001'::interval) NOT NULL,
    created_by character varying(255) DEFAULT CURRENT_USER NOT NULL,
    country character varying(255) DEFAULT ''::character varying NOT NULL,
    data_vendor character varying(255) DEFAULT ''::character varying NOT NULL,
    panel character varying(255) DEFAULT ''::character varying NOT NULL,
    panel_group character varying(255) DEFAULT 'DKM'::character varying NOT NULL,
    scope_of_subscription character varying(255) DEFAULT ''::character varying NOT NULL,
    data_type character varying(255) DEFAULT ''::character varying NOT NULL,
    granularity character varying(255) DEFAULT 'National'::character varying NOT NULL,
    end_date date,
    current_update date,
    next_update date,
    next_status character varying(50) DEFAULT 'unscheduled'::character varying NOT NULL,
    datadelivery_status character varying(50) DEFAULT 'delayed'::character varying NOT NULL,
    data_upload text,
    status character varying(50) DEFAULT 'active'::character varying NOT NULL,
    CONSTRAINT sources_current_update_range CHECK (((current_update >= '0001-01-01'::date) AND (current_update <= '9999-12-31'::date))),
    CONSTRAINT sources_end_date_range CHECK (((end_date >= '0001-01-01'::date) AND (end_date <= '9999-12-31'::date))),
    CONSTRAINT sources_in_range CHECK ((((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((updated_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (updated_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (octet_length(data_upload) <= 65536))),
    CONSTRAINT sources_next_update_range CHECK (((next_update >= '0001-01-01'::date) AND (next_update <= '9999-12-31'::date)))
);

--
-- Name: TABLE sources; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.sources IS 'The catalogue of data sources. Safe to edit by hand: defaults, checks, derived columns and notifications all live here.';

--
-- Name: COLUMN sources.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.created_at IS 'Time of the insert; lists are sorted by it, newest first.';

--
-- Name: COLUMN sources.updated_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.updated_at IS 'Set on every update, unless the statement sets it. Later than created_at from the start.';

--
-- Name: COLUMN sources.created_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.created_by IS 'Who added the source: the name given in the form, or the database role of a direct insert.';

--
-- Name: COLUMN sources.end_date; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.end_date IS 'Last day of the subscription; null when open.';

--
-- Name: COLUMN sources.current_update; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.current_update IS 'Day of the delivery that is due or was last made; null when none is known.';

--
-- Name: COLUMN sources.next_update; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.next_update IS 'Day of the next delivery; null while unscheduled.';

--
-- Name: COLUMN sources.next_status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.next_status IS 'Derived: next_update as an ISO date, or "unscheduled". What a statement writes here is overwritten.';

--
-- Name: COLUMN sources.datadelivery_status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.datadelivery_status IS 'Derived from current_update and the local date: awaiting (after today), received (today), delayed (before today, or null). What a statement writes here is overwritten.';

--
-- Name: COLUMN sources.data_upload; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.data_upload IS 'The uploaded file as key/name of its row in uploads; null when there is none. Other texts are shown as they are.';

--
-- Name: COLUMN sources.status; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.sources.status IS 'The server toggles and counts "active" and "inactive". It stores any other text, and counts it nowhere.';

--
-- Name: CONSTRAINT sources_in_range ON sources; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT sources_in_range ON public.sources IS 'Limits values to what the program can represent: times from 0001-01-02 to 9999-12-30, days in the years 1 to 9999, texts of at most 64 KiB.';

--
-- Name: uploads; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.uploads (
    key uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    attached boolean DEFAULT false NOT NULL,
    claimed_until timestamp with time zone,
    original_name text,
    orphaned_at timestamp with time zone,
    CONSTRAINT uploads_in_range CHECK ((((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((claimed_until >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (claimed_until <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (octet_length(name) <= 65536))),
    CONSTRAINT uploads_orphan_in_range CHECK ((((orphaned_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (orphaned_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (octet_length(original_name) <= 65536)))
);

--
-- Name: TABLE uploads; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.uploads IS 'Objects in the store of uploads, noted before the first byte is stored. Servers remove an object and its row some time (UPLOADS_GRACE) after the last source that named it is gone.';

--
-- Name: COLUMN uploads.key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.key IS 'Name of the object.';

--
-- Name: COLUMN uploads.name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.name IS 'The file name after the key in sources.data_upload: the sent name with safe characters only.';

--
-- Name: COLUMN uploads.created_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.created_at IS 'Start of the upload.';

--
-- Name: COLUMN uploads.attached; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.attached IS 'Whether a source has named it, or was about to. Until then, and for some hours, it may be arriving.';

--
-- Name: COLUMN uploads.claimed_until; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.claimed_until IS 'Until when one server has it for itself: it removes it, or writes the source that is to name it. Null when none does.';

--
-- Name: COLUMN uploads.original_name; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.original_name IS 'File name of a download: the sent name without its directory and control characters; null if it equals name.';

--
-- Name: COLUMN uploads.orphaned_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.uploads.orphaned_at IS 'When a server first saw that no source names it any more; null while one does, or while it was never attached.';

--
-- Name: CONSTRAINT uploads_in_range ON uploads; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT uploads_in_range ON public.uploads IS 'Limits values to what the program can represent, as for sources.';

--
-- Name: CONSTRAINT uploads_orphan_in_range ON uploads; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT uploads_orphan_in_range ON public.uploads IS 'What the program can hold, as for sources.';

--
-- Name: users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.users (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    username character varying(150) NOT NULL,
    email character varying(254) DEFAULT ''::character varying NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_login_at timestamp with time zone,
    role text DEFAULT 'editor'::text NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    name_key text,
    look_key text,
    was_compared boolean DEFAULT false NOT NULL,
    CONSTRAINT users_in_range CHECK ((((created_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (created_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND ((last_login_at >= '0001-01-02 00:00:00+00'::timestamp with time zone) AND (last_login_at <= '9999-12-30 00:00:00+00'::timestamp with time zone)) AND (octet_length(password_hash) <= 65536) AND (octet_length(name_key) <= 65536) AND (octet_length(look_key) <= 65536))),
    CONSTRAINT users_role_known CHECK ((role = ANY (ARRAY['viewer'::text, 'editor'::text, 'admin'::text]))),
    CONSTRAINT users_username_not_blank CHECK (((username)::text <> ''::text))
);

--
-- Name: TABLE users; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.users IS 'User accounts.';

--
-- Name: COLUMN users.username; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.username IS 'The name for signing in; unique, compared exactly.';

--
-- Name: COLUMN users.password_hash; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.password_hash IS 'A PHC string, argon2id; or what was imported from Django, until the next sign-in. Never a password.';

--
-- Name: COLUMN users.last_login_at; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.last_login_at IS 'Null until the first sign-in.';

--
-- Name: COLUMN users.role; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.role IS 'What the user may do: a viewer reads, an editor also changes sources and starts pipeline steps, an admin also manages users. A change reaches open sockets within a second.';

--
-- Name: COLUMN users.is_active; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.is_active IS 'Whether the user may sign in. Any change ends the user''s sessions and closes the sockets.';

--
-- Name: COLUMN users.name_key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.name_key IS 'The name''s letters without case, by their look. Null until a server has looked at a name that came by an import or by SQL.';

--
-- Name: COLUMN users.look_key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.look_key IS 'The name''s look as it is written, without case; null as name_key is.';

--
-- Name: COLUMN users.was_compared; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.was_compared IS 'Whether the name was compared with all others before it was given: no two such names look alike.';

--
-- Name: CONSTRAINT users_in_range ON users; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON CONSTRAINT users_in_range ON public.users IS 'What the program can hold, as for sources.';

--
-- Name: changes changes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (id);

--
-- Name: day_turns day_turns_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.day_turns
    ADD CONSTRAINT day_turns_pkey PRIMARY KEY (day);

--
-- Name: django_imports django_imports_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.django_imports
    ADD CONSTRAINT django_imports_pkey PRIMARY KEY (kind, key);

--
-- Name: pipeline_followers pipeline_followers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_followers
    ADD CONSTRAINT pipeline_followers_pkey PRIMARY KEY (only_one);

--
-- Name: pipeline_runs pipeline_runs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_runs
    ADD CONSTRAINT pipeline_runs_pkey PRIMARY KEY (id);

--
-- Name: pipeline_submissions pipeline_submissions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pipeline_submissions
    ADD CONSTRAINT pipeline_submissions_pkey PRIMARY KEY (run_id);

--
-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

--
-- Name: sessions sessions_token_hash_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_token_hash_key UNIQUE (token_hash);

--
-- Name: sources sources_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sources
    ADD CONSTRAINT sources_pkey PRIMARY KEY (id);

--
-- Name: uploads uploads_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT uploads_pkey PRIMARY KEY (key);

--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

--
-- Name: users users_username_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_username_key UNIQUE (username);

--
-- Name: changes_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX changes_at_idx ON public.changes USING btree (at DESC);

--
-- Name: pipeline_run_states_run_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_run_states_run_id_idx ON public.pipeline_run_states USING btree (run_id, at);

--
-- Name: pipeline_run_states_step_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_run_states_step_id_idx ON public.pipeline_run_states USING btree (step_id) WHERE (step_id IS NOT NULL);

--
-- Name: pipeline_runs_created_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_runs_created_at_idx ON public.pipeline_runs USING btree (created_at DESC);

--
-- Name: pipeline_runs_followed_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_runs_followed_idx ON public.pipeline_runs USING btree (created_at) WHERE ((step_id IS NOT NULL) AND (NOT ((state)::text = ANY ((ARRAY['COMPLETED'::character varying, 'CANCELLED'::character varying, 'FAILED'::character varying, 'INTERRUPTED'::character varying, 'refused'::character varying, 'lost'::character varying])::text[]))));

--
-- Name: INDEX pipeline_runs_followed_idx; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.pipeline_runs_followed_idx IS 'The runs that are followed at the cluster: those whose state pipeline_state_is_final() says is not final.';

--
-- Name: pipeline_runs_source_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_runs_source_id_idx ON public.pipeline_runs USING btree (source_id, created_at DESC);

--
-- Name: pipeline_runs_state_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_runs_state_idx ON public.pipeline_runs USING btree (state, created_at DESC);

--
-- Name: pipeline_runs_step_id_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX pipeline_runs_step_id_key ON public.pipeline_runs USING btree (step_id);

--
-- Name: pipeline_runs_waiting_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_runs_waiting_idx ON public.pipeline_runs USING btree (kind, step, deploy_mode, created_at, id) WHERE (((state)::text = 'requested'::text) AND (step_id IS NULL));

--
-- Name: pipeline_submissions_claimed_until_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX pipeline_submissions_claimed_until_idx ON public.pipeline_submissions USING btree (claimed_until);

--
-- Name: pipeline_submissions_one_in_doubt; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX pipeline_submissions_one_in_doubt ON public.pipeline_submissions USING btree (cluster_id, md5(command)) WHERE (sent_at IS NOT NULL);

--
-- Name: sessions_expires_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_expires_at_idx ON public.sessions USING btree (expires_at);

--
-- Name: sessions_user_id_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id);

--
-- Name: sources_created_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sources_created_at_idx ON public.sources USING btree (created_at DESC, id);

--
-- Name: sources_data_upload_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX sources_data_upload_idx ON public.sources USING hash (data_upload);

--
-- Name: uploads_loose_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX uploads_loose_idx ON public.uploads USING btree (orphaned_at, created_at) WHERE ((orphaned_at IS NOT NULL) OR (NOT attached));

--
-- Name: users_admins_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_admins_idx ON public.users USING btree (id) WHERE ((role = 'admin'::text) AND is_active);

--
-- Name: INDEX users_admins_idx; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.users_admins_idx IS 'Finds admins; one must remain.';

--
-- Name: users_imported_hash_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_imported_hash_idx ON public.users USING btree (id) WHERE ((password_hash ~~ 'pbkdf2\_sha256$%'::text) OR ((password_hash ~~ '$argon2%'::text) AND (password_hash !~~ '$argon2id$v=19$m=19456,t=2,p=1$%'::text)));

--
-- Name: INDEX users_imported_hash_idx; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.users_imported_hash_idx IS 'Finds users with an imported password hash: while one exists, failed sign-ins take longer.';

--
-- Name: users_look_key_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_look_key_idx ON public.users USING btree (look_key);

--
-- Name: users_name_key_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_name_key_idx ON public.users USING btree (name_key);

--
-- Name: users_new_look_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX users_new_look_key ON public.users USING btree (look_key) WHERE was_compared;

--
-- Name: INDEX users_new_look_key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.users_new_look_key IS 'Of two new names that look alike and come at the same time, one is given.';

--
-- Name: users_new_name_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX users_new_name_key ON public.users USING btree (name_key) WHERE was_compared;

--
-- Name: INDEX users_new_name_key; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.users_new_name_key IS 'Of two new names that look alike and come at the same time, one is given.';

--
-- Name: users_without_keys_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_without_keys_idx ON public.users USING btree (id) WHERE (name_key IS NULL);

--
-- Name: INDEX users_without_keys_idx; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON INDEX public.users_without_keys_idx IS 'Finds those whose names a server has to look at.';

--
-- Name: users end_sessions; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER end_sessions AFTER UPDATE ON public.users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.end_sessions();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER end_sessions;

--
-- Name: users end_sessions_applied; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER end_sessions_applied AFTER UPDATE ON public.users FOR EACH ROW WHEN (((current_setting('session_replication_role'::text) = 'replica'::text) AND (current_query() IS NULL) AND (old.is_active IS DISTINCT FROM new.is_active))) EXECUTE FUNCTION public.end_sessions();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER end_sessions_applied;

--
-- Name: pipeline_runs follow_applied; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_applied AFTER INSERT OR DELETE OR UPDATE ON public.pipeline_runs FOR EACH ROW WHEN (((current_setting('session_replication_role'::text) = 'replica'::text) AND (current_query() IS NULL))) EXECUTE FUNCTION public.notify_pipeline_runs('["emr", "lib"]', 'true');

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER follow_applied;

--
-- Name: sessions follow_applied; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_applied AFTER DELETE OR UPDATE ON public.sessions FOR EACH ROW WHEN (((current_setting('session_replication_role'::text) = 'replica'::text) AND (current_query() IS NULL))) EXECUTE FUNCTION public.notify_sessions('[{"on": ["update", "delete", "truncate"], "notify": "session"}]', 'false');

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER follow_applied;

--
-- Name: sources follow_applied; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_applied AFTER INSERT OR DELETE OR UPDATE ON public.sources FOR EACH ROW WHEN (((current_setting('session_replication_role'::text) = 'replica'::text) AND (current_query() IS NULL))) EXECUTE FUNCTION public.notify_sources('[{"on": ["update"], "notify": "toggle", "changed": ["status"]}, {"notify": "source_lib", "changed": ["status", "datadelivery_status", "created_at"], "otherwise": "source"}, "crud"]', 'true');

ALTER TABLE public.sources ENABLE ALWAYS TRIGGER follow_applied;

--
-- Name: users follow_applied; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_applied AFTER DELETE OR UPDATE ON public.users FOR EACH ROW WHEN (((current_setting('session_replication_role'::text) = 'replica'::text) AND (current_query() IS NULL))) EXECUTE FUNCTION public.notify_users('[{"on": ["update", "delete", "truncate"], "notify": "account", "changed": ["role", "is_active"]}]', 'false');

ALTER TABLE public.users ENABLE ALWAYS TRIGGER follow_applied;

--
-- Name: pipeline_runs follow_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_delete AFTER DELETE ON public.pipeline_runs REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_pipeline_runs('["emr", "lib"]', 'true');

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER follow_delete;

--
-- Name: sessions follow_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_delete AFTER DELETE ON public.sessions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sessions('[{"on": ["update", "delete", "truncate"], "notify": "session"}]', 'false');

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER follow_delete;

--
-- Name: sources follow_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_delete AFTER DELETE ON public.sources REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sources('[{"on": ["update"], "notify": "toggle", "changed": ["status"]}, {"notify": "source_lib", "changed": ["status", "datadelivery_status", "created_at"], "otherwise": "source"}, "crud"]', 'true');

ALTER TABLE public.sources ENABLE ALWAYS TRIGGER follow_delete;

--
-- Name: users follow_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_delete AFTER DELETE ON public.users REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_users('[{"on": ["update", "delete", "truncate"], "notify": "account", "changed": ["role", "is_active"]}]', 'false');

ALTER TABLE public.users ENABLE ALWAYS TRIGGER follow_delete;

--
-- Name: pipeline_runs follow_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_insert AFTER INSERT ON public.pipeline_runs REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_pipeline_runs('["emr", "lib"]', 'true');

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER follow_insert;

--
-- Name: sources follow_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_insert AFTER INSERT ON public.sources REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sources('[{"on": ["update"], "notify": "toggle", "changed": ["status"]}, {"notify": "source_lib", "changed": ["status", "datadelivery_status", "created_at"], "otherwise": "source"}, "crud"]', 'true');

ALTER TABLE public.sources ENABLE ALWAYS TRIGGER follow_insert;

--
-- Name: pipeline_runs follow_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_truncate AFTER TRUNCATE ON public.pipeline_runs FOR EACH STATEMENT EXECUTE FUNCTION public.notify_pipeline_runs('["emr", "lib"]', 'true');

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER follow_truncate;

--
-- Name: sessions follow_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_truncate AFTER TRUNCATE ON public.sessions FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sessions('[{"on": ["update", "delete", "truncate"], "notify": "session"}]', 'false');

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER follow_truncate;

--
-- Name: sources follow_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_truncate AFTER TRUNCATE ON public.sources FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sources('[{"on": ["update"], "notify": "toggle", "changed": ["status"]}, {"notify": "source_lib", "changed": ["status", "datadelivery_status", "created_at"], "otherwise": "source"}, "crud"]', 'true');

ALTER TABLE public.sources ENABLE ALWAYS TRIGGER follow_truncate;

--
-- Name: users follow_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_truncate AFTER TRUNCATE ON public.users FOR EACH STATEMENT EXECUTE FUNCTION public.notify_users('[{"on": ["update", "delete", "truncate"], "notify": "account", "changed": ["role", "is_active"]}]', 'false');

ALTER TABLE public.users ENABLE ALWAYS TRIGGER follow_truncate;

--
-- Name: pipeline_runs follow_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_update AFTER UPDATE ON public.pipeline_runs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_pipeline_runs('["emr", "lib"]', 'true');

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER follow_update;

--
-- Name: sessions follow_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_update AFTER UPDATE ON public.sessions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sessions('[{"on": ["update", "delete", "truncate"], "notify": "session"}]', 'false');

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER follow_update;

--
-- Name: sources follow_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_update AFTER UPDATE ON public.sources REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_sources('[{"on": ["update"], "notify": "toggle", "changed": ["status"]}, {"notify": "source_lib", "changed": ["status", "datadelivery_status", "created_at"], "otherwise": "source"}, "crud"]', 'true');

ALTER TABLE public.sources ENABLE ALWAYS TRIGGER follow_update;

--
-- Name: users follow_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER follow_update AFTER UPDATE ON public.users REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.notify_users('[{"on": ["update", "delete", "truncate"], "notify": "account", "changed": ["role", "is_active"]}]', 'false');

ALTER TABLE public.users ENABLE ALWAYS TRIGGER follow_update;

--
-- Name: pipeline_runs pipeline_runs_noted_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pipeline_runs_noted_insert AFTER INSERT ON public.pipeline_runs FOR EACH ROW EXECUTE FUNCTION public.note_pipeline_run_state();

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER pipeline_runs_noted_insert;

--
-- Name: pipeline_runs pipeline_runs_noted_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pipeline_runs_noted_update AFTER UPDATE ON public.pipeline_runs FOR EACH ROW WHEN (((((old.state)::text IS DISTINCT FROM (new.state)::text) OR ((old.step_id)::text IS DISTINCT FROM (new.step_id)::text)) OR (old.reason IS DISTINCT FROM new.reason))) EXECUTE FUNCTION public.note_pipeline_run_state();

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER pipeline_runs_noted_update;

--
-- Name: pipeline_runs pipeline_runs_touched; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER pipeline_runs_touched BEFORE UPDATE ON public.pipeline_runs FOR EACH ROW EXECUTE FUNCTION public.touch_pipeline_run();

ALTER TABLE public.pipeline_runs ENABLE ALWAYS TRIGGER pipeline_runs_touched;

--
-- Name: sources sources_derived; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER sources_derived BEFORE INSERT OR UPDATE ON public.sources FOR EACH ROW EXECUTE FUNCTION public.derive_source();

ALTER TABLE public.sources ENABLE ALWAYS TRIGGER sources_derived;

--
-- Name: users users_renamed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER users_renamed BEFORE UPDATE OF username ON public.users FOR EACH ROW WHEN (((old.username)::text IS DISTINCT FROM (new.username)::text)) EXECUTE FUNCTION public.forget_name_keys();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER users_renamed;

--
-- Name: sessions sessions_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON UPDATE CASCADE ON DELETE CASCADE;

--
-- Name: FUNCTION cancel_waiting_run(run uuid); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.cancel_waiting_run(run uuid) FROM PUBLIC;

--
-- Name: FUNCTION delivery_status(current_update date, today date); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.delivery_status(current_update date, today date) FROM PUBLIC;

--
-- Name: FUNCTION derive_source(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.derive_source() FROM PUBLIC;

--
-- Name: FUNCTION end_sessions(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.end_sessions() FROM PUBLIC;

--
-- Name: FUNCTION follow_table(table_name text, rules jsonb, recorded boolean); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.follow_table(table_name text, rules jsonb, recorded boolean) FROM PUBLIC;

--
-- Name: FUNCTION forget_name_keys(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.forget_name_keys() FROM PUBLIC;

--
-- Name: FUNCTION note_pipeline_run_state(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.note_pipeline_run_state() FROM PUBLIC;

--
-- Name: FUNCTION notifier_body(table_name text, rules jsonb, recorded boolean); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notifier_body(table_name text, rules jsonb, recorded boolean) FROM PUBLIC;

--
-- Name: FUNCTION notifier_name(table_name text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notifier_name(table_name text) FROM PUBLIC;

--
-- Name: FUNCTION notify_pipeline_runs(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notify_pipeline_runs() FROM PUBLIC;

--
-- Name: FUNCTION notify_sessions(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notify_sessions() FROM PUBLIC;

--
-- Name: FUNCTION notify_sources(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notify_sources() FROM PUBLIC;

--
-- Name: FUNCTION notify_users(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.notify_users() FROM PUBLIC;

--
-- Name: FUNCTION pipeline_state_is_final(state text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.pipeline_state_is_final(state text) FROM PUBLIC;

--
-- Name: FUNCTION rederive_sources(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.rederive_sources() FROM PUBLIC;

--
-- Name: FUNCTION refuse_foreign_table(attached_to oid, wanted text[]); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.refuse_foreign_table(attached_to oid, wanted text[]) FROM PUBLIC;

--
-- Name: FUNCTION touch_pipeline_run(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.touch_pipeline_run() FROM PUBLIC;

--
-- Name: FUNCTION turn_day(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.turn_day() FROM PUBLIC;

--
-- Name: FUNCTION unfollow_table(table_name text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.unfollow_table(table_name text) FROM PUBLIC;

--
-- PostgreSQL database dump complete
--
