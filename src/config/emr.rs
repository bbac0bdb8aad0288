//! Settings of the pipeline on Amazon EMR. What reaches a shell on the cluster is checked here.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;
use uuid::Uuid;

use super::Database;

/// Where pipeline steps run. Region, credentials and endpoint are the AWS SDK's own settings
/// (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, ...).
#[derive(Clone, Debug, Args)]
pub struct Emr {
    /// EMR cluster that runs the pipeline. Region, credentials and endpoint are found as by every
    /// AWS tool: the `AWS_` variables, profiles, instance metadata.
    #[arg(long, env, value_name = "ID")]
    pub emr_cluster_id: Option<String>,

    /// Where the scripts of the steps and the packages of the jobs are, as `s3://bucket/path`.
    #[arg(long, env, value_name = "URL", value_parser = s3_path)]
    pub s3_path: Option<String>,

    /// Steps that may be started.
    #[arg(
        long,
        env,
        value_delimiter = ',',
        default_value = "collection,cleaning,qc,consolidation,referencing,recoding,transcoding",
        value_name = "NAME,...",
        value_parser = step
    )]
    pub pipeline_steps: Vec<String>,

    /// How often the cluster is asked how the steps are (500ms, 5s, 1m).
    #[arg(long, env, default_value = "5s", value_name = "TIME", value_parser = poll)]
    pub emr_poll: Duration,
}

/// `marketplace emr`.
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// Where the runs are.
    #[command(flatten)]
    pub database: Database,

    /// With a cluster the run is handed over from here, without by a server.
    #[command(flatten)]
    pub emr: Emr,

    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with runs.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Start a packaged job and wait until EMR has taken it.
    Start {
        /// Name of the job, one of the steps; its package is `S3_PATH/NAME/job_package.zip`.
        #[arg(long, value_name = "NAME")]
        job: String,
        /// Where Spark's driver runs.
        #[arg(long, default_value = "client")]
        deploy_mode: DeployMode,
    },
    /// Print the newest runs.
    Runs {
        /// Only those in this state (requested, PENDING, RUNNING, ...).
        #[arg(long)]
        state: Option<String>,
    },
    /// Cancel a run.
    Cancel {
        /// Its id, as printed by `runs`.
        run: Uuid,
    },
}

/// Where Spark's driver runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeployMode {
    /// On the cluster's primary node.
    Client,
    /// On any node of the cluster.
    Cluster,
}

impl DeployMode {
    /// As Spark, the table and people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Cluster => "cluster",
        }
    }

    /// The mode of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Client, Self::Cluster]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// A name that means itself in a shell, in a path and in a URL.
fn step(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() <= 100 && name.starts_with(char::is_alphanumeric) && name.chars().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "{name:?} is not a name of letters, digits, - and _"
        ))
    }
}

fn s3_path(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+@".contains(c);
    match text.strip_prefix("s3://") {
        // Set but empty is not set.
        None if text.is_empty() => Ok(String::new()),
        Some(path) if path.starts_with(char::is_alphanumeric) && path.chars().all(plain) => {
            Ok(text.to_owned())
        }
        _ => Err(format!("{text} is not like s3://bucket/path")),
    }
}

fn poll(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(SignedDuration::from_secs);
    seconds
        .or_else(|| text.parse().ok())
        .and_then(|time| Duration::try_from(time).ok())
        .filter(|time| (Duration::from_millis(100)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(|| format!("{text} is not a time from 100ms to 24h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_shell_would_read_is_a_step() {
        assert_eq!(step("qc_2-b"), Ok("qc_2-b".into()));
        for name in [
            "", "-rf", "a b", "a;b", "a/../b", "$(a)", "a\n", "'a'", "étape", "..",
        ] {
            assert!(step(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_path_is_one_in_s3() {
        assert_eq!(s3_path("s3://b/a/"), Ok("s3://b/a".into()));
        assert_eq!(s3_path(""), Ok(String::new()));
        for path in ["b/a", "s3://", "s3://b; rm", "s3://b/$HOME", "s3:///b"] {
            assert!(s3_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        assert_eq!(poll("5"), Ok(Duration::from_secs(5)));
        assert_eq!(poll("250ms"), Ok(Duration::from_millis(250)));
        for time in ["0", "-5s", "soon", "2d", ""] {
            assert!(poll(time).is_err(), "{time}");
        }
    }
}
