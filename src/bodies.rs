//! How rows look on the wire, the same over HTTP and sockets. Knows rows, not tables or requests.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};
use uuid::Uuid;

use crate::db::{
    changes::Change,
    counts::Counts,
    runs::{Past, Run},
    sources::Source,
    uploads,
    users::{Account, Role},
};

/// A source as clients see it, in the order of keys they know; serialises to one object.
#[derive(Serialize, ToSchema)]
#[schema(as = Source)]
pub struct SourceBody<'a> {
    id: Uuid,
    /// `next_update`, or `unscheduled`.
    next_status: &'a str,
    created_at: LocalTime<'a>,
    updated_at: LocalTime<'a>,
    created_by: &'a str,
    country: &'a str,
    data_vendor: &'a str,
    panel: &'a str,
    panel_group: &'a str,
    scope_of_subscription: &'a str,
    data_type: &'a str,
    granularity: &'a str,
    #[schema(required)]
    end_date: Option<Date>,
    #[schema(required)]
    current_update: Option<Date>,
    #[schema(required)]
    next_update: Option<Date>,
    /// `received`, `awaiting` or `delayed`.
    datadelivery_status: &'a str,
    #[schema(required, value_type = Option<String>)]
    data_upload: Option<UploadPath<'a>>,
    status: &'a str,
}

impl<'a> SourceBody<'a> {
    /// Times are written in `zone`.
    pub fn new(source: &'a Source, zone: &'a TimeZone) -> Self {
        Self {
            id: source.id,
            next_status: &source.next_status,
            created_at: LocalTime(source.created_at, zone),
            updated_at: LocalTime(source.updated_at, zone),
            created_by: &source.created_by,
            country: &source.country,
            data_vendor: &source.data_vendor,
            panel: &source.panel,
            panel_group: &source.panel_group,
            scope_of_subscription: &source.scope_of_subscription,
            data_type: &source.data_type,
            granularity: &source.granularity,
            end_date: source.end_date,
            current_update: source.current_update,
            next_update: source.next_update,
            datadelivery_status: &source.datadelivery_status,
            data_upload: source.data_upload.as_deref().map(UploadPath),
            status: &source.status,
        }
    }
}

/// A source as the answers to `activate` and its like show it: fewer keys, and `title`.
#[derive(Serialize, ToSchema)]
#[schema(as = Card)]
pub struct CardBody<'a> {
    id: Uuid,
    /// The country.
    title: &'a str,
    data_vendor: &'a str,
    panel: &'a str,
    panel_group: &'a str,
    scope_of_subscription: &'a str,
    data_type: &'a str,
    granularity: &'a str,
    #[schema(required)]
    end_date: Option<Date>,
    #[schema(required)]
    current_update: Option<Date>,
    #[schema(required)]
    next_update: Option<Date>,
    created_by: &'a str,
    datadelivery_status: &'a str,
    status: &'a str,
}

impl<'a> From<&'a Source> for CardBody<'a> {
    fn from(source: &'a Source) -> Self {
        Self {
            id: source.id,
            title: &source.country,
            data_vendor: &source.data_vendor,
            panel: &source.panel,
            panel_group: &source.panel_group,
            scope_of_subscription: &source.scope_of_subscription,
            data_type: &source.data_type,
            granularity: &source.granularity,
            end_date: source.end_date,
            current_update: source.current_update,
            next_update: source.next_update,
            created_by: &source.created_by,
            datadelivery_status: &source.datadelivery_status,
            status: &source.status,
        }
    }
}

/// A user as those see it who manage users.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody<'a> {
    id: Uuid,
    username: &'a str,
    email: &'a str,
    role: Role,
    is_active: bool,
    created_at: LocalTime<'a>,
    #[schema(required)]
    last_login_at: Option<LocalTime<'a>>,
}

impl<'a> UserBody<'a> {
    /// Times are written in `zone`.
    pub fn new(account: &'a Account, zone: &'a TimeZone) -> Self {
        Self {
            id: account.id,
            username: &account.username,
            email: &account.email,
            role: account.role,
            is_active: account.is_active,
            created_at: LocalTime(account.created_at, zone),
            last_login_at: account.last_login_at.map(|at| LocalTime(at, zone)),
        }
    }
}

/// What a statement did, and whose it was.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub struct ChangeBody<'a> {
    id: Uuid,
    at: LocalTime<'a>,
    table: &'a str,
    operation: &'a str,
    /// How many rows.
    #[schema(required)]
    count: Option<i64>,
    /// The first of them.
    ids: &'a [Uuid],
    /// Who asked this server for it.
    #[schema(required)]
    user: Option<&'a str>,
    /// The role of the database.
    role: &'a str,
    application: &'a str,
}

impl<'a> ChangeBody<'a> {
    /// Times are written in `zone`.
    pub fn new(change: &'a Change, zone: &'a TimeZone) -> Self {
        Self {
            id: change.id,
            at: LocalTime(change.at, zone),
            table: &change.table_name,
            operation: &change.operation,
            count: change.row_count,
            ids: &change.row_ids,
            user: change.username.as_deref(),
            role: &change.role_name,
            application: &change.application_name,
        }
    }
}

