//! The benchmarks: `cargo bench --bench bench -- [--json] [--quick] [--only NAME]`; with
//! `--soak MINUTES` a crowd is kept busy instead, to see whether the server grows.
//!
//! Each row stands beside what the machine itself can do, measured in the same run and in turns: a
//! raw TCP write of shared memory, a bare LISTEN connection, the same statement without triggers.
//! What matters is the ratio; the absolute figures are this machine's. A missed bound is shown, not
//! fatal; a client that does not get what it must get is.
//!
//! This program is also its own servers: started again with a role as its first argument, so that
//! their CPU time and memory can be told from the clients'. It needs PostgreSQL's binaries only.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark that cannot read a row has nothing to go on with"
)]

mod cluster;
mod crowd;
mod limits;
mod listen;
mod memory;
mod payload;
mod probe;
mod report;
mod rows;
mod servers;
mod session;
mod soak;
mod stats;
mod websocket;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use self::{cluster::Database, report::Report, servers::role};

/// What the rows may fail with; a benchmark has one way to handle it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// Small numbers: shows that everything works, not how fast.
    quick: bool,
    /// One JSON document instead of a table.
    json: bool,
}

impl Options {
    /// A number for a full run, or the one for a quick run.
    fn pick<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some(role::FLOOR) => servers::floor::main(),
        Some(role::TRANSPORT) => servers::transport::main(),
        _ => parse(&arguments).and_then(|(options, what)| {
            limits::raise(options.pick(11_000, 1_000))?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            match what {
                What::Rows(only) => runtime.block_on(measure(options, only.as_deref())),
                What::Soak(time) => runtime.block_on(soak::run(time)),
            }
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("bench: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// What is to be done.
enum What {
    /// Measure all rows, or the one of this name.
    Rows(Option<String>),
    /// Keep a crowd busy for so long.
    Soak(Duration),
}

fn parse(arguments: &[String]) -> Result<(Options, What)> {
    let mut options = Options {
        quick: false,
        json: false,
    };
    let mut what = What::Rows(None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--json" => options.json = true,
            "--only" => match rest.next() {
                Some(name) if rows::NAMES.contains(&name.as_str()) => {
                    what = What::Rows(Some(name.clone()));
                }
                _ => return Err(format!("--only takes one of {}", rows::NAMES.join(", ")).into()),
            },
            "--soak" => match rest.next().map(|minutes| minutes.parse()) {
                Some(Ok(minutes @ 1_u64..)) => {
                    what = What::Soak(Duration::from_secs(60 * minutes));
                }
                _ => return Err("--soak takes minutes".into()),
            },
            // What cargo itself adds.
            "--bench" => {}
            _ => return Err("usage: [--json] [--quick] [--only NAME] | --soak MINUTES".into()),
        }
    }
    Ok((options, what))
}

async fn measure(options: Options, only: Option<&str>) -> Result<()> {
    let cluster = cluster::start().await?;
    let version = Database::new(&cluster, "version")
        .await?
        .server_version()
        .await?;
    let mut report = Report::new(options.quick, version);
    for name in rows::NAMES
        .iter()
        .filter(|name| only.is_none_or(|only| only == **name))
    {
        let started = Instant::now();
        let lines = rows::measure(name, options, &cluster).await?;
        eprintln!(
            "{name}: {} figures in {:.1} s",
            lines.len(),
            started.elapsed().as_secs_f64()
        );
        report.add(name, lines);
    }
    cluster.stop().await?;
    if options.json {
        println!("{}", report.json()?);
    } else {
        print!("{report}");
    }
    Ok(())
}
