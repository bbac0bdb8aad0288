alter table users
    add column role text not null default 'editor'
        constraint users_role_known check (role in ('viewer', 'editor', 'admin')),
    add column is_active boolean not null default true;
comment on column users.role is
    'What the user may do: a viewer reads, an editor also changes sources and starts pipeline steps, an admin also manages users. A change reaches open sockets within a second.';
comment on column users.is_active is
    'Whether the user may sign in. Any change ends the user''s sessions and closes the sockets.';

create function notify_users() returns trigger
    language plpgsql as $$
declare
    touched uuid[];
begin
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('account', 'truncate', null);
        return null;
    end if;
    if tg_op = 'UPDATE' then
        if exists (select from old_rows o join new_rows n using (id) where o.is_active <> n.is_active) then
            -- Who was switched off and on again must not be let in by what was opened before.
            delete from public.sessions s
             using old_rows o join new_rows n using (id)
             where s.user_id = o.id and o.is_active <> n.is_active;
        end if;
        select array_agg(o.id) into touched
          from old_rows o left join new_rows n using (id)
         where n.id is null or (n.role, n.is_active) is distinct from (o.role, o.is_active);
    else
        select array_agg(o.id) into touched from old_rows o;
    end if;
    if touched is null then
        return null;
    end if;
    if cardinality(touched) > public.max_notified_ids() then
        touched := null;
    end if;
    perform public.notify_change('account', lower(tg_op), touched);
    return null;
end
$$;
comment on function notify_users() is
    'Announces on channel "account" whose role or standing changed, or who went, so that every node re-reads what their sockets may do. A sign-in or a new user announces nothing.';

create trigger users_updated after update on users
    referencing old table as old_rows new table as new_rows
    for each statement execute function notify_users();
create trigger users_deleted after delete on users
    referencing old table as old_rows
    for each statement execute function notify_users();
create trigger users_truncated after truncate on users
    for each statement execute function notify_users();
alter table users enable always trigger users_updated;
alter table users enable always trigger users_deleted;
alter table users enable always trigger users_truncated;
