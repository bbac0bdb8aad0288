-- From what is staged to `sources` and `users`, a few statements whatever the number of rows. What
-- changed there since the last import is brought, column by column, and nothing else.

-- Values that there is no room for here.
do $$
declare
    room record;
    name text;
begin
    for room in
        select a.attname as name, a.atttypmod - 4 as characters
          from pg_attribute a
         where a.attrelid = 'public.sources'::regclass and a.atttypid = 'varchar'::regtype and a.atttypmod > 0
           and a.attname not in ('next_status', 'datadelivery_status')
    loop
        execute format('update django_sources set %1$I = '''' where %1$I is null', room.name);
        execute format(
            'with cut as (update django_sources d set %1$I = left(d.%1$I, $1)
                            from (select id, char_length(%1$I) as found from django_sources) l
                           where l.id = d.id and l.found > $1 returning d.id, l.found)
             insert into django_notes
             select ''changed'', id, format(''source %%s: %%s was cut from %%s to %%s characters'', id, $2, found, $1) from cut',
            room.name) using room.characters, room.name;
    end loop;
    foreach name in array array['end_date', 'current_update', 'next_update'] loop
        execute format(
            'with gone as (update django_sources set %1$I = null
                            where not %1$I between ''0001-01-01'' and ''9999-12-31'' returning id)
             insert into django_notes
             select ''changed'', id, format(''source %%s: %%s was no day of the years 1 to 9999 and is empty now'', id, $1) from gone',
            name) using name;
    end loop;
    foreach name in array array['created_at', 'updated_at'] loop
        execute format(
            'with moved as (update django_sources set %1$I = least(greatest(%1$I, ''0001-01-02''), ''9999-12-30'')
                             where not %1$I between ''0001-01-02'' and ''9999-12-30'' returning id)
             insert into django_notes
             select ''changed'', id, format(''source %%s: %%s was moved into the years 1 to 9999'', id, $1) from moved',
            name) using name;
    end loop;
end
$$;
create temp table django_moved (key text, field text) on commit drop;
do $$
declare
    name text;
begin
    foreach name in array array['created_at', 'last_login_at'] loop
        execute format(
            'with moved as (update django_users set %1$I = least(greatest(%1$I, ''0001-01-02''), ''9999-12-30'')
                             where not %1$I between ''0001-01-02'' and ''9999-12-30'' returning key)
             insert into django_moved select key, $1 from moved',
            name) using name;
    end loop;
end
$$;
update django_sources set data_upload = nullif(left(data_upload, 10000), '');
update django_users set email = left(coalesce(email, ''), 254), password = left(password, 10000);
-- Django puts a word of its own before the PHC string.
update django_users set password = substr(password, 7) where password ~ '^argon2[$]argon2(id|i|d)[$]';

-- Each row as it is there, to be compared with how it was.
alter table django_sources add column is_now jsonb;
update django_sources d set is_now = to_jsonb(d) - 'next_status' - 'datadelivery_status' - 'is_now';
alter table django_users add column is_now jsonb;
update django_users d set is_now = jsonb_build_object(
    'username', d.username, 'email', d.email, 'role', case when d.is_admin then 'admin' else 'editor' end,
    'is_active', d.is_active, 'created_at', d.created_at, 'last_login_at', d.last_login_at,
    'password', encode(sha256(convert_to(d.password, 'UTF8')), 'hex'));

-- Removed there: removed here, unless somebody has changed it here.
create temp table django_gone on commit drop as
    select l.kind, l.key, l.id, l.was from public.django_imports l
     where not exists (select from django_sources d where l.kind = 'source' and d.id::text = l.key)
       and not exists (select from django_users d where l.kind = 'user' and d.key = l.key);
delete from public.django_imports l using django_gone g where (l.kind, l.key) = (g.kind, g.key);
with removed as (
    delete from public.sources t using django_gone g
     where g.kind = 'source' and t.id = g.id and to_jsonb(t) @> (g.was - 'updated_at') returning t.id)
insert into django_counts select 'source', 'removed', count(*) from removed;
with removed as (
    delete from public.users t using django_gone g
     where g.kind = 'user' and t.id = g.id and to_jsonb(t) @> (g.was - 'last_login_at' - 'password') returning t.id)
insert into django_counts select 'user', 'removed', count(*) from removed;
insert into django_notes
    select 'left out', null::uuid, format('the removal of source %s: it was changed here since', g.id)
      from django_gone g join public.sources t on g.kind = 'source' and t.id = g.id
    union all
    select 'left out', null::uuid, format('the removal of user %s: it was changed here since', t.username)
      from django_gone g join public.users t on g.kind = 'user' and t.id = g.id;

-- Changed there.
create temp table django_changes on commit drop as
    select l.kind, l.key, l.id, l.was, n.is_now,
           (select jsonb_object_agg(c.key, c.value) from jsonb_each(n.is_now) c
             where c.value is distinct from l.was -> c.key) as fields
      from public.django_imports l
      join (select 'source' as kind, id::text as key, is_now from django_sources
            union all select 'user', key, is_now from django_users) n using (kind, key)
     where n.is_now <> l.was;
with taken as (
    delete from django_changes c using public.users u
     where c.kind = 'user' and c.fields ->> 'username' = u.username and u.id <> c.id
    returning c.was ->> 'username' as old, u.username as new)
insert into django_notes
    select 'left out', null::uuid, format('changes of user %s, who is called %s there: here that is somebody else', old, new) from taken;
insert into django_notes
    select 'changed', c.id, format('source %s: %s was changed here too; the backend''s value was taken', c.id, f.key)
      from django_changes c join public.sources t on c.kind = 'source' and t.id = c.id, jsonb_each(c.fields) f
     where f.key <> 'updated_at' and to_jsonb(t) -> f.key not in (f.value, c.was -> f.key);

with changed as (
    update public.sources t
       set (created_at, updated_at, created_by, country, data_vendor, panel, panel_group, scope_of_subscription,
            data_type, granularity, end_date, current_update, next_update, data_upload, status) =
           (select n.created_at,
                   case when to_jsonb(t) @> (c.was - 'updated_at') then n.updated_at else greatest(t.updated_at, n.updated_at) end,
                   n.created_by, n.country, n.data_vendor, n.panel, n.panel_group, n.scope_of_subscription,
                   n.data_type, n.granularity, n.end_date, n.current_update, n.next_update, n.data_upload, n.status
              from jsonb_populate_record(t, c.fields) n)
      from django_changes c
     where c.kind = 'source' and t.id = c.id
    returning t.id)
insert into django_counts select 'source', 'changed', count(*) from changed;
with changed as (
    update public.users t
       set (username, email, role, is_active, created_at, last_login_at, password_hash) =
           (select n.username, n.email, n.role, n.is_active, n.created_at, greatest(t.last_login_at, n.last_login_at),
                   case when c.fields ? 'password' then d.password else t.password_hash end
              from jsonb_populate_record(t, c.fields) n)
      from django_changes c join django_users d using (key)
     where c.kind = 'user' and t.id = c.id
    returning t.id)
insert into django_counts select 'user', 'changed', count(*) from changed;
-- Whoever knew the old password is signed out.
delete from public.sessions s using django_changes c
 where c.kind = 'user' and s.user_id = c.id and c.fields ? 'password';

-- New there.
create temp table django_added on commit drop as
    select 'source' as kind, d.id::text as key, d.id, d.is_now from django_sources d
     where not exists (select from public.django_imports l where (l.kind, l.key) = ('source', d.id::text))
       and not exists (select from public.sources t where t.id = d.id)
    union all
    select 'user', d.key, gen_random_uuid(), d.is_now from django_users d
     where not exists (select from public.django_imports l where (l.kind, l.key) = ('user', d.key))
       and not exists (select from public.users t where t.username = d.username)
       and char_length(d.username) between 1 and 150;
insert into django_notes
    select 'left out', null::uuid, format('source %s: one of this id was here before', d.id) from django_sources d
     where not exists (select from public.django_imports l where (l.kind, l.key) = ('source', d.id::text))
       and not exists (select from django_added a where (a.kind, a.key) = ('source', d.id::text))
    union all
    select 'left out', null::uuid, format('user %s: %s', d.username,
           case when char_length(d.username) between 1 and 150 then 'somebody of this name was here before' else 'no name to sign in with here' end)
      from django_users d
     where not exists (select from public.django_imports l where (l.kind, l.key) = ('user', d.key))
       and not exists (select from django_added a where (a.kind, a.key) = ('user', d.key));
with added as (
    insert into public.sources (id, created_at, updated_at, created_by, country, data_vendor, panel, panel_group,
           scope_of_subscription, data_type, granularity, end_date, current_update, next_update, data_upload, status)
    select d.id, d.created_at, d.updated_at, d.created_by, d.country, d.data_vendor, d.panel, d.panel_group,
           d.scope_of_subscription, d.data_type, d.granularity, d.end_date, d.current_update, d.next_update, d.data_upload, d.status
      from django_sources d join django_added a on a.kind = 'source' and a.id = d.id
    returning id)
insert into django_counts select 'source', 'added', count(*) from added;
with added as (
    insert into public.users (id, username, email, password_hash, role, is_active, created_at, last_login_at)
    select a.id, d.username, d.email, d.password, d.is_now ->> 'role', d.is_active, d.created_at, d.last_login_at
      from django_users d join django_added a on a.kind = 'user' and a.key = d.key
    returning id)
insert into django_counts select 'user', 'added', count(*) from added;

insert into public.django_imports (kind, key, id, was)
    select kind, key, id, is_now from django_added
    union all
    select kind, key, id, is_now from django_changes
    on conflict (kind, key) do update set was = excluded.was;

-- What else is to be told of the rows that were touched.
create temp table django_touched on commit drop as
    select id from django_added union all select id from django_changes;
insert into django_notes
    select 'changed', d.id, format('source %s: datadelivery_status is %s today, and was %s when it was saved', d.id, t.datadelivery_status, d.datadelivery_status)
      from django_sources d join public.sources t using (id) where d.datadelivery_status is distinct from t.datadelivery_status
    union all
    select 'changed', d.id, format('source %s: next_status is %s, after next_update, and was %s', d.id, t.next_status, d.next_status)
      from django_sources d join public.sources t using (id) where d.next_status is distinct from t.next_status
    union all
    select 'changed', t.id, format('user %s: %s was moved into the years 1 to 9999', t.username, m.field)
      from django_moved m join public.django_imports l on (l.kind, l.key) = ('user', m.key) join public.users t on t.id = l.id
    union all
    select 'changed', t.id, format('user %s: staff or superuser there, admin here', t.username)
      from django_users d join public.django_imports l on (l.kind, l.key) = ('user', d.key) join public.users t on t.id = l.id where d.is_admin
    union all
    select 'left out', d.id, format('the file of source %s, %s: it is not in the database, but in the backend''s MEDIA_ROOT', d.id, d.data_upload)
      from django_sources d where d.data_upload is not null
    union all
    select 'left out', t.id, format('the first and last name of user %s', t.username)
      from django_users d join public.django_imports l on (l.kind, l.key) = ('user', d.key) join public.users t on t.id = l.id where d.is_named
    union all
    select 'left out', t.id, format('the password of user %s, which %s: set one with marketplace users password', t.username,
           case when d.password like '!%' then 'was not usable there' else 'is hashed in a way unknown here' end)
      from django_users d join public.django_imports l on (l.kind, l.key) = ('user', d.key) join public.users t on t.id = l.id
     where d.password not like 'pbkdf2\_sha256$%' and d.password not like '$argon2id$%';
delete from django_notes n where n.id is not null and not exists (select from django_touched t where t.id = n.id);
