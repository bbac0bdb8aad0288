//! The table `sources`: its row and its statements. Derived columns are the database's business.

mod fields;

use jiff::civil::Date;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    row::{self, FromRow, row},
    uploads,
};
use crate::{
    error::{Error, Result},
    local_time::LocalTime,
    pg::{Client, stream::Stream},
};

pub use fields::{Change, Field, FieldValue, Kind};

row! {
    /// One data source. Dates are days of the local calendar.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
    #[expect(
        missing_docs,
        reason = "the columns are described in the database itself"
    )]
    pub struct Source listed by created_at, updated_at from "sources" {
        pub id: Uuid,
        /// `next_update`, or `unscheduled`.
        pub next_status: String,
        pub created_at: LocalTime,
        pub updated_at: LocalTime,
        pub created_by: String,
        pub country: String,
        pub data_vendor: String,
        pub panel: String,
        pub panel_group: String,
        pub scope_of_subscription: String,
        pub data_type: String,
        pub granularity: String,
        #[schema(required)]
        pub end_date: Option<Date>,
        #[schema(required)]
        pub current_update: Option<Date>,
        #[schema(required)]
        pub next_update: Option<Date>,
        /// `received`, `awaiting` or `delayed`.
        pub datadelivery_status: String,
        #[serde(serialize_with = "uploads::path")]
        #[schema(required)]
        pub data_upload: Option<String>,
        pub status: String,
    }
}

/// The field that a new source must have.
pub const AUTHOR: &str = "created_by";
/// The field that switches a source on and off.
pub const STATUS: &str = "status";
/// The date for which there are also words.
pub const NEXT_UPDATE: &str = "next_update";
/// The field of the file.
pub const UPLOAD: &str = "data_upload";

/// All fields that clients set, in the order in which their errors are named. Forms, statements and the
/// API documents follow this table.
pub static FIELDS: &[Field] = &[
    Field::text(AUTHOR)
        .about("Who is responsible for it.")
        .example("Ann"),
    Field::text("country").example("Norway"),
    Field::text("data_vendor"),
    Field::text("panel"),
    Field::text("panel_group").about("Default: `DKM`."),
    Field::optional("scope_of_subscription"),
    Field::text("data_type"),
    Field::text("granularity").about("Default: `National`."),
    Field::new(
        STATUS,
        Kind::Text {
            max: 50,
            blank: false,
        },
    )
    .about("The server toggles and counts `active` and `inactive`; it stores any other text.")
    .example("active"),
    Field::new("end_date", Kind::Date),
    Field::new("current_update", Kind::Date),
    Field::new(NEXT_UPDATE, Kind::Date),
    Field::new(UPLOAD, Kind::File).about("A file, in a form; null removes it."),
];

row! {
    /// A source as the answers to `activate` and its like show it: fewer keys, and `title`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
    #[expect(
        missing_docs,
        reason = "the columns are described in the database itself"
    )]
    pub struct Card from "sources" {
        pub id: Uuid,
        /// The country.
        pub title: String = "country",
        pub data_vendor: String,
        pub panel: String,
        pub panel_group: String,
        pub scope_of_subscription: String,
        pub data_type: String,
        pub granularity: String,
        #[schema(required)]
        pub end_date: Option<Date>,
        #[schema(required)]
        pub current_update: Option<Date>,
        #[schema(required)]
        pub next_update: Option<Date>,
        pub created_by: String,
        pub datadelivery_status: String,
        pub status: String,
    }
}

row! {
    /// Whether a source is switched on.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    #[expect(
        missing_docs,
        reason = "the columns are described in the database itself"
    )]
    pub struct Status from "sources" {
        pub id: Uuid,
        pub status: String,
    }
}

const COLUMNS: &str = Source::COLUMNS;

/// About how many sources there are, as PostgreSQL has counted them last.
pub async fn count_estimate(client: &Client) -> Result<usize> {
    let sql = "select greatest(reltuples, 0)::int8 as rows from pg_class
                where oid = 'public.sources'::regclass";
    let rows = client.query_typed(sql, &[]).await?;
    let rows: Option<i64> = row::value(&rows, "rows")?;
    Ok(usize::try_from(rows.unwrap_or_default()).unwrap_or_default())
}

/// Sources as they come, in no particular order.
#[derive(Debug)]
pub struct Streamed<'a> {
    rows: Stream<'a>,
    has_ended: bool,
}

/// So many sources come at once.
const PART: usize = 1_000;

