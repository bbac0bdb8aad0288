//! Settings of the pipeline on Amazon EMR. What reaches a shell on the cluster is checked here.

use std::{str::FromStr, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::{Database, List, duration};

/// Where pipeline steps run. Region, credentials and endpoint are found by the variables of every AWS
/// tool (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, ...).
#[derive(Clone, Debug, Args)]
pub struct Emr {
    /// EMR cluster that runs the pipeline. Region, credentials and endpoint come from the `AWS_`
    /// variables, profiles or instance metadata.
    #[arg(long, env, value_name = "ID")]
    pub emr_cluster_id: Option<String>,

    /// Location of the steps' scripts and the jobs' packages: `s3://bucket/path`.
    #[arg(long, env, value_name = "URL", value_parser = s3_path)]
    pub s3_path: Option<String>,

    /// Steps that may be started.
    #[arg(
        long,
        env,
        default_value = "collection,cleaning,qc,consolidation,referencing,recoding,transcoding",
        value_name = "NAME,..."
    )]
    pub pipeline_steps: Vec<List<StepName>>,

    /// Packaged jobs that may be started. `*` stands for any letters, digits, `-` and `_`: `report-*`.
    #[arg(long, env, value_name = "NAME,...")]
    pub pipeline_jobs: Vec<List<JobPattern>>,

    /// How often the server asks EMR for the states of runs (500ms, 5s, 1m; a plain number is seconds).
    #[arg(long, env, default_value = "5s", value_name = "TIME", value_parser = poll)]
    pub emr_poll: Duration,
}

impl Emr {
    /// The names of the steps that may be started, in their order.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        List::values(&self.pipeline_steps).map(|step| step.0.as_str())
    }

    /// The names, or patterns of names, of the packaged jobs that may be started.
    pub fn jobs(&self) -> impl Iterator<Item = &JobPattern> {
        List::values(&self.pipeline_jobs)
    }
}

/// `marketplace emr`.
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// Where the runs are.
    #[command(flatten)]
    pub database: Database,

    /// The cluster, and what may be started there.
    #[command(flatten)]
    pub emr: Emr,

    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with runs.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Start a pipeline step or a packaged job, and wait until EMR has accepted it.
    Start {
        /// A step or a job.
        #[command(flatten)]
        what: What,
        /// Where Spark's driver runs; `cluster` by default for a step, `client` for a job.
        #[arg(long)]
        deploy_mode: Option<DeployMode>,
        /// Id of the source that the step works on.
        #[arg(long, value_name = "ID", value_parser = source_id)]
        source: Option<Uuid>,
    },
    /// Print the newest runs.
    Runs {
        /// Show only runs in this state (requested, PENDING, RUNNING, ...).
        #[arg(long)]
        state: Option<String>,
    },
    /// Cancel a run.
    Cancel {
        /// Id of the run, as `runs` prints it.
        #[arg(value_parser = run_id)]
        run: Uuid,
    },
}

/// What is started: a step or a job.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// Name of the step, one of `PIPELINE_STEPS`; its scripts are in `S3_PATH/NAME/`.
    #[arg(long, value_name = "NAME")]
    pub step: Option<String>,
    /// Name of the job, allowed by `PIPELINE_JOBS`; its package is `S3_PATH/NAME/job_package.zip`.
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
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

/// Names of packaged jobs that may be started: a name in which each `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPattern(String);

impl JobPattern {
    /// Whether a job of this name may be started. A name that a shell would read otherwise never
    /// may, whatever the pattern.
    pub fn allows(&self, name: &str) -> bool {
        let parts: Vec<_> = self.0.split('*').collect();
        let (first, rest) = parts.split_first().expect("a split has a first part");
        let Some((last, between)) = rest.split_last() else {
            return is_plain(name) && name == self.0;
        };
        let Some(mut middle) = name
            .strip_prefix(first)
            .and_then(|name| name.strip_suffix(last))
        else {
            return false;
        };
        is_plain(name)
            && between.iter().all(|part| match middle.split_once(part) {
                Some((_, after)) => {
                    middle = after;
                    true
                }
                None => false,
            })
    }
}

impl FromStr for JobPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A `*` may stand for anything that a name may have.
        if is_plain(&text.replace('*', "x")) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} must contain only letters, digits, -, _ and *"
            ))
        }
    }
}

impl std::fmt::Display for JobPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a step that may be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepName(String);

impl FromStr for StepName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if is_plain(name) {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "{name:?} must contain only letters, digits, - and _"
            ))
        }
    }
}

/// Whether a name means itself in a shell, in a path and in a URL.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
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
        _ => Err(format!(
            "{text} is not s3://bucket/path, of letters, digits and -_./=+@ only"
        )),
    }
}

fn run_id(text: &str) -> Result<Uuid, String> {
    text.parse()
        .map_err(|_| format!("{text} is not the id of a run, as `marketplace emr runs` prints it"))
}

fn source_id(text: &str) -> Result<Uuid, String> {
    text.parse()
        .map_err(|_| format!("{text} is not the id of a source (a UUID)"))
}

fn poll(text: &str) -> Result<Duration, String> {
    duration::or_seconds(text)
        .filter(|time| (Duration::from_millis(100)..=Duration::from_hours(24)).contains(time))
        .ok_or_else(|| format!("{text} is not a time from 100ms to 24h (500ms, 5s, 1m)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_shell_would_read_is_a_step() {
        let step = |name: &str| name.parse::<StepName>();
        assert_eq!(step("qc_2-b"), Ok(StepName("qc_2-b".into())));
        for name in [
            "", "-rf", "a b", "a;b", "a/../b", "$(a)", "a\n", "'a'", "étape", "..",
        ] {
            assert!(step(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_pattern_allows_plain_names_alone() {
        let allows = |pattern: &str, name: &str| {
            let pattern: JobPattern = pattern.parse().unwrap();
            pattern.allows(name)
        };
        for (pattern, name) in [
            ("report", "report"),
            ("report-*", "report-"),
            ("report-*", "report-2026_1"),
            ("*", "anything"),
            ("a*b*c", "abc"),
            ("a*b*c", "axbxbxc"),
            ("*-nightly", "load-nightly"),
            ("a**b", "ab"),
        ] {
            assert!(allows(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("report", "reports"),
            ("report-*", "report"),
            ("report-*", "report-; rm"),
            ("report-*", "report-\n"),
            ("*", ""),
            ("*", "-rf"),
            ("*", "../x"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("ab*bc", "abc"),
        ] {
            assert!(!allows(pattern, name), "{pattern} {name}");
        }
        for pattern in ["", "a b", "-*", "a/*", "[ab]*", "é*"] {
            assert!(pattern.parse::<JobPattern>().is_err(), "{pattern}");
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
