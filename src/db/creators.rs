//! Who else could put code into the schema `public`, and what is there already. The program's own statements
//! never look there for operators; the first migrations do.

use tokio_postgres::types::Type;

use super::row;
use crate::{error::Result, pg::Client};

/// Whether the role `r` is another one than the current role, a superuser, and those who have the rights of the
/// schema's owner `n.nspowner` or of the current role anyway.
const IS_OTHER: &str = "not r.rolsuper and r.rolname !~ '^pg_'
    and not pg_has_role(r.oid, n.nspowner, 'usage')
    and not pg_has_role(r.oid, current_user::name, 'usage')
    and (current_setting('is_superuser') = 'on' or not pg_has_role(current_user::name, r.oid, 'usage'))";

/// Other roles that may create objects in `public`, as SQL spells them; `PUBLIC` for everybody, and empty when
/// there are none.
pub(crate) async fn of_public(client: &Client) -> Result<String> {
    let sql = format!(
        "select coalesce(case when has_schema_privilege('public', n.oid, 'create') then 'PUBLIC'
                else (select string_agg(quote_ident(r.rolname), ', ' order by r.rolname) from pg_roles r
                       where {IS_OTHER} and has_schema_privilege(r.oid, n.oid, 'create')) end, '') as found
           from pg_namespace n where n.nspname = 'public'"
    );
    let rows = client.query_typed(&sql, &[]).await?;
    Ok(row::value(&rows, "found")?.unwrap_or_default())
}

/// Operators of other roles in `public`, and functions with a name of PostgreSQL's or of ours; empty when there
/// are none.
pub(crate) async fn planted(client: &Client) -> Result<String> {
    let sql = format!(
        "with objects as (
            select 'the operator ' || o.oid::regoperator::text as what, o.oprowner as owner, o.oprnamespace as place
              from pg_operator o
             union all
            select 'the function ' || p.oid::regprocedure::text, p.proowner, p.pronamespace from pg_proc p
             where exists (select from pg_proc other
                            where other.proname = p.proname and other.oid <> p.oid
                              and (other.pronamespace = 'pg_catalog'::regnamespace::oid
                                   or other.pronamespace = p.pronamespace and other.proowner <> p.proowner)))
         select coalesce(string_agg(objects.what, ', ' order by objects.what), '') as found
           from objects
           join pg_namespace n on n.oid = objects.place and n.nspname = 'public'
           join pg_roles r on r.oid = objects.owner
          where {IS_OTHER}"
    );
    let rows = client.query_typed(&sql, &[]).await?;
    Ok(row::value(&rows, "found")?.unwrap_or_default())
}

/// What is wrong with a relation that other roles could have made in place of a table of ours; `None` where
/// the current role may not create any, for then a migration has made it, and where all is well.
pub(crate) async fn foreign_table(client: &Client, table: &str) -> Result<Option<String>> {
    let sql = format!(
        "select format('%s belongs to the role %I, which is neither this role nor the owner of the schema public: \
                 drop it, or give it to the owner of the other tables', $1, r.rolname) as found
           from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
           join pg_roles r on r.oid = c.relowner
          where c.oid = to_regclass($1)::oid and has_schema_privilege(n.oid, 'create') and {IS_OTHER}"
    );
    let rows = client.query_typed(&sql, &[(&table, Type::TEXT)]).await?;
    row::value(&rows, "found")
}
