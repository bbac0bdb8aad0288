delete from public.sessions s
 using (
     select id, row_number() over (
             partition by user_id
             order by greatest(created_at, expires_at - interval '14 days') desc, id) as place
       from public.sessions
 ) ranked
 where ranked.id = s.id and ranked.place > 100;

comment on table public.sessions is 'Signed-in browsers, and one row for all sockets that a user opened with a password at one server. A user has at most 100: a new one replaces the one used longest ago. Deleting a row, or moving its expiry into the past, signs it out everywhere and closes its sockets within a second.';
