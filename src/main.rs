//! The `marketplace` program: parses the command line, starts the log, calls the library, and turns
//! its result into an exit code.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic when nobody reads: see `output`"
)]

use std::process::ExitCode;

use marketplace::{
    cli,
    config::{self, Command, LogFormat},
    error::{Error, Result},
    log, output,
};
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let command = config::parse(std::env::args()).and_then(|cli| {
        let mut command = cli.command;
        if let Command::Serve(config) = &mut command {
            config.passed = config::passed()?;
        }
        Ok(command)
    });
    let is_json =
        matches!(&command, Ok(Command::Serve(config)) if config.log_format == LogFormat::Json);
    let Err(error) = command.and_then(start) else {
        return ExitCode::SUCCESS;
    };
    let sentence = format!("marketplace: {error}");
    if is_json {
        tracing::error!("{sentence}");
    } else {
        output::complaint(&sentence);
    }
    match error {
        Error::Config(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn start(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(config) if config.print_config => cli::check::print(&config.settings),
            Command::Serve(config) => {
                log::start(config.log_format, LevelFilter::INFO);
                // Too large for the stack of whoever waits for it.
                Box::pin(cli::serve::run(*config)).await
            }
            Command::Check(config) => cli::check::run(&config).await,
            Command::Migrate(target) => {
                log::start(LogFormat::Text, LevelFilter::INFO);
                cli::migrate::run(*target).await
            }
            Command::Users(users) => {
                log::start(LogFormat::Text, LevelFilter::WARN);
                cli::users::run(*users).await
            }
            Command::Emr(command) => {
                log::start(LogFormat::Text, LevelFilter::WARN);
                cli::emr::run(*command).await
            }
            Command::Uploads(command) => {
                log::start(LogFormat::Text, LevelFilter::WARN);
                cli::uploads::run(*command).await
            }
            Command::ImportDjango(import) => {
                log::start(LogFormat::Text, LevelFilter::WARN);
                cli::import::run(*import).await
            }
            Command::Doctor(doctor) => {
                log::start(LogFormat::Text, LevelFilter::WARN);
                cli::doctor::run(*doctor).await
            }
            Command::Tail(tail) => {
                log::start(LogFormat::Text, LevelFilter::INFO);
                cli::tail::run(*tail).await
            }
            Command::Demo(target) => {
                log::start(LogFormat::Text, LevelFilter::WARN);
                cli::demo::run(*target).await
            }
            Command::Completions { shell } => output::bytes(&config::completions(shell)).map(drop),
            Command::Healthcheck(server) => cli::healthcheck::run(&server).await,
            Command::Man { directory } => config::manual(&directory),
        }
    })
}
