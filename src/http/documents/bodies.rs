//! Bodies that are read or written without a type of their own, as types, only to be described. That
//! they are described right is for the tests to show, which hold them against the running server.
#![expect(dead_code, reason = "none is ever made")]

use jiff::civil::Date;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    bodies::{CardBody, RunBody},
    db::users::Role,
};

/// A new user.
#[derive(ToSchema)]
pub(super) struct Registration {
    /// Letters, digits and `@.+-_`.
    #[schema(max_length = 150, example = "ann")]
    username: String,
    /// E-mail address; may be empty.
    #[schema(example = "")]
    email: String,
    /// 8 characters or more; not the user name or e-mail address, and not a common password.
    #[schema(example = "Correct-horse-7")]
    password: String,
    /// The password again.
    #[schema(example = "Correct-horse-7")]
    confirm_password: String,
}

/// User name and password.
#[derive(ToSchema)]
pub(super) struct Credentials {
    #[schema(example = "ann")]
    username: String,
    #[schema(example = "Correct-horse-7")]
    password: String,
}

/// A new password for the current user.
#[derive(ToSchema)]
pub(super) struct PasswordChange {
    #[schema(example = "Correct-horse-7")]
    old_password: String,
    #[schema(example = "Correct-horse-8")]
    new_password: String,
}

/// Changes to a user; omitted fields keep their values.
#[derive(ToSchema)]
pub(super) struct UserChange {
    #[schema(nullable = false)]
    role: Option<Role>,
    /// Whether the user may sign in.
    #[schema(nullable = false)]
    is_active: Option<bool>,
}

/// Fields of a source; omitted fields keep their values, or get their defaults.
#[derive(ToSchema)]
pub(super) struct SourceChange {
    /// Who is responsible for it.
    #[schema(min_length = 1, max_length = 255, nullable = false, example = "Ann")]
    created_by: Option<String>,
    #[schema(min_length = 1, max_length = 255, nullable = false, example = "Norway")]
    country: Option<String>,
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    data_vendor: Option<String>,
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    panel: Option<String>,
    /// Default: `DKM`.
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    panel_group: Option<String>,
    #[schema(max_length = 255, nullable = false)]
    scope_of_subscription: Option<String>,
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    data_type: Option<String>,
    /// Default: `National`.
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    granularity: Option<String>,
    end_date: Option<Date>,
    current_update: Option<Date>,
    next_update: Option<Date>,
    /// A file, in a form; null removes it.
    #[schema(value_type = Option<String>, format = Binary)]
    data_upload: Option<Vec<u8>>,
    /// The server toggles and counts `active` and `inactive`; it stores any other text.
    #[schema(min_length = 1, max_length = 50, nullable = false, example = "active")]
    status: Option<String>,
}

/// The pipeline as the server is configured.
#[derive(ToSchema)]
pub(super) struct Pipeline {
    /// Why the server can start nothing; null when it can.
    #[schema(required)]
    problem: Option<String>,
    /// The steps, in their order.
    steps: Vec<String>,
    /// Names of the packaged jobs; `*` stands for any letters, digits, `-` and `_`.
    jobs: Vec<String>,
}

/// A run to be started: of a step or of a packaged job.
#[derive(ToSchema)]
pub(super) struct RunRequest {
    #[schema(example = "qc")]
    step: Option<String>,
    job: Option<String>,
    /// The source that the run is for.
    source_id: Option<Uuid>,
    /// Where Spark's driver runs; by default `cluster` for a step and `client` for a job.
    deploy_mode: Option<DeployMode>,
}

/// The run that EMR has accepted.
#[derive(ToSchema)]
pub(super) struct RunStarted {
    success: bool,
    run: RunBody<'static>,
}

/// A packaged job to be started.
#[derive(ToSchema)]
pub(super) struct Job {
    #[schema(example = "report")]
    job: String,
    /// Where Spark's driver runs; by default `client`.
    deploy_mode: Option<DeployMode>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum DeployMode {
    Client,
    Cluster,
}

/// Success.
#[derive(ToSchema)]
pub(super) struct Message {
    message: String,
}

/// Success, with the source.
#[derive(ToSchema)]
pub(super) struct Switched {
    message: String,
    source: CardBody<'static>,
}

/// The current user.
#[derive(ToSchema)]
pub(super) struct Me {
    username: String,
    email: String,
    role: Role,
}

/// Number of sample sources that were added.
#[derive(ToSchema)]
pub(super) struct Added {
    added: usize,
}

/// Success, with the cancelled run.
#[derive(ToSchema)]
pub(super) struct Cancelled {
    success: bool,
    run: RunBody<'static>,
}

/// Success, with the started job.
#[derive(ToSchema)]
pub(super) struct Started {
    success: bool,
    /// EMR's id of the step; null until EMR has accepted it.
    #[schema(required)]
    step_id: Option<String>,
    details: Details,
}

#[derive(ToSchema)]
struct Details {
    job: String,
    deploy_mode: DeployMode,
}

/// Readiness.
#[derive(ToSchema)]
pub(super) struct Health {
    /// `ok` or `unavailable`.
    status: String,
    /// Reasons; for operators only.
    #[schema(nullable = false)]
    troubles: Option<Vec<String>>,
}

/// Server status.
#[derive(ToSchema)]
pub(super) struct Report {
    /// Reasons why the server is not ready.
    troubles: Vec<String>,
    listener: Listener,
    groups: Groups,
    sockets: Sockets,
    /// Null when the database does not answer.
    #[schema(required)]
    database: Option<Database>,
    /// Version of the server.
    version: String,
}

/// The LISTEN connection.
#[derive(ToSchema)]
struct Listener {
    /// Null before the first heartbeat.
    #[schema(required)]
    heartbeat_age_ms: Option<u64>,
    /// Number of connections since the start.
    connections: u64,
    #[schema(required)]
    trouble: Option<String>,
}

/// How many sockets each group has.
#[derive(ToSchema)]
struct Groups {
    #[schema(rename = "DataLibrary")]
    library: u64,
    #[schema(rename = "DataSource")]
    lists: u64,
    #[schema(rename = "DataSource (deltas)")]
    deltas: u64,
    #[schema(rename = "FilterDataSource")]
    filter: u64,
    #[schema(rename = "CRUDSource")]
    changes: u64,
    #[schema(rename = "ToggleVisibility")]
    toggles: u64,
    #[schema(rename = "EMR")]
    runs: u64,
    #[schema(rename = "Activity")]
    activity: u64,
}

#[derive(ToSchema)]
struct Sockets {
    open: u64,
    /// Closed because the client did not read.
    slow: u64,
    /// Closed because the client did not answer pings.
    gone: u64,
}

#[derive(ToSchema)]
struct Database {
    version: String,
    /// Usage of the notification queue, from 0 to 1.
    queue_usage: f64,
    /// Servers on this database.
    nodes: i64,
}
