create table django_imports (
    kind text not null constraint django_imports_kind_known check (kind in ('source', 'user')),
    key text not null,
    id uuid not null,
    was jsonb not null,
    constraint django_imports_pkey primary key (kind, key)
);
comment on table django_imports is
    'What `marketplace import-django` has taken from a Django backend, as it was there. The next run brings what has changed there since, and nothing else; when the backend is gone, so may these rows be.';
comment on column django_imports.key is 'The row''s key there.';
comment on column django_imports.id is 'The source or user here, which may have been removed since.';
comment on column django_imports.was is 'The row as it was there at the last import; instead of a password''s hash, the SHA-256 of that.';

comment on column users.password_hash is
    'A PHC string, argon2id; or what was imported from Django, until the next sign-in. Never a password.';
