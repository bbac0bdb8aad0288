//! Roles of the database: which schemas hide `public` from them, who may make objects in it, and who
//! may call functions that run as their owner. Also the settings and the encoding of the database.

use tokio_postgres::types::Type;

use super::{Finding, Level};
use crate::{
    db::{creators, declared, migrate, row},
    error::Result,
    pg::Client,
};

/// A text that one look has found; empty when there is nothing to say.
async fn found(client: &Client, sql: &str) -> Result<String> {
    let rows = client.query_typed(sql, &[]).await?;
    Ok(row::value(&rows, "found")?.flatten().unwrap_or_default())
}

pub(super) async fn encoding(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "encoding";
    let sql = "select pg_catalog.getdatabaseencoding()::text as found";
    let encoding = found(client, sql).await?;
    Ok(vec![if encoding == "UTF8" {
        Finding::ok(ABOUT, encoding)
    } else {
        let found = format!("{encoding}, which does not hold every text");
        Finding::of(Level::Fail, ABOUT, found, migrate::UTF8)
    }])
}

/// The server itself looks up names in `public` alone, but people at psql do not.
pub(super) async fn schemas(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "schemas";
    let sql = r#"
        with path as (
            select coalesce(
                (select substr(set, length('search_path=') + 1)
                   from pg_db_role_setting s, unnest(s.setconfig) set, pg_database d, pg_roles r
                  where set like 'search\_path=%' and d.datname = current_database()
                    and r.rolname = current_user
                    and s.setdatabase in (0, d.oid) and s.setrole in (0, r.oid)
                  order by (s.setrole <> 0)::int * 2 + (s.setdatabase <> 0)::int desc limit 1),
                '"$user", public') as names
        ), entries as (
            select replace(trim(both ' "' from entry), '$user', current_user) as name, place
              from path, string_to_table(names, ',') with ordinality entries (entry, place)
        )
        select string_agg(e.name, ', ' order by e.place) as found
          from entries e join pg_namespace n on n.nspname = e.name
         where e.name not in ('public', 'pg_catalog')
           and e.place < coalesce((select min(place) from entries where name = 'public'), 1000)"#;
    let first = found(client, sql).await?;
    Ok(vec![if first.is_empty() {
        Finding::ok(ABOUT, "public comes first")
    } else {
        let found = format!(
            "before public comes {first}: the server looks up names in public, but psql as this role does not"
        );
        let advice = "drop that schema, or `alter role ... set search_path = public`";
        Finding::of(Level::Warn, ABOUT, found, advice)
    }])
}

/// Who could make objects that others take for ours.
pub(super) async fn creators(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "schema public";
    let roles = creators::of_public(client).await?;
    Ok(vec![if roles.is_empty() {
        Finding::ok(ABOUT, "only its owner makes objects there")
    } else {
        let found = format!("{roles} can create objects in public");
        let advice = format!("revoke create on schema public from {roles}");
        Finding::of(Level::Warn, ABOUT, found, &advice)
    }])
}

/// A dump that is restored without its privileges gives these back to everybody. What an extension has made
/// is its own business, and other functions are their maker's.
pub(super) async fn callers(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "callers";
    let ours: Vec<&str> = declared::functions().collect();
    let sql = "
        select string_agg(p.oid::regprocedure::text, ', ' order by p.proname)
                   filter (where ours.id is not null) as found,
               string_agg(p.oid::regprocedure::text, ', ' order by p.proname)
                   filter (where ours.id is null) as others
          from pg_proc p
          left join (select to_regprocedure('public.' || name)::oid as id from unnest($1) name) ours
                 on ours.id = p.oid
         where p.pronamespace = 'public'::regnamespace and p.prosecdef
           and has_function_privilege('public', p.oid, 'execute')
           and not exists (select from pg_depend d
                            where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')";
    let rows = client
        .query_typed(sql, &[(&ours, Type::TEXT_ARRAY)])
        .await?;
    let text =
        |column| -> Result<String> { Ok(row::value(&rows, column)?.flatten().unwrap_or_default()) };
    let mut findings = Vec::new();
    let ours = text("found")?;
    if !ours.is_empty() {
        let found = format!("PUBLIC may call {ours}, which runs as its owner");
        let advice = format!("revoke execute on function {ours} from public");
        findings.push(Finding::of(Level::Fail, ABOUT, found, &advice));
    }
    let others = text("others")?;
    if !others.is_empty() {
        let found =
            format!("PUBLIC may call {others}, which runs as its owner and is not of this program");
        let advice = "look whether everybody is meant to call it";
        findings.push(Finding::of(Level::Warn, ABOUT, found, advice));
    }
    if findings.is_empty() {
        let found = "PUBLIC cannot execute functions that run as their owner";
        findings.push(Finding::ok(ABOUT, found));
    }
    Ok(findings)
}

/// What is set for others does no harm here.
pub(super) async fn settings(client: &Client) -> Result<Vec<Finding>> {
    let sql = r"
        select string_agg(set, ', ' order by set) as found
          from pg_db_role_setting s, unnest(s.setconfig) set, pg_database d, pg_roles r
         where d.datname = current_database() and r.rolname = current_user
           and s.setdatabase in (0, d.oid) and s.setrole in (0, r.oid)";
    let set = found(client, sql).await?;
    let found = if set.is_empty() {
        "role and database have no overrides".to_owned()
    } else {
        format!("of the role or database: {set}; the server fixes its own")
    };
    Ok(vec![Finding::ok("settings", found)])
}
