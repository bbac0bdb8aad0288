//! Replays the recordings of the reference backend (`tests/compat/*.json`) against this server and judges the answers.
//! The recordings say what is right; nothing here may know how the server works, it is reached only as a client reaches
//! it (and by SQL, where a case edits a row by hand).

pub(crate) mod aws;
mod engine;
mod judge;
mod norm;
mod report;
mod template;
mod transcript;

use std::time::Duration;

use tokio::time::timeout;

use aws::AwsStub;
use engine::Engine;
use judge::Verdict;
use report::Report;
use transcript::{Case, Transcript};

use crate::support::server::TestServer;

/// Why a step could not be carried out.
type Fallible<T> = Result<T, String>;

/// How the server was started, as far as cases depend on it.
#[derive(Debug)]
pub(crate) enum Emr {
    /// Without any setting of AWS.
    Absent,
    /// With this stub as its endpoint.
    Stub(AwsStub),
}

impl Emr {
    fn offers(&self, need: &str) -> bool {
        match self {
            Self::Absent => need == "emr-none",
            Self::Stub(_) => need == "emr-stub",
        }
    }
}

/// Replays one file of `tests/compat/`.
pub(crate) async fn replay(base: &str, database_url: &str, file: &str, emr: &Emr) -> Report {
    let transcript = Transcript::load(file);
    let stub = match emr {
        Emr::Stub(stub) => Some(stub),
        Emr::Absent => None,
    };
    let mut engine = Engine::new(base, database_url, stub);
    let mut report = Report {
        area: transcript.area,
        ..Report::default()
    };
    for case in &transcript.cases {
        if let Some(need) = case
            .needs
            .iter()
            .find(|need| *need != "sql" && !emr.offers(need))
        {
            report
                .skipped
                .push((case.name.clone(), format!("needs {need}")));
            continue;
        }
        let verdicts = run(&mut engine, case).await;
        let problems: Vec<_> = verdicts
            .into_iter()
            .filter_map(problems)
            .flatten()
            .collect();
        if problems.is_empty() {
            report.passed += 1;
        } else {
            report.failed.push((case.name.clone(), problems));
        }
    }
    report
}

/// Runs and judges one case; a case that can't be run is wrong as a whole.
async fn run(engine: &mut Engine<'_>, case: &Case) -> Vec<Verdict> {
    let observations = match timeout(Duration::from_secs(case.timeout_s), engine.run(case)).await {
        Ok(Ok(observations)) => observations,
        Ok(Err(error)) => return vec![Verdict::Wrong(vec![format!("could not be run: {error}")])],
        Err(_) => {
            return vec![Verdict::Wrong(vec![
                "could not be run: it takes too long".into(),
            ])];
        }
    };
    let judged =
        case.steps
            .iter()
            .zip(observations)
            .enumerate()
            .map(|(index, (step, observed))| {
                let verdict = judge::judge(step, observed.as_ref());
                let label = format!("step {} {}", index + 1, step.label());
                match verdict {
                    Verdict::Wrong(lines) => Verdict::Wrong(
                        lines
                            .iter()
                            .map(|line| format!("{label}: {line}"))
                            .collect(),
                    ),
                    fine => fine,
                }
            });
    judged.collect()
}

fn problems(verdict: Verdict) -> Option<Vec<String>> {
    match verdict {
        Verdict::Wrong(lines) => Some(lines),
        Verdict::Same | Verdict::Accepted => None,
    }
}

/// Replays a file on a server of its own; so many cases must pass and so many be announced as not run.
async fn assert_replay(file: &str, passed: usize, skipped: usize) {
    let (server, database) = TestServer::start().await;
    let report = replay(&server.base, &database.url, file, &Emr::Absent).await;
    println!("\n{report}");
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(
        (report.passed, report.skipped.len()),
        (passed, skipped),
        "{report}"
    );
}

/// The cases for a server with a cluster. The judge notes every request to AWS, so the server is not
/// to ask how the steps are while cases run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emr_with_a_cluster() {
    let database = crate::support::server::database().await;
    let stub = AwsStub::start().await;
    let mut settings = crate::support::pipeline::settings(&stub.base, "j-6I7TOFJU4VXWR");
    settings.push(("EMR_POLL", "1h".into()));
    let server = crate::support::pipeline::Pipeline::with(&database, &settings).await;
    let report = replay(&server.base, &database.url, "emr.json", &Emr::Stub(stub)).await;
    println!("\n{report}");
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!((report.passed, report.skipped.len()), (14, 15), "{report}");
}

/// One test for each file, so that they run side by side.
macro_rules! replays {
    ($($test:ident: $file:literal, $passed:literal pass, $skipped:literal skipped;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            assert_replay($file, $passed, $skipped).await;
        })*
    };
}

replays! {
    auth: "auth.json", 66 pass, 0 skipped;
    cors: "cors.json", 26 pass, 0 skipped;
    data_library: "data-library.json", 6 pass, 0 skipped;
    derived: "derived.json", 13 pass, 0 skipped;
    emr: "emr.json", 13 pass, 16 skipped;
    rest_activation: "rest-activation.json", 23 pass, 0 skipped;
    rest_add: "rest-add.json", 102 pass, 0 skipped;
    rest_auth: "rest-auth.json", 26 pass, 0 skipped;
    rest_delete: "rest-delete.json", 10 pass, 0 skipped;
    rest_read: "rest-read.json", 13 pass, 0 skipped;
    rest_update: "rest-update.json", 50 pass, 0 skipped;
    routing: "routing.json", 64 pass, 0 skipped;
    ws_abuse: "ws-abuse.json", 54 pass, 0 skipped;
    ws_activation: "ws-activation.json", 16 pass, 0 skipped;
    ws_connect: "ws-connect.json", 37 pass, 0 skipped;
    ws_fanout: "ws-fanout.json", 19 pass, 0 skipped;
    ws_filter: "ws-filter.json", 16 pass, 0 skipped;
    ws_source: "ws-source.json", 49 pass, 0 skipped;
}
