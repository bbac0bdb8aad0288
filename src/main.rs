//! The `marketplace` program: parses the command line, starts the log, calls the library, and turns
//! its result into an exit code.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic when nobody reads: see `output`"
)]

use std::process::ExitCode;

use marketplace::{
    auth::default_admin::{self, Newcomer},
    cli,
    config::{self, Command, Config, LogFormat, Tail, Target},
    db::migrate,
    embedded::{Cluster, Options},
    error::{Error, Result},
    log, output,
    pg::dsn::Dsn,
    signals,
};
use serde_json::{Value, json};
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
                Box::pin(serve(*config)).await
            }
            Command::Check(config) => cli::check::run(&config).await,
            Command::Migrate(target) => {
                log::start(LogFormat::Text, LevelFilter::INFO);
                migrate_only(*target).await
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
                follow(*tail).await
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

async fn serve(config: Config) -> Result<()> {
    let stop = signals::stop()?;
    for (name, meant) in config::settings::misspelt() {
        tracing::warn!(
            name,
            meant,
            "nothing reads this variable; another one is meant"
        );
    }
    let format = config.log_format;
    // People and scripts wait for this line.
    let announce = |address| {
        let url = format!("http://{address}");
        tell(
            format,
            &format!("listening on {url}"),
            json!({ "url": url }),
        );
    };
    if !config.embedded {
        let database = config.database.url()?.clone();
        return Box::pin(marketplace::run(config, &database, announce, stop)).await;
    }
    let options = Options {
        data_dir: config.data_dir.clone(),
        port: None,
        settings: Vec::new(),
    };
    let mut cluster = Cluster::start(options)
        .await
        .map_err(|e| Error::Start(e.to_string()))?;
    let database: Dsn = cluster.url().parse().map_err(Error::Start)?;
    migrate::run(&database, &config.database.time_zone.name).await?;
    let newcomer = default_admin::welcome(&database, cluster.data_dir()).await?;
    let psql = cluster.psql();
    tell(
        format,
        &format!("edit rows with: {psql}"),
        json!({ "psql": psql }),
    );
    let username = default_admin::USERNAME;
    match newcomer {
        Newcomer::Made(password) => tell(
            format,
            &format!("sign in as: {username} / {password}"),
            json!({ "username": username, "password": password }),
        ),
        Newcomer::Kept(file) => tell(
            format,
            &format!(
                "sign in as: {username}, with the password in {} unless you changed it",
                file.display()
            ),
            json!({ "username": username, "password_file": file }),
        ),
        Newcomer::Gone => {}
    }
    let result = tokio::select! {
        result = marketplace::run(config, &database, announce, stop) => result,
        never = cluster.keep_running() => match never {},
    };
    cluster
        .stop()
        .await
        .map_err(|e| Error::Start(e.to_string()))?;
    result
}

async fn migrate_only(target: Target) -> Result<()> {
    let zone = &target.database.time_zone.name;
    // A private cluster that no server runs is brought up to date as it is visited.
    let done = cli::visit(&target, async |url: &Dsn| migrate::run(url, zone).await).await?;
    output::line(&format!("applied {} migrations", done.applied)).map(drop)
}

/// Prints announcements until it is interrupted, or until nobody reads them any more.
async fn follow(command: Tail) -> Result<()> {
    let Tail {
        target,
        listen,
        json,
    } = command;
    cli::visit(&target, async |url: &Dsn| {
        tokio::select! {
            ended = cli::tail::run(listen.url().unwrap_or(url), json) => ended,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    })
    .await
}

/// Prints a line of the server's: a sentence, or where the log is JSON an object with the same
/// sentence as its message, beside what a script may want of it. The server runs on when the line
/// cannot be printed.
fn tell(format: LogFormat, sentence: &str, mut object: Value) {
    let line = match format {
        LogFormat::Text => sentence.to_owned(),
        LogFormat::Json => {
            object["message"] = sentence.into();
            object.to_string()
        }
    };
    if let Err(error) = output::line(&line) {
        tracing::warn!(%error, "a line could not be printed");
    }
}
