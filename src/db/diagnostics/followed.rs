//! Tables that somebody follows besides those of the migrations. Their triggers say how `follow_table` was
//! called; they are held against what it would make today.

use tokio_postgres::types::Type;

use super::{Finding, Level};
use crate::{
    db::{
        declared,
        row::{FromRow, row},
    },
    error::Result,
    pg::Client,
};

const ABOUT: &str = "followed tables";

row! {
    /// A followed table, or the function of one that is gone.
    struct Followed from "public" {
        found: String,
        is_sound: bool,
        /// The statement that makes its triggers and function again, or drops them.
        mends: String,
    }
}

/// Reads all but the tables `$1`. Triggers of other owners are not looked at, whatever they are called.
const FOLLOWED: &str = r"
with owner as (
    select relowner as id from pg_class where oid = to_regclass('public.sources')
), arguments as (
    select c.oid, c.relname::text as name, p.prosrc,
           (select array_agg(convert_from(part, getdatabaseencoding()) order by place)
              from (select 1 as place, substring(t.tgargs from 1 for position('\x00'::bytea in t.tgargs) - 1) as part
                    union all
                    select 2, substring(t.tgargs from position('\x00'::bytea in t.tgargs) + 1
                                        for octet_length(t.tgargs) - position('\x00'::bytea in t.tgargs) - 1)) parts) as given,
           t.tgname, t.tgenabled
      from owner, pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
     where c.relnamespace = to_regnamespace('public') and c.relowner = owner.id and p.proowner = owner.id
       and t.tgname like 'follow\_%' and p.proname like 'notify\_%' and t.tgnargs = 2 and t.tgparentid = 0
       and c.relname <> all ($1)
), followed as (
    select oid, name, given[1]::jsonb as rules, given[2]::boolean as recorded, bool_and(tgenabled = 'A') as is_on,
           bool_and(prosrc = public.notifier_body(name, given[1]::jsonb, given[2]::boolean)) as is_current,
           array_agg(tgname::text) as triggers
      from arguments group by oid, name, given[1]::jsonb, given[2]::boolean
), expected as (
    select f.*, array(
               select distinct e from jsonb_array_elements(f.rules) r,
                      jsonb_array_elements_text(case when f.recorded then null else r -> 'on' end) e
               union
               select e from unnest(array['insert', 'update', 'delete', 'truncate']) e
                where f.recorded or exists (select from jsonb_array_elements(f.rules) r where r -> 'on' is null)) as events
      from followed f
)
select name as found, is_on and is_current and 'follow_applied' = any (triggers)
           and not exists (select from unnest(events) e where 'follow_' || e <> all (triggers)) as is_sound,
       format('select public.follow_table(%L::text, %L::jsonb, %L::boolean)', name, rules, recorded) as mends
  from expected
union all
select p.oid::regprocedure::text, false, format('drop function %s', p.oid::regprocedure)
  from owner, pg_proc p
 where p.pronamespace = to_regnamespace('public') and p.proowner = owner.id and p.prorettype = 'trigger'::regtype
   and p.proname like 'notify\_%' and p.pronargs = 0
   and obj_description(p.oid, 'pg_proc') like '%follow_table made it%'
   and not exists (select from pg_trigger t where t.tgfoid = p.oid)
   and p.proname <> all (select public.notifier_name(name) from unnest($1) name)
 order by found";

async fn read(client: &Client) -> Result<Vec<Followed>> {
    let ours: Vec<&str> = declared::tables().collect();
    let rows = client
        .query_typed(FOLLOWED, &[(&ours, Type::TEXT_ARRAY)])
        .await?;
    rows.iter()
        .map(|row| Followed::from_row(row).map_err(Into::into))
        .collect()
}

/// Looks at each.
pub(super) async fn look(client: &Client) -> Result<Vec<Finding>> {
    let followed = read(client).await?;
    let found = followed.iter().map(|one| {
        let Followed {
            found,
            is_sound,
            mends,
        } = one;
        match (is_sound, mends.strip_prefix("drop ")) {
            (true, _) => Finding::ok(ABOUT, format!("{found} is followed")),
            (false, None) => {
                let found = format!(
                    "the triggers or the function of {found} are not as follow_table makes them"
                );
                Finding::of(Level::Fail, ABOUT, found, mends)
            }
            (false, Some(_)) => {
                let found = format!("the table of the function {found} is gone");
                Finding::of(Level::Warn, ABOUT, found, mends)
            }
        }
    });
    Ok(found.collect())
}

/// What makes those again that are not as they should be.
pub(super) async fn mends(client: &Client) -> Result<Vec<String>> {
    let followed = read(client).await?;
    Ok(followed
        .into_iter()
        .filter(|one| !one.is_sound)
        .map(|one| one.mends)
        .collect())
}
