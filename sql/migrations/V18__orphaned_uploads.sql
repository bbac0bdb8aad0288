alter table public.uploads
    add column original_name text,
    add column orphaned_at timestamptz,
    add constraint uploads_orphan_in_range check (
        orphaned_at between '0001-01-02 00:00+00' and '9999-12-30 00:00+00'
        and octet_length(original_name) <= 65536);
comment on constraint uploads_orphan_in_range on public.uploads is 'What the program can hold, as for sources.';
comment on table public.uploads is
    'Objects in the store of uploads, noted before the first byte is stored. Servers remove an object and its row some time (UPLOADS_GRACE) after the last source that named it is gone.';
comment on column public.uploads.name is
    'The name that sources have after the key: the sent one, made fit for paths.';
comment on column public.uploads.original_name is
    'The name that the file is given when it is fetched: the sent one without what does harm; null when it is name.';
comment on column public.uploads.attached is
    'Whether a source has named it, or was about to. Until then, and for some hours, it may be arriving.';
comment on column public.uploads.claimed_until is
    'Until when one server has it for itself: it removes it, or writes the source that is to name it. Null when none does.';
comment on column public.uploads.orphaned_at is
    'When a server first saw that no source names it any more; null while one does, or while it was never attached.';

-- Few rows at a time are in here, and a sweep looks at these alone to find what may go.
create index uploads_loose_idx on public.uploads (orphaned_at, created_at)
 where orphaned_at is not null or not attached;
