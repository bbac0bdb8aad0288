-- A role that may create objects in public gets none of its code run by these functions. Each looks up names
-- in pg_catalog alone, and calls a function of this schema with exactly the types of its parameters: a planted
-- function of the same name is then never the better fit. Functions whose body is a plain RETURN need no
-- search_path: their names were resolved when they were made.

-- It took any number of texts, and a planted function of two parameters came before it.
drop function public.refuse_foreign_table(oid, text[]);
create function public.refuse_foreign_table(attached_to oid, wanted text[]) returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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
comment on function public.refuse_foreign_table(oid, text[]) is
    'Raises an error when a trigger function that runs as its owner was attached to another table than the wanted ones or a part of them.';
revoke all on function public.refuse_foreign_table(oid, text[]) from public;

do $migration$
declare
    signature regprocedure;
    definition text;
begin
    -- Of the owner of the tables only: others may have made functions with these names.
    for signature in
        select p.oid from pg_proc p join pg_language l on l.oid = p.prolang
         where p.pronamespace = 'public'::regnamespace::oid and l.lanname = 'plpgsql'
           and p.proowner = (select relowner from pg_class where oid = 'public.sources'::regclass::oid)
           and p.proname in (
               'cancel_waiting_run', 'derive_source', 'forget_name_keys', 'note_pipeline_run_state',
               'notify_applied_row', 'notify_change', 'notify_pipeline_runs', 'notify_sessions', 'notify_sources',
               'notify_users', 'record_change', 'rederive_sources', 'refuse_foreign_table', 'touch_pipeline_run',
               'turn_day')
    loop
        definition := pg_get_functiondef(signature::oid);
        -- notify_change(channel text, op text, ids uuid[])
        definition := regexp_replace(definition,
            $$public\.notify_change\('(\w+)', $$, $$public.notify_change('\1'::text, $$, 'g');
        definition := regexp_replace(definition,
            $$public\.notify_change\('(\w+)'::text, '(\w+)', $$, $$public.notify_change('\1'::text, '\2'::text, $$, 'g');
        definition := regexp_replace(definition,
            $$(public\.notify_change\('\w+'::text, '\w+'::text), null\)$$, $$\1, null::uuid[])$$, 'g');
        -- refuse_foreign_table(attached_to oid, wanted text[])
        definition := regexp_replace(definition,
            $$public\.refuse_foreign_table\(tg_relid, ([^()]+)\)$$, $$public.refuse_foreign_table(tg_relid, array[\1]::text[])$$, 'g');
        execute definition;
        execute format('alter function %s set search_path = pg_catalog, pg_temp', signature);
    end loop;
end
$migration$;
