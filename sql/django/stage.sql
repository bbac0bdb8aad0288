-- Where the rows of a Django backend are put before they are compared; gone with the transaction.

set local time zone 'UTC';
set local datestyle = 'ISO, YMD';
lock table public.django_imports in share row exclusive mode;

create temp table django_sources (
    id uuid primary key,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    created_by text,
    country text,
    data_vendor text,
    panel text,
    panel_group text,
    scope_of_subscription text,
    data_type text,
    granularity text,
    end_date date,
    current_update date,
    next_update date,
    data_upload text,
    next_status text,
    status text,
    datadelivery_status text
) on commit drop;

create temp table django_users (
    key text primary key,
    username text not null,
    email text,
    password text not null,
    is_admin boolean not null,
    is_active boolean not null,
    created_at timestamptz not null,
    last_login_at timestamptz,
    is_named boolean not null
) on commit drop;

-- What is to be told of the import; of a row, only if it was touched.
create temp table django_notes (section text not null, id uuid, note text not null) on commit drop;
create temp table django_counts (kind text not null, done text not null, rows bigint not null) on commit drop;
