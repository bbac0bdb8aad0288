//! What a run is on the cluster: a shell command made of checked names only.

use super::Kind;
use crate::{config, db::submissions::Submission};

/// The Python that the cluster's bootstrap action installs.
const PYTHON: &str = "/home/hadoop/myenv/bin/python";

/// Refuses a name that is not one of the steps.
pub(super) fn check(settings: &config::Emr, name: &str) -> Result<(), String> {
    if settings.pipeline_steps.iter().any(|step| step == name) {
        return Ok(());
    }
    let steps = settings.pipeline_steps.join(", ");
    Err(format!("there is no such step; the steps are {steps}"))
}

/// A kind's name in the table.
pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Step => "step",
        Kind::Job => "job",
    }
}

/// The command of a run. Its row may have been written by hand, so its name is checked again.
pub(super) fn of(settings: &config::Emr, run: &Submission) -> Result<String, String> {
    check(settings, &run.step)?;
    let s3 = settings.s3_path.as_deref().unwrap_or_default();
    let (name, mode) = (&run.step, &run.deploy_mode);
    let submit = format!("spark-submit --deploy-mode {mode} --conf spark.pyspark.python={PYTHON}");
    Ok(if run.kind == kind(Kind::Job) {
        format!(
            "cd /home/hadoop/ && mkdir -p {name} && \
             aws s3 cp {s3}/{name}/job_package.zip /home/hadoop/{name}/ && \
             cd /home/hadoop/{name} && unzip -o job_package.zip && \
             {submit} --py-files job_package.zip main.py"
        )
    } else {
        // As it has always been sent, to the last space.
        format!(
            "cd /home/hadoop/ && aws s3 sync {s3}/{name}/ /home/hadoop/{name}/ && \
             cd /home/hadoop/{name} && {submit} --py-files dependencies.py job.py "
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn command(kind: &str, step: &str, deploy_mode: &str) -> Result<String, String> {
        let settings = config::Emr {
            emr_cluster_id: Some("j-1".into()),
            s3_path: Some("s3://bucket/scripts".into()),
            pipeline_steps: vec!["qc".into()],
            emr_poll: Duration::from_secs(5),
        };
        let run = Submission {
            run_id: Uuid::nil(),
            kind: kind.into(),
            step: step.into(),
            deploy_mode: deploy_mode.into(),
            is_stale: false,
            attempts: 1,
            sent_at: None,
            cluster_id: None,
            command: None,
        };
        of(&settings, &run)
    }

    #[test]
    fn a_step_is_what_it_has_always_been() {
        assert_eq!(
            command("step", "qc", "cluster").unwrap(),
            "cd /home/hadoop/ && aws s3 sync s3://bucket/scripts/qc/ /home/hadoop/qc/ && cd \
             /home/hadoop/qc && spark-submit --deploy-mode cluster --conf \
             spark.pyspark.python=/home/hadoop/myenv/bin/python --py-files dependencies.py job.py "
        );
    }

    #[test]
    fn a_job_comes_in_a_package() {
        let command = command("job", "qc", "client").unwrap();
        assert!(command.contains("aws s3 cp s3://bucket/scripts/qc/job_package.zip"));
        assert!(command.contains("spark-submit --deploy-mode client "));
        assert!(command.ends_with("--py-files job_package.zip main.py"));
    }

    #[test]
    fn a_name_written_into_the_table_reaches_no_shell() {
        for name in ["qc; rm -rf /", "QC", "", "$(id)", "qc "] {
            assert!(command("step", name, "cluster").is_err(), "{name}");
        }
    }
}
