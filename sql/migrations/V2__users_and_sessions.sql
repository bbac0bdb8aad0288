create table users (
    id uuid primary key default gen_random_uuid(),
    username varchar(150) not null constraint users_username_key unique,
    email varchar(254) not null default '',
    password_hash text not null,
    created_at timestamptz not null default clock_timestamp(),
    last_login_at timestamptz,
    constraint users_username_not_blank check (username <> '')
);
comment on table users is 'People who may sign in.';
comment on column users.username is 'The name signed in with; compared exactly, unique.';
comment on column users.password_hash is 'A PHC string, argon2id. Never a password.';
comment on column users.last_login_at is 'Null until the first sign-in.';

create table sessions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null constraint sessions_user_id_fkey references users on update cascade on delete cascade,
    token_hash bytea not null constraint sessions_token_hash_key unique,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    constraint sessions_token_hash_length check (octet_length(token_hash) = 32)
);
comment on table sessions is 'Signed-in browsers. Deleting a row, or moving its expiry into the past, signs it out everywhere and closes its sockets within a second.';
comment on column sessions.id is 'Names the session in notifications; it gives no access.';
comment on column sessions.token_hash is 'SHA-256 of the cookie. The cookie itself is stored nowhere.';
comment on column sessions.expires_at is 'Slides forward while the session is used.';
create index sessions_user_id_idx on sessions (user_id);
create index sessions_expires_at_idx on sessions (expires_at);

create function notify_sessions() returns trigger
    language plpgsql as $$
declare
    touched bigint;
    ids uuid[];
begin
    if tg_op = 'TRUNCATE' then
        perform public.notify_change('session', 'truncate', null);
        return null;
    end if;
    select count(*) into touched from old_rows;
    if touched = 0 then
        return null;
    end if;
    if touched <= public.max_notified_ids() then
        select array_agg(o.id) into ids from old_rows o;
    end if;
    perform public.notify_change('session', lower(tg_op), ids);
    return null;
end
$$;
comment on function notify_sessions() is
    'Announces on channel "session" which sessions changed or went, so that every node re-reads whether their sockets may stay open.';

create trigger sessions_updated after update on sessions
    referencing old table as old_rows
    for each statement execute function notify_sessions();
create trigger sessions_deleted after delete on sessions
    referencing old table as old_rows
    for each statement execute function notify_sessions();
create trigger sessions_truncated after truncate on sessions
    for each statement execute function notify_sessions();
alter table sessions enable always trigger sessions_updated;
alter table sessions enable always trigger sessions_deleted;
alter table sessions enable always trigger sessions_truncated;
