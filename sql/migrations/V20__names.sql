-- New names are compared by their look as well. What looks alike is decided by the program, which knows
-- Unicode's tables; what is stored here makes it hold for all servers at once.

alter table public.users
    add column name_key text constraint users_name_key unique,
    add column look_key text constraint users_look_key unique;
comment on column public.users.name_key is
    'The name''s letters without case, by their look: no two users have the same. Null until the next new name is compared with it, and while another user has the same (both imported, or written by SQL).';
comment on column public.users.look_key is
    'The name''s look as it is written, without case; null as name_key is.';

create function public.forget_name_keys() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.name_key is not distinct from old.name_key then
        new.name_key := null;
        new.look_key := null;
    end if;
    return new;
end
$$;
comment on function public.forget_name_keys() is
    'Takes the keys of its old name from a user who is renamed.';
revoke execute on function public.forget_name_keys() from public;

create trigger users_renamed before update of username on public.users
    for each row when (old.username is distinct from new.username)
    execute function public.forget_name_keys();

alter table public.users enable always trigger users_renamed;

create index users_without_keys_idx on public.users (id) where name_key is null and look_key is null;
create index users_imported_hash_idx on public.users (id)
    where password_hash like 'pbkdf2\_sha256$%'
       or password_hash like '$argon2%'
          and password_hash not like '$argon2id$v=19$m=19456,t=2,p=1$%';
comment on index public.users_imported_hash_idx is
    'Whether anybody still has a password''s hash that was imported: while somebody has, wrong sign-ins take longer.';
