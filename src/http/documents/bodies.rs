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

/// Who wants an account.
#[derive(ToSchema)]
pub(super) struct Registration {
    /// Letters, digits and `@.+-_`.
    #[schema(max_length = 150, example = "ann")]
    username: String,
    /// An address, or nothing.
    #[schema(example = "")]
    email: String,
    /// Not too short, not only digits, not a common one and not like the name.
    #[schema(example = "Correct-horse-7")]
    password: String,
    /// The same again.
    #[schema(example = "Correct-horse-7")]
    confirm_password: String,
}

/// Who signs in.
#[derive(ToSchema)]
pub(super) struct Credentials {
    #[schema(example = "ann")]
    username: String,
    #[schema(example = "Correct-horse-7")]
    password: String,
}

/// A new password for whoever asks.
#[derive(ToSchema)]
pub(super) struct PasswordChange {
    #[schema(example = "Correct-horse-7")]
    old_password: String,
    #[schema(example = "Correct-horse-8")]
    new_password: String,
}

/// What an admin changes of an account; what is left out stays.
#[derive(ToSchema)]
pub(super) struct UserChange {
    #[schema(nullable = false)]
    role: Option<Role>,
    /// Whether they may come in.
    #[schema(nullable = false)]
    is_active: Option<bool>,
}

/// Fields of a source; what is left out stays, or gets its default.
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
    /// `DKM`, unless told otherwise.
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    panel_group: Option<String>,
    #[schema(max_length = 255, nullable = false)]
    scope_of_subscription: Option<String>,
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    data_type: Option<String>,
    /// `National`, unless told otherwise.
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    granularity: Option<String>,
    end_date: Option<Date>,
    current_update: Option<Date>,
    next_update: Option<Date>,
    /// A file, in a form; null takes it away.
    #[schema(value_type = Option<String>, format = Binary)]
    data_upload: Option<Vec<u8>>,
    /// `active` and `inactive` are what is switched and counted; other words are kept.
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

/// The run that EMR has taken.
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
    /// Where Spark's driver runs: `client`, unless told otherwise.
    deploy_mode: Option<DeployMode>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum DeployMode {
    Client,
    Cluster,
}

/// That it was done.
#[derive(ToSchema)]
pub(super) struct Message {
    message: String,
}

/// That a source was switched, and the source.
#[derive(ToSchema)]
pub(super) struct Switched {
    message: String,
    source: CardBody<'static>,
}

/// Who is asking.
#[derive(ToSchema)]
pub(super) struct Me {
    username: String,
    email: String,
    role: Role,
}

/// How many sample sources were missing until now.
#[derive(ToSchema)]
pub(super) struct Added {
    added: usize,
}

/// That a run was cancelled, and the run.
#[derive(ToSchema)]
pub(super) struct Cancelled {
    success: bool,
    run: RunBody<'static>,
}

/// That a job was started.
#[derive(ToSchema)]
pub(super) struct Started {
    success: bool,
    /// What the cluster calls it; null while it has not taken it.
    #[schema(required)]
    step_id: Option<String>,
    details: Details,
}

#[derive(ToSchema)]
struct Details {
    job: String,
    deploy_mode: DeployMode,
}

/// Whether the server can do its work.
#[derive(ToSchema)]
pub(super) struct Health {
    /// `ok` or `unavailable`.
    status: String,
    /// What is the matter, in words; for operators alone.
    #[schema(nullable = false)]
    troubles: Option<Vec<String>>,
}

/// The state of the server in numbers.
#[derive(ToSchema)]
pub(super) struct Report {
    /// What is the matter, in words.
    troubles: Vec<String>,
    listener: Listener,
    groups: Groups,
    sockets: Sockets,
    /// Null when it cannot be asked.
    #[schema(required)]
    database: Option<Database>,
    /// This program's.
    version: String,
}

/// The connection that hears of changes.
#[derive(ToSchema)]
struct Listener {
    /// Null before the first.
    #[schema(required)]
    heartbeat_age_ms: Option<u64>,
    /// How many it had so far.
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
    /// Closed because they did not keep up.
    slow: u64,
    /// Closed because nothing was heard of them.
    gone: u64,
}

#[derive(ToSchema)]
struct Database {
    version: String,
    /// How full the queue of notifications is, from 0 to 1.
    queue_usage: f64,
    /// Servers on this database.
    nodes: i64,
}
