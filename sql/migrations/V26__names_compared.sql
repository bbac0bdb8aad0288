-- Everybody has keys, also those whose names look alike: a new name is compared with all of them. Only
-- between new names that come at the same time an index decides.

alter table public.users
    drop constraint users_name_key,
    drop constraint users_look_key,
    add column was_compared boolean not null default false;
comment on column public.users.name_key is
    'The name''s letters without case, by their look. Null until a server has looked at a name that came by an import or by SQL.';
comment on column public.users.look_key is
    'The name''s look as it is written, without case; null as name_key is.';
comment on column public.users.was_compared is
    'Whether the name was compared with all others before it was given: no two such names look alike.';

-- Those who had another user's key were left without it. No update without a row: of a published table
-- without a key PostgreSQL refuses it also then.
do $$
begin
    if exists (select from public.users where name_key is not null or look_key is not null) then
        update public.users
           set was_compared = name_key is not null and look_key is not null,
               name_key = case when look_key is not null then name_key end,
               look_key = case when name_key is not null then look_key end
         where name_key is not null or look_key is not null;
    end if;
end
$$;

create index users_name_key_idx on public.users (name_key);
create index users_look_key_idx on public.users (look_key);
create unique index users_new_name_key on public.users (name_key) where was_compared;
create unique index users_new_look_key on public.users (look_key) where was_compared;
comment on index public.users_new_name_key is 'Of two new names that look alike and come at the same time, one is given.';
comment on index public.users_new_look_key is 'Of two new names that look alike and come at the same time, one is given.';

drop index public.users_without_keys_idx;
create index users_without_keys_idx on public.users (id) where name_key is null;
comment on index public.users_without_keys_idx is 'Finds those whose names a server has to look at.';

create or replace function public.forget_name_keys() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.name_key is not distinct from old.name_key then
        new.name_key := null;
        new.look_key := null;
        new.was_compared := false;
    end if;
    return new;
end
$$;
