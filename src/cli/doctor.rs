//! `marketplace doctor`: what [`diagnostics`] finds, for somebody on call.

use std::fmt::Write as _;

use super::{say, target};
use crate::{
    config::Doctor,
    db::diagnostics::{self, Finding, Level},
    error::{Error, Result},
    pg::dsn::Dsn,
};

/// Prints every finding.
///
/// # Errors
/// [`Error::Start`] with how many things are wrong.
pub async fn run(command: Doctor) -> Result<()> {
    let zone = &command.target.database.time_zone.name;
    let listen = command.listen.url();
    let listen = listen.as_ref();
    let findings = target::visit(&command.target, async |url: &Dsn| {
        Ok(diagnostics::run(url, listen, zone, command.fix).await)
    })
    .await?;
    if command.json {
        let json = serde_json::to_string_pretty(&findings);
        say(&json.expect("keys are strings, so it is JSON"))?;
    } else {
        say(&text(&findings))?;
    }
    let failed = findings.iter().filter(|one| one.level == Level::Fail);
    match failed.count() {
        0 => Ok(()),
        count => Err(Error::Start(super::problems("the database", count))),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let _ = write!(text, "{level}  {}: {}", finding.about, finding.found);
        if let Some(advice) = &finding.advice {
            let _ = write!(text, "; {advice}");
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}
