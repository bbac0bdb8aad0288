//! What the tables say, by a fresh SELECT, in the form in which clients show it. Reads past every
//! proxy; waits while there is no database.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, NoTls};
use uuid::Uuid;

/// What is compared of a source: everything a client is sent.
const COLUMNS: [&str; 18] = [
    "id",
    "next_status",
    "created_at",
    "updated_at",
    "created_by",
    "country",
    "data_vendor",
    "panel",
    "panel_group",
    "scope_of_subscription",
    "data_type",
    "granularity",
    "end_date",
    "current_update",
    "next_update",
    "datadelivery_status",
    "data_upload",
    "status",
];

/// One moment of the tables.
#[derive(Debug)]
pub struct Stored {
    /// Newest first.
    pub rows: Vec<Value>,
    /// Created, active, inactive; received, awaiting, delayed; pending, in progress, completed.
    pub counts: [[i64; 3]; 3],
}

impl Stored {
    /// Reads it, in one statement.
    pub async fn read(database: &str) -> Self {
        const SQL: &str = r#"
            with shown as (
                select s.created_at, s.id, to_jsonb(s) || jsonb_build_object(
                    'created_at', to_char(s.created_at at time zone 'Europe/Paris', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
                    'updated_at', to_char(s.updated_at at time zone 'Europe/Paris', 'YYYY-MM-DD"T"HH24:MI:SS.US')
                ) as row from sources s)
            select (select coalesce(jsonb_agg(row order by created_at desc, id), '[]') from shown)::text,
                s.*, r.*
            from (
                select count(*) filter (where status in ('active', 'inactive') and created_at >= now() - interval '720 hours'),
                       count(*) filter (where status = 'active' and created_at >= now() - interval '720 hours'),
                       count(*) filter (where status = 'inactive' and created_at >= now() - interval '720 hours'),
                       count(*) filter (where datadelivery_status = 'received'),
                       count(*) filter (where datadelivery_status = 'awaiting'),
                       count(*) filter (where datadelivery_status = 'delayed')
                  from sources) s, (
                select count(*) filter (where state in ('requested', 'PENDING')),
                       count(*) filter (where state in ('RUNNING', 'CANCEL_PENDING')),
                       count(*) filter (where state = 'COMPLETED')
                  from pipeline_runs) r"#;
        let found = persistently(database, async |client| client.query_one(SQL, &[]).await).await;
        let rows: Vec<Value> = serde_json::from_str(found.get(0)).expect("PostgreSQL makes JSON");
        let rows = rows.into_iter().map(|row| columns(&row)).collect();
        let count = |column: usize| found.get::<_, i64>(column);
        let section = |first| [count(first), count(first + 1), count(first + 2)];
        Self {
            rows,
            counts: [section(1), section(4), section(7)],
        }
    }

    /// The same rows in the order of their ids.
    pub fn rows_by_id(&self) -> Vec<&Value> {
        let mut rows: Vec<&Value> = self.rows.iter().collect();
        rows.sort_by_key(|row| id(row));
        rows
    }

    /// The source of this id, or null.
    pub fn find(&self, wanted: Uuid) -> Value {
        let wanted = wanted.to_string();
        let found = self.rows.iter().find(|row| id(row) == wanted);
        found.cloned().unwrap_or_default()
    }

    /// The ids, sorted.
    pub fn ids(&self) -> Vec<String> {
        self.rows_by_id().into_iter().map(id).collect()
    }

    /// Each source's status.
    pub fn statuses(&self) -> BTreeMap<String, String> {
        let rows = self.rows.iter();
        rows.map(|row| {
            (
                id(row),
                row["status"].as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
    }
}

/// Each source's status, read now.
pub async fn statuses(database: &str) -> BTreeMap<String, String> {
    let rows = persistently(database, async |client| {
        client
            .query("select id::text, status from sources", &[])
            .await
    })
    .await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Asks on a connection of its own, again and again until there is an answer.
pub async fn persistently<T>(database: &str, ask: impl AsyncFn(&Client) -> Result<T, Error>) -> T {
    let once = async || {
        let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
        let connection = tokio::spawn(connection);
        let answer = ask(&client).await;
        connection.abort();
        answer
    };
    loop {
        match timeout(Duration::from_secs(5), once()).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) if is_a_defect(&error) => panic!("{error:?}"),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Whether PostgreSQL refused a statement because the statement is wrong, and not for a fault or
/// for another writer.
pub fn is_a_defect(error: &Error) -> bool {
    let class = error.code().map(|code| &code.code()[..2]);
    !matches!(class, None | Some("08" | "40" | "53" | "55" | "57" | "58"))
}

/// A list as a client has it.
pub fn list(data: &Value) -> Value {
    let rows = data.as_array().into_iter().flatten();
    rows.map(row).collect()
}

/// A source as a client has it; null when it has none.
pub fn row(shown: &Value) -> Value {
    if shown.is_null() {
        return Value::Null;
    }
    let mut row = columns(shown);
    for column in ["created_at", "updated_at"] {
        // Paris is east of Greenwich, and a fraction of zero is not written.
        let text = shown[column].as_str().unwrap_or_default();
        let local = text.rsplit_once('+').map_or(text, |(local, _)| local);
        let fraction = if local.contains('.') { "" } else { ".000000" };
        row[column] = json!(format!("{local}{fraction}"));
    }
    row
}

/// The counts as a client has them.
pub fn counts(data: &Value) -> Value {
    let sections = data.as_array().into_iter().flatten();
    sections
        .map(|section| json!([section["s1"], section["s2"], section["s3"]]))
        .collect()
}

/// In a few words, what is shown and not stored, or stored and not shown.
pub fn difference(shown: &Value, stored: &Value) -> String {
    let (Value::Array(shown), Value::Array(stored)) = (shown, stored) else {
        return format!("shows {shown}, but {stored} is stored");
    };
    let only = |these: &[Value], those: &[Value]| {
        let mut only: Vec<String> = these
            .iter()
            .filter(|value| !those.contains(value))
            .map(Value::to_string)
            .collect();
        let count = only.len();
        only.truncate(2);
        format!("{count} ({})", only.join(" "))
    };
    format!(
        "shows {}, of them not stored {}; not shown of {} stored {}",
        shown.len(),
        only(shown, stored),
        stored.len(),
        only(stored, shown)
    )
}

fn columns(row: &Value) -> Value {
    COLUMNS
        .iter()
        .map(|column| ((*column).to_owned(), row[*column].clone()))
        .collect()
}

fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_default().to_owned()
}