/// Every source, part by part, all of one moment.
pub async fn stream(client: &Client) -> Result<Streamed<'_>> {
    let sql = format!("select {COLUMNS} from public.sources every_source");
    let rows = client.stream_typed(&sql, &[]).await?;
    Ok(Streamed {
        rows,
        has_ended: false,
    })
}

impl Streamed<'_> {
    /// The next part; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<Source>>> {
        let mut rows = Vec::with_capacity(PART);
        while !self.has_ended && rows.len() < PART {
            match self.rows.next().await? {
                Some(row) => rows.push(row),
                None => self.has_ended = true,
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        row::all(&rows).map(Some)
    }
}

/// One source.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<Source>> {
    let sql = format!("select {COLUMNS} from public.sources where id = $1");
    let rows = client.query_typed(&sql, &[(&id, Type::UUID)]).await?;
    row::first(&rows)
}

/// The statuses of those of `ids` that exist.
pub async fn statuses(client: &Client, ids: &[Uuid]) -> Result<Vec<Status>> {
    let sql = "select id, status from public.sources where id = any($1)";
    let rows = client.query_typed(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    row::all(&rows)
}

/// Says within a statement for whom it is, in no further round trip and for its transaction alone,
/// which is all that a pooler of transactions keeps. `$n` is the user's name.
pub(super) fn on_behalf(n: usize) -> String {
    format!("set_config('marketplace.user', ${n}, true)")
}

/// Adds a source under a fresh `id` for the user `by`; columns that `change` leaves open get the
/// table's defaults.
///
/// # Errors
/// [`Error::Value`] when a text is too long, [`Error::Suppressed`] when a trigger kept it from being added.
pub async fn insert(client: &Client, id: Uuid, change: &Change, by: &str) -> Result<Source> {
    let set = change.columns();
    let names: Vec<&str> = ["id"].into_iter().chain(set).collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
    let on_behalf = on_behalf(names.len() + 1);
    let (names, places) = (names.join(", "), places.join(", "));
    let sql = format!(
        "insert into public.sources ({names}) values ({places}) returning {COLUMNS}, {on_behalf}"
    );
    let rows = client
        .query_typed(&sql, &parameters(&id, change, &by))
        .await?;
    row::first(&rows)?.ok_or(Error::Suppressed(Source::TABLE))
}

/// Changes one source in one statement for the user `by`; `None` when there is no such source.
///
/// # Errors
/// [`Error::Value`] when a text is too long, [`Error::Suppressed`] when a trigger kept it as it was.
pub async fn update<T: FromRow>(
    client: &Client,
    id: Uuid,
    change: &Change,
    by: &str,
) -> Result<Option<T>> {
    let set = change.columns();
    let assignments: Vec<String> = if set.is_empty() {
        // A save without a change is a save all the same: it moves `updated_at`.
        vec!["id = id".into()]
    } else {
        set.iter()
            .enumerate()
            .map(|(n, column)| format!("{column} = ${}", n + 2))
            .collect()
    };
    let sql = format!(
        "update public.sources set {} where id = $1 returning {}, {}",
        assignments.join(", "),
        T::COLUMNS,
        on_behalf(set.len() + 2),
    );
    let rows = client
        .query_typed(&sql, &parameters(&id, change, &by))
        .await?;
    match row::first(&rows)? {
        None => unless_kept(client, id).await.map(|()| None),
        updated => Ok(updated),
    }
}

/// Refuses to say that there is no such source, when there is one and a trigger kept it as it was.
async fn unless_kept(client: &Client, id: Uuid) -> Result<()> {
    let sql = "select from public.sources where id = $1";
    let rows = client.query_typed(sql, &[(&id, Type::UUID)]).await?;
    if rows.is_empty() {
        Ok(())
    } else {
        Err(Error::Suppressed(Source::TABLE))
    }
}

/// Removes one source for the user `by`; false when there was none.
///
/// # Errors
/// [`Error::Suppressed`] when a trigger kept it.
pub async fn delete(client: &Client, id: Uuid, by: &str) -> Result<bool> {
    let sql = format!(
        "delete from public.sources where id = $1 returning {}",
        on_behalf(2)
    );
    let nothing = Change::default();
    let rows = client
        .query_typed(&sql, &parameters(&id, &nothing, &by))
        .await?;
    if rows.is_empty() {
        unless_kept(client, id).await?;
    }
    Ok(!rows.is_empty())
}

/// The id, then the columns' values, then the user.
fn parameters<'a>(
    id: &'a Uuid,
    change: &'a Change,
    by: &'a &'a str,
) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(id, Type::UUID)];
    parameters.extend(change.parameters());
    parameters.push((by, Type::TEXT));
    parameters
}
