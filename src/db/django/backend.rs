//! The Django backend's own database: its tables are found, checked and read in one snapshot.

use tokio_postgres::{Client, types::Type};

use crate::{
    db::row,
    error::{Error, Result},
    pg::{dsn::Dsn, primary::Primary},
};

/// The columns of the model of sources, with the types they are read as.
const SOURCE: [(&str, &str); 18] = [
    ("id", "uuid"),
    ("created_at", "timestamptz"),
    ("updated_at", "timestamptz"),
    ("created_by", "text"),
    ("country", "text"),
    ("data_vendor", "text"),
    ("panel", "text"),
    ("panel_group", "text"),
    ("scope_of_subscription", "text"),
    ("data_type", "text"),
    ("granularity", "text"),
    ("end_date", "date"),
    ("current_update", "date"),
    ("next_update", "date"),
    ("data_upload", "text"),
    ("next_status", "text"),
    ("status", "text"),
    ("datadelivery_status", "text"),
];

/// Where a column of the staged users comes from.
const USER: [(&str, &str); 9] = [
    ("key", "id::text"),
    ("username", "username::text"),
    ("email", "email::text"),
    ("password", "password::text"),
    ("is_admin", "is_staff or is_superuser"),
    ("is_active", "is_active"),
    ("created_at", "date_joined::timestamptz"),
    ("last_login_at", "last_login::timestamptz"),
    ("is_named", "first_name <> '' or last_name <> ''"),
];

/// The columns of Django's own model of users.
const USER_THERE: [&str; 11] = [
    "id",
    "username",
    "email",
    "password",
    "is_staff",
    "is_superuser",
    "is_active",
    "date_joined",
    "last_login",
    "first_name",
    "last_name",
];

/// A backend in a transaction that only reads and sees no change.
pub(super) struct Backend {
    pub(super) client: Client,
    /// What of it is never taken.
    pub(super) left_out: Vec<String>,
    sources: String,
    users: String,
}

impl Backend {
    pub(super) async fn open(dsn: &Dsn, zone: &str) -> Result<Self> {
        let (client, wire) = Primary::new(dsn)?.connect().await?;
        tokio::spawn(wire);
        client
            .batch_execute(
                "begin isolation level repeatable read read only; set local datestyle = 'ISO, YMD'; \
                 set local search_path = pg_catalog, pg_temp",
            )
            .await?;
        client
            .query_typed(
                "select set_config('TimeZone', $1, true)",
                &[(&zone, Type::TEXT)],
            )
            .await?;
        let sources = table(&client, r"%\_sourcemodel").await?;
        let users = table(&client, r"auth\_user").await?;
        let mut left_out = Vec::new();
        let wanted = SOURCE.map(|(name, _)| name);
        extra_columns(&client, &sources, &wanted, &mut left_out).await?;
        extra_columns(&client, &users, &USER_THERE, &mut left_out).await?;
        extra_tables(&client, [&sources, &users], &mut left_out).await?;
        Ok(Self {
            client,
            left_out,
            sources,
            users,
        })
    }

    /// The statements that copy from there, each with the one that copies to the stage.
    pub(super) fn copies(&self) -> [(String, String); 2] {
        let list = |columns: &[String]| columns.join(", ");
        let sources = SOURCE.map(|(name, kind)| format!("{name}::{kind}"));
        let users = USER.map(|(_, from)| from.to_owned());
        let copy = |columns: &[String], from: &str, to: &str, names: &[&str]| {
            (
                format!("copy (select {} from {from}) to stdout", list(columns)),
                format!("copy {to} ({}) from stdin", names.join(", ")),
            )
        };
        [
            copy(
                &sources,
                &self.sources,
                "django_sources",
                &SOURCE.map(|(name, _)| name),
            ),
            copy(
                &users,
                &self.users,
                "django_users",
                &USER.map(|(name, _)| name),
            ),
        ]
    }
}

/// The one table of this name, as SQL spells it.
async fn table(client: &Client, like: &str) -> Result<String> {
    let sql = "select format('%I.%I', n.nspname, c.relname) as name
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where c.relkind in ('r', 'p') and c.relname like $1 and n.nspname !~ '^pg_'";
    let rows = client.query_typed(sql, &[(&like, Type::TEXT)]).await?;
    let name = like.replace('\\', "").replace('%', "...");
    match rows.as_slice() {
        [row] => Ok(row.try_get("name")?),
        [] => Err(Error::Start(format!(
            "there is no table {name}: this is not the backend's database, or not all of it"
        ))),
        _ => Err(Error::Start(format!(
            "there is more than one table {name}: which is the backend's?"
        ))),
    }
}

/// Refuses a table that lacks a column; notes those that are not taken.
async fn extra_columns(
    client: &Client,
    table: &str,
    wanted: &[&str],
    left_out: &mut Vec<String>,
) -> Result<()> {
    let sql = "select attname::text as attname from pg_attribute
                where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum";
    let rows = client.query_typed(sql, &[(&table, Type::TEXT)]).await?;
    let found: Vec<&str> = row::values(&rows, "pg_attribute", "attname")?;
    if let Some(missing) = wanted.iter().find(|name| !found.contains(name)) {
        return Err(Error::Start(format!("{table} has no column {missing}")));
    }
    left_out.extend(
        found
            .iter()
            .filter(|name| !wanted.contains(name))
            .map(|name| format!("the column {name} of {table}: there is none of this name here")),
    );
    Ok(())
}

/// Notes the other tables that are not empty.
async fn extra_tables(client: &Client, taken: [&str; 2], left_out: &mut Vec<String>) -> Result<()> {
    let sql = "select format('%I.%I', n.nspname, c.relname) as name,
                      exists (select from pg_class m where m.relnamespace = n.oid and m.relname = 'refinery_schema_history') as is_ours
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
                  and has_table_privilege(c.oid, 'select')
                order by 1";
    for row in client.query_typed(sql, &[]).await? {
        let name: &str = row.try_get("name")?;
        let is_ours: bool = row.try_get("is_ours")?;
        // Where both live in one schema, it cannot be told whose the others are.
        if taken.contains(&name) || is_ours {
            continue;
        }
        let one = format!("select from {name} limit 1");
        if client.query_typed(&one, &[]).await?.is_empty() {
            continue;
        }
        left_out.push(if name.ends_with(".django_session") {
            "sessions: people have to sign in again".into()
        } else {
            format!("the table {name}")
        });
    }
    Ok(())
}
