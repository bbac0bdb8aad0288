//! Bodies that clients send, as types that only the API document uses: forms are read field by field,
//! so that each field has its own error. Tests compare these types with the running server.
#![expect(dead_code, reason = "none is ever made")]

use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::users::Role;

/// A new user.
#[derive(ToSchema)]
pub(in crate::http) struct Registration {
    /// Letters, digits and `@.+-_`.
    #[schema(max_length = 150, example = "ann")]
    username: String,
    /// E-mail address; may be empty.
    #[schema(example = "")]
    email: String,
    /// 8 characters or more, and neither the user's name or e-mail address nor one of 16,000 common ones.
    #[schema(example = "Correct-horse-7")]
    password: String,
    /// The password again.
    #[schema(example = "Correct-horse-7")]
    confirm_password: String,
}

/// User name and password.
#[derive(ToSchema)]
pub(in crate::http) struct Credentials {
    #[schema(example = "ann")]
    username: String,
    #[schema(example = "Correct-horse-7")]
    password: String,
}

/// A new password for the current user.
#[derive(ToSchema)]
pub(in crate::http) struct PasswordChange {
    #[schema(example = "Correct-horse-7")]
    old_password: String,
    #[schema(example = "Correct-horse-8")]
    new_password: String,
}

/// Changes to a user; omitted fields keep their values.
#[derive(ToSchema)]
pub(in crate::http) struct UserChange {
    #[schema(nullable = false)]
    role: Option<Role>,
    /// Whether the user may sign in.
    #[schema(nullable = false)]
    is_active: Option<bool>,
}

/// A run to be started: of a step or of a packaged job.
#[derive(ToSchema)]
pub(in crate::http) struct RunRequest {
    #[schema(example = "qc")]
    step: Option<String>,
    job: Option<String>,
    /// The source that the run is for.
    source_id: Option<Uuid>,
    /// Where Spark's driver runs; by default `cluster` for a step and `client` for a job.
    deploy_mode: Option<DeployMode>,
}

/// A packaged job to be started.
#[derive(ToSchema)]
pub(in crate::http) struct Job {
    #[schema(example = "report")]
    job: String,
    /// Where Spark's driver runs; by default `client`.
    deploy_mode: Option<DeployMode>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum DeployMode {
    Client,
    Cluster,
}
