//! What a run is on the cluster: a shell command made of checked names only.

use super::Kind;
use crate::{config, db::submissions::Submission};

/// The Python that the cluster's bootstrap action installs.
const PYTHON: &str = "/home/hadoop/myenv/bin/python";

/// Refuses a step or job that the settings do not allow.
pub(super) fn check(settings: &config::Emr, kind: Kind, name: &str) -> Result<(), String> {
    match kind {
        Kind::Step if settings.steps().any(|step| step == name) => Ok(()),
        Kind::Step => {
            let steps = settings.steps().collect::<Vec<_>>().join(", ");
            Err(format!("there is no such step; the steps are {steps}"))
        }
        Kind::Job if settings.jobs().any(|jobs| jobs.allows(name)) => Ok(()),
        Kind::Job => {
            let jobs: Vec<_> = settings.jobs().map(ToString::to_string).collect();
            if jobs.is_empty() {
                return Err("PIPELINE_JOBS allows no packaged job".into());
            }
            let jobs = jobs.join(", ");
            Err(format!("there is no such job; PIPELINE_JOBS allows {jobs}"))
        }
    }
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
    let is_job = run.kind == kind(Kind::Job);
    check(
        settings,
        if is_job { Kind::Job } else { Kind::Step },
        &run.step,
    )?;
    let s3 = settings.s3_path.as_deref().unwrap_or_default();
    let (name, mode) = (&run.step, &run.deploy_mode);
    let submit = format!("spark-submit --deploy-mode {mode} --conf spark.pyspark.python={PYTHON}");
    Ok(if is_job {
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
            pipeline_steps: vec!["qc".parse().unwrap()],
            pipeline_jobs: vec!["report-*".parse().unwrap()],
            emr_poll: Duration::from_secs(5),
        };
        let run = Submission {
            run_id: Uuid::nil(),
            kind: kind.into(),
            step: step.into(),
            deploy_mode: deploy_mode.into(),
            is_stale: false,
            attempts: 1,
            problem: None,
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
        let command = command("job", "report-1", "client").unwrap();
        assert!(command.contains("aws s3 cp s3://bucket/scripts/report-1/job_package.zip"));
        assert!(command.contains("spark-submit --deploy-mode client "));
        assert!(command.ends_with("--py-files job_package.zip main.py"));
    }

    #[test]
    fn a_name_written_into_the_table_reaches_no_shell() {
        for name in ["qc; rm -rf /", "QC", "", "$(id)", "qc "] {
            assert!(command("step", name, "cluster").is_err(), "{name}");
        }
        for name in [
            "report-; rm -rf /",
            "report-$(id)",
            "report-\n",
            "report-é",
            "report",
        ] {
            assert!(command("job", name, "cluster").is_err(), "{name}");
        }
    }

    #[test]
    fn a_job_is_no_step_and_a_step_is_no_job() {
        assert!(command("job", "qc", "client").is_err());
        assert!(command("step", "report-1", "cluster").is_err());
    }
}
