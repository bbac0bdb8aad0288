//! `marketplace serve`: the server, on a database that is named or on a private cluster. What it prints on
//! the standard output is for people and scripts that wait for it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::target;
use crate::{
    auth::default_admin::{self, Newcomer},
    config::{Config, LogFormat, settings},
    db::migrate,
    embedded::{Cluster, Options},
    error::{Error, Result},
    output,
    pg::dsn::Dsn,
    server, signals,
};

/// Serves until somebody stops the program.
///
/// # Errors
/// As [`run`](crate::run); [`Error::Start`] when the private cluster does not start.
pub async fn run(mut config: Config) -> Result<()> {
    let stop = signals::stop()?;
    for (name, meant) in settings::misspelt() {
        tracing::warn!(
            name,
            meant,
            "unknown variable; another one is probably meant"
        );
    }
    for (name, why) in settings::wrong_endpoints(&config.settings) {
        tracing::warn!(name, why, "this address cannot be used");
    }
    let database = if config.embedded {
        None
    } else {
        Some(config.database.url()?)
    };
    // A busy port is found out before a cluster is made or a database migrated.
    if config.passed.is_none() {
        config.passed = Some(Arc::new(server::bind(config.bind)?));
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
    if let Some(database) = database {
        return Box::pin(crate::run(config, &database, announce, stop)).await;
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
    let database = database.set_by(target::CLUSTER);
    migrate::run(&database, &config.database.time_zone.name).await?;
    let newcomer = default_admin::welcome(&database, cluster.data_dir()).await?;
    config.uploads = config
        .uploads
        .of_cluster(&config.data_dir, cluster.data_dir());
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
        result = crate::run(config, &database, announce, stop) => result,
        never = cluster.keep_running() => match never {},
    };
    cluster
        .stop()
        .await
        .map_err(|e| Error::Start(e.to_string()))?;
    result
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
