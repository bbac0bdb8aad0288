//! The two roles of a private cluster: a superuser for this module, which gets in through the Unix
//! socket alone, and the owner of the application's database, who is none. A cluster of a former
//! version, whose application was the superuser, is converted.

use std::path::Path;

use tokio_postgres::{Client, Config, Error, NoTls, error::SqlState};

use super::NAME;

/// The superuser that initdb makes.
pub(super) const ADMIN: &str = "marketplace_admin";

/// The owner's name while a cluster is converted.
const OWNER: &str = "marketplace_owner";

/// A session of the superuser in one database. Names mean PostgreSQL's own objects alone: others may have
/// made operators and functions in `public`. Cancel-safe: it ends when it is dropped.
pub(super) async fn connect(
    socket_dir: &Path,
    port: u16,
    role: &str,
    database: &str,
) -> Result<Client, Error> {
    let mut config = Config::new();
    config.host_path(socket_dir).port(port);
    config.options("-c search_path=pg_catalog,pg_temp");
    let (client, connection) = config.user(role).dbname(database).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes the owner and the database that are missing.
pub(super) async fn prepare(socket_dir: &Path, port: u16) -> Result<(), Error> {
    let admin = match connect(socket_dir, port, ADMIN, "postgres").await {
        Err(error) if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            convert(socket_dir, port).await?;
            connect(socket_dir, port, ADMIN, "postgres").await?
        }
        admin => admin?,
    };
    // The owner gets the password that initdb was given, as it is kept; no log has it.
    admin
        .batch_execute(&format!(
            "do $$
             begin
                 if not exists (select from pg_roles where rolname = '{NAME}') then
                     execute (select format('create role {NAME} login password %L', rolpassword)
                                from pg_authid where rolname = '{ADMIN}');
                 end if;
                 -- Over TCP nobody is to get in as the superuser. A standby has done so already.
                 if exists (select from pg_authid where rolname = '{ADMIN}' and rolpassword is not null) then
                     alter role {ADMIN} password null;
                 end if;
             end $$"
        ))
        .await?;
    let there = format!("select from pg_database where datname = '{NAME}'");
    if admin.query(&there, &[]).await?.is_empty() {
        let create = format!("create database {NAME} owner {NAME}");
        admin.batch_execute(&create).await?;
    }
    Ok(())
}

/// Hands what people have made in the connected database from the superuser to the owner. What only
/// a superuser can own, such as an extension, stays.
const HAND_OVER: &str = r"
do $$
declare
    old constant oid := 'marketplace'::regrole;
    change text;
begin
    for change in
        select format('alter schema %I', nspname) from pg_namespace
         where nspowner = old and oid >= 16384 and nspname !~ '^pg_'
        union all
        select format('alter table %s', c.oid::regclass) from pg_class c
         where c.relowner = old and c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
           and c.relpersistence <> 't'
           and not exists (select from pg_depend d
                            where d.classid = 'pg_class'::regclass and d.objid = c.oid
                              and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i')))
        union all
        select format('alter routine %s', p.oid::regprocedure) from pg_proc p
         where p.proowner = old and p.oid >= 16384
           and not exists (select from pg_depend d
                            where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
        union all
        select format('alter type %s', t.oid::regtype) from pg_type t
          left join pg_class c on c.oid = t.typrelid
         where t.typowner = old and t.oid >= 16384
           and (t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and c.relkind = 'c')
           and not exists (select from pg_depend d
                            where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
    loop
        execute change || ' owner to marketplace_owner';
    end loop;
    if current_database() <> 'postgres' then
        execute format('alter database %I owner to marketplace_owner', current_database());
    end if;
end $$";

/// Makes two roles of the one that was superuser and owner. Each step can be repeated, and the last
/// one, by which it is done, is a transaction.
async fn convert(socket_dir: &Path, port: u16) -> Result<(), Error> {
    let old = connect(socket_dir, port, NAME, "postgres").await?;
    old.batch_execute(&format!(
        "do $$
         begin
             if not exists (select from pg_roles where rolname = '{OWNER}') then
                 execute (select format('create role {OWNER} login password %L', rolpassword)
                            from pg_authid where rolname = '{NAME}');
             end if;
         end $$"
    ))
    .await?;
    let databases =
        "select datname::text from pg_database where datallowconn and not datistemplate";
    for row in old.query(databases, &[]).await? {
        let database: &str = row.try_get("datname")?;
        let session = connect(socket_dir, port, NAME, database).await?;
        session.batch_execute(HAND_OVER).await?;
    }
    // A role cannot rename itself.
    old.batch_execute(&format!(
        "begin;
         create role marketplace_convert superuser;
         set session authorization marketplace_convert;
         alter role {NAME} rename to {ADMIN};
         alter role {OWNER} rename to {NAME};
         set session authorization default;
         drop role marketplace_convert;
         commit"
    ))
    .await?;
    tracing::info!("the role of the private PostgreSQL's database is no superuser any more");
    Ok(())
}
