-- No delete without a row: of a published table without a key PostgreSQL refuses it also then.
do $$
begin
    if exists (select from public.sessions group by user_id having count(*) > 100) then
        delete from public.sessions s
         using (
             select id, row_number() over (
                     partition by user_id
                     order by greatest(created_at, expires_at - interval '14 days') desc, id) as place
               from public.sessions
         ) ranked
         where ranked.id = s.id and ranked.place > 100;
    end if;
end
$$;

comment on table public.sessions is 'Signed-in browsers, and one row for all sockets that a user opened with a password at one server. A user has at most 100: a new one replaces the one used longest ago. Deleting a row, or moving its expiry into the past, signs it out everywhere and closes its sockets within a second.';
