-- The Data Library counts the sources created in the past 30 days, so a change of created_at may move a count.

create or replace function public.notify_sources() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    ids uuid[];
    toggled boolean := false;
    recounted boolean := false;
    toggled_ids uuid[];
begin
    if tg_relid <> 'public.sources'::regclass then
        perform public.refuse_foreign_table(tg_relid, 'public.sources');
    end if;
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('source_lib', 'truncate', null), public.notify_change('crud', 'truncate', null);
        return null;
    elsif tg_op = 'INSERT' then
        ids := array(select n.id from new_rows n limit 250);
    else
        ids := array(select o.id from old_rows o limit 250);
    end if;
    if ids = '{}' then
        return null;
    end if;
    if tg_op <> 'UPDATE' then
        perform public.notify_change('source_lib', lower(tg_op), ids), public.notify_change('crud', lower(tg_op), ids);
        return null;
    end if;

    if cardinality(ids) = 250 then
        -- No ids are named, so old and new rows need not be brought together, which is what a large
        -- update would wait for: it is enough that the sums over both sides differ. Each row's hash
        -- is keyed by its id, so that two rows that swap their values count as changed.
        ids := null;
        select o.status <> n.status, o.delivery <> n.delivery or o.created <> n.created into toggled, recounted
          from (select bit_xor(hashtextextended(status, uuid_hash_extended(id, 0))) as status,
                       bit_xor(hashtextextended(datadelivery_status, uuid_hash_extended(id, 0))) as delivery,
                       bit_xor(timestamp_hash_extended(created_at at time zone 'UTC', uuid_hash_extended(id, 0))) as created
                  from old_rows) o,
               (select bit_xor(hashtextextended(status, uuid_hash_extended(id, 0))) as status,
                       bit_xor(hashtextextended(datadelivery_status, uuid_hash_extended(id, 0))) as delivery,
                       bit_xor(timestamp_hash_extended(created_at at time zone 'UTC', uuid_hash_extended(id, 0))) as created
                  from new_rows) n;
    else
        -- An update whose id itself changed counts as both ids.
        select array_agg(coalesce(n.id, o.id)),
               array_agg(coalesce(n.id, o.id)) filter (where o.status is distinct from n.status),
               coalesce(bool_or((o.datadelivery_status, o.created_at) is distinct from (n.datadelivery_status, n.created_at)), false)
          into ids, toggled_ids, recounted
          from old_rows o full join new_rows n on o.id = n.id;
        toggled := toggled_ids is not null;
    end if;

    if toggled then
        perform public.notify_change('toggle', 'update', toggled_ids);
    end if;
    if toggled or recounted then
        perform public.notify_change('source_lib', 'update', ids);
    else
        perform public.notify_change('source', 'update', ids);
    end if;
    perform public.notify_change('crud', 'update', ids);
    return null;
end
$$;
