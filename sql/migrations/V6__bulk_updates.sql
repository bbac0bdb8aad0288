create or replace function notify_sources() returns trigger
    language plpgsql as $$
declare
    touched bigint;
    toggled boolean := false;
    recounted boolean := false;
    ids uuid[];
    toggled_ids uuid[];
begin
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('source_lib', 'truncate', null), public.notify_change('crud', 'truncate', null);
        return null;
    elsif tg_op = 'INSERT' then
        select count(*) into touched from new_rows;
    else
        select count(*) into touched from old_rows;
    end if;
    if touched = 0 then
        return null;
    end if;

    if touched > public.max_notified_ids() then
        -- No ids are named, so old and new rows need not be brought together, which is what a large
        -- update would wait for: it is enough that the sums over both sides differ. Each row's hash
        -- is keyed by its id, so that two rows that swap their values count as changed.
        if tg_op = 'UPDATE' then
            select o.status <> n.status, o.delivery <> n.delivery into toggled, recounted
              from (select bit_xor(hashtextextended(status, uuid_hash_extended(id, 0))) as status,
                           bit_xor(hashtextextended(datadelivery_status, uuid_hash_extended(id, 0))) as delivery
                      from old_rows) o,
                   (select bit_xor(hashtextextended(status, uuid_hash_extended(id, 0))) as status,
                           bit_xor(hashtextextended(datadelivery_status, uuid_hash_extended(id, 0))) as delivery
                      from new_rows) n;
        end if;
    elsif tg_op = 'INSERT' then
        select array_agg(n.id) into ids from new_rows n;
    elsif tg_op = 'DELETE' then
        select array_agg(o.id) into ids from old_rows o;
    else
        -- An update whose id itself changed counts as both ids.
        select array_agg(coalesce(n.id, o.id)),
               array_agg(coalesce(n.id, o.id)) filter (where o.status is distinct from n.status),
               coalesce(bool_or(o.datadelivery_status is distinct from n.datadelivery_status), false)
          into ids, toggled_ids, recounted
          from old_rows o full join new_rows n on o.id = n.id;
        toggled := toggled_ids is not null;
    end if;

    if tg_op <> 'UPDATE' then
        perform public.notify_change('source_lib', lower(tg_op), ids), public.notify_change('crud', lower(tg_op), ids);
        return null;
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
