-- What every table's triggers share: the local calendar and the one way a change is announced.

create function local_time_zone() returns text
    language sql immutable parallel safe
    return 'Europe/Paris';
comment on function local_time_zone() is
    'The time zone whose calendar decides what "today" is. The server replaces this function when its TIME_ZONE setting differs, so that every session agrees, a DBA''s included.';

create function local_date() returns date
    language sql volatile parallel safe
    return (clock_timestamp() at time zone local_time_zone())::date;
comment on function local_date() is 'Today in the local calendar, by the clock and not by the start of the transaction.';

create function notify_change(channel text, op text, ids uuid[]) returns void
    language sql volatile
    return pg_notify(channel, format('{"op":"%s","ids":%s}', op, coalesce(array_to_json(ids)::text, 'null')));
comment on function notify_change(text, text, uuid[]) is
    'Announces a change as {"op","ids"}. The ids are a hint about what to read again, never the data; null means read everything.';

create function max_notified_ids() returns integer
    language sql immutable parallel safe
    return 200;
comment on function max_notified_ids() is
    'How many ids a notification may name. PostgreSQL refuses payloads above 7999 bytes, and 200 ids take 7827; more are announced as null, because a user''s transaction must never fail on our account.';