/// One of the three sections of the Data Library.
#[derive(Serialize, ToSchema)]
pub struct Section {
    #[serde(rename = "section")]
    name: &'static str,
    t1: &'static str,
    t2: &'static str,
    t3: &'static str,
    d1: i64,
    d2: i64,
    d3: i64,
    s1: i64,
    s2: i64,
    s3: i64,
}

/// The days that the sections name beside their counts.
const DAYS: i64 = 30;

/// The Data Library: sections with three titles (`t`), periods in days (`d`) and counts (`s`).
pub fn library(counts: &Counts) -> [Section; 3] {
    let section = |name, [t1, t2, t3]: [&'static str; 3], [s1, s2, s3]: [i64; 3]| Section {
        name,
        t1,
        t2,
        t3,
        d1: DAYS,
        d2: DAYS,
        d3: DAYS,
        s1,
        s2,
        s3,
    };
    [
        section(
            "Data Library",
            ["Created", "Activated", "Deactivated"],
            [counts.created, counts.active, counts.inactive],
        ),
        section(
            "Data Delivery",
            ["Received", "Awaiting", "Delayed"],
            [counts.received, counts.awaiting, counts.delayed],
        ),
        section(
            "Data Update",
            ["Pending", "In Progress", "Completed"],
            [counts.pending, counts.in_progress, counts.completed],
        ),
    ]
}

/// A pipeline run as clients see it, with what it went through where that is asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunBody<'a> {
    id: Uuid,
    #[schema(required)]
    source_id: Option<Uuid>,
    kind: &'a str,
    step: &'a str,
    deploy_mode: &'a str,
    state: &'a str,
    #[schema(required)]
    step_id: Option<&'a str>,
    #[schema(required)]
    cluster_id: Option<&'a str>,
    #[schema(required)]
    reason: Option<&'a str>,
    requested_by: &'a str,
    created_at: LocalTime<'a>,
    updated_at: LocalTime<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    history: Option<Vec<PastBody<'a>>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Past)]
struct PastBody<'a> {
    at: LocalTime<'a>,
    state: &'a str,
    #[schema(required)]
    step_id: Option<&'a str>,
    #[schema(required)]
    reason: Option<&'a str>,
}

impl<'a> RunBody<'a> {
    /// Times are written in `zone`.
    pub fn new(run: &'a Run, zone: &'a TimeZone) -> Self {
        Self {
            id: run.id,
            source_id: run.source_id,
            kind: &run.kind,
            step: &run.step,
            deploy_mode: &run.deploy_mode,
            state: &run.state,
            step_id: run.step_id.as_deref(),
            cluster_id: run.cluster_id.as_deref(),
            reason: run.reason.as_deref(),
            requested_by: &run.requested_by,
            created_at: LocalTime(run.created_at, zone),
            updated_at: LocalTime(run.updated_at, zone),
            history: None,
        }
    }

    /// The same with what the run went through.
    pub fn with_history(run: &'a Run, history: &'a [Past], zone: &'a TimeZone) -> Self {
        let past = |past: &'a Past| PastBody {
            at: LocalTime(past.at, zone),
            state: &past.state,
            step_id: past.step_id.as_deref(),
            reason: past.reason.as_deref(),
        };
        Self {
            history: Some(history.iter().map(past).collect()),
            ..Self::new(run, zone)
        }
    }
}

/// Where the file of a source is to be had, with its name; texts that name no object as they are.
struct UploadPath<'a>(&'a str);

impl Serialize for UploadPath<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if uploads::is_reference(self.0) {
            serializer.collect_str(&format_args!("/api/uploads/{}", self.0))
        } else {
            serializer.serialize_str(self.0)
        }
    }
}

/// `2026-11-23T01:05:58.702123+01:00`: local time and offset, six digits or no fraction.
struct LocalTime<'a>(Timestamp, &'a TimeZone);

impl ToSchema for LocalTime<'_> {}

impl PartialSchema for LocalTime<'_> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some(
                "Local time and offset, with six digits or no fraction",
            ))
            .into()
    }
}

impl Serialize for LocalTime<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let local = self.1.to_datetime(self.0);
        let offset = self.1.to_offset(self.0).seconds();
        let fraction = match local.subsec_nanosecond() / 1000 {
            0 => String::new(),
            micros => format!(".{micros:06}"),
        };
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
        serializer.collect_str(&format_args!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}{sign}{hours:02}:{minutes:02}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_with_six_digits_or_none() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        for (instant, text) in [
            (
                "2026-11-23T00:05:58.702123Z",
                "2026-11-23T01:05:58.702123+01:00",
            ),
            ("2026-07-01T10:00:00.5Z", "2026-07-01T12:00:00.500000+02:00"),
            ("2026-07-01T10:00:00Z", "2026-07-01T12:00:00+02:00"),
        ] {
            let local = LocalTime(instant.parse().unwrap(), &paris);
            assert_eq!(serde_json::to_value(local).unwrap(), text);
        }
        let newfoundland = TimeZone::get("America/St_Johns").unwrap();
        let local = LocalTime("2026-01-01T00:00:00Z".parse().unwrap(), &newfoundland);
        assert_eq!(
            serde_json::to_value(local).unwrap(),
            "2025-12-31T20:30:00-03:30"
        );
    }
}
