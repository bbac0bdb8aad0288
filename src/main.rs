//! The `marketplace` program: parses the command line, starts the log, calls the library, and turns
//! its result into an exit code.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use marketplace::{
    auth::newcomer,
    cli,
    config::{self, Command, Config, Database, LogFormat, Tail},
    db::{
        dsn::Dsn,
        embedded::{Cluster, Options},
        migrate,
    },
    error::{Error, Result},
    live,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

fn main() -> ExitCode {
    let command = config::parse(std::env::args()).and_then(|cli| {
        let mut command = cli.command;
        if let Command::Serve(config) = &mut command {
            config.passed = config::passed()?;
        }
        Ok(command)
    });
    match command.and_then(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ Error::Config(_)) => {
            eprintln!("marketplace: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("marketplace: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Serve(config) => {
                log(config.log_format, LevelFilter::INFO);
                // Too large for the stack of whoever waits for it.
                Box::pin(serve(*config)).await
            }
            Command::Migrate(database) => {
                log(LogFormat::Text, LevelFilter::INFO);
                migrate_only(*database).await
            }
            Command::Users(users) => {
                log(LogFormat::Text, LevelFilter::WARN);
                cli::users::run(*users).await
            }
            Command::Emr(command) => {
                log(LogFormat::Text, LevelFilter::WARN);
                cli::emr::run(*command).await
            }
            Command::ImportDjango(import) => {
                log(LogFormat::Text, LevelFilter::WARN);
                cli::import::run(*import).await
            }
            Command::Doctor(doctor) => {
                log(LogFormat::Text, LevelFilter::WARN);
                cli::doctor::run(*doctor).await
            }
            Command::Tail(tail) => {
                log(LogFormat::Text, LevelFilter::INFO);
                follow(*tail).await
            }
            Command::Demo(target) => {
                log(LogFormat::Text, LevelFilter::WARN);
                cli::demo::run(*target).await
            }
            Command::Completions { shell } => {
                std::io::stdout().write_all(&config::completions(shell))?;
                Ok(())
            }
            Command::Healthcheck(server) => cli::healthcheck::run(&server).await,
            Command::Man { directory } => config::manual(&directory),
        }
    })
}

/// Starts the log at `level`, unless `RUST_LOG` says otherwise.
fn log(format: LogFormat, level: LevelFilter) {
    // Whatever else is left out: a line of a request names it.
    let ids = "marketplace::request=error"
        .parse()
        .expect("it is a well-formed directive");
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy()
        .add_directive(ids);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    if !config.embedded {
        let database = config.database.url()?.clone();
        return marketplace::run(config, &database, announce, stop).await;
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
    let password = newcomer::password(&database, cluster.data_dir()).await?;
    println!("edit rows with: {}", cluster.psql());
    println!("sign in as: {} / {password}", newcomer::USERNAME);
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

async fn migrate_only(database: Database) -> Result<()> {
    let done = migrate::run(database.url()?, &database.time_zone.name).await?;
    println!("applied {} migrations", done.applied);
    Ok(())
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
            ended = live::tail::run(listen.url().unwrap_or(url), json) => ended,
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    })
    .await
}

/// The line that people and scripts wait for.
fn announce(address: std::net::SocketAddr) {
    println!("listening on http://{address}");
    // A pipe is not flushed by a line's end.
    let _ = std::io::stdout().flush();
}
