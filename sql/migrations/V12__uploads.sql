create table uploads (
    key uuid not null,
    name text not null,
    created_at timestamptz not null default clock_timestamp(),
    attached boolean not null default false,
    claimed_until timestamptz,
    constraint uploads_pkey primary key (key)
);
comment on table uploads is
    'Objects in the store of uploads, noted before the first byte is stored. One that no source names is an orphan: servers remove it and its row.';
comment on column uploads.key is 'Name of the object.';
comment on column uploads.name is 'The name that the file is given when it is fetched: the sent one, cleaned.';
comment on column uploads.created_at is 'When it began to arrive.';
comment on column uploads.attached is 'Whether a source has named it. Until then, and for some hours, it may be on its way.';
comment on column uploads.claimed_until is 'Until when one server is removing it; null when none is.';

comment on column sources.data_upload is
    'The uploaded file as key/name of its row in uploads; null when there is none. Other texts are shown as they are.';
-- By hash: a text of any length may stand there.
create index sources_data_upload_idx on sources using hash (data_upload);
