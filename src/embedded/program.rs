//! PostgreSQL's programs that do their work and end. Which of them are run, and when, is not
//! decided here.

use std::path::Path;
use std::process::Command;

use super::error::EmbeddedError;

/// How many lines of what was said a failure shows.
const LAST_LINES: usize = 10;

/// Runs a program to its end.
///
/// # Errors
/// The end of what it said when it fails.
pub(super) async fn run(program: &'static str, command: Command) -> Result<(), EmbeddedError> {
    let output = tokio::process::Command::from(command).output().await;
    let output = output.map_err(|error| EmbeddedError::io(Path::new(program), error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Err(EmbeddedError::Failed {
        program,
        output: last_lines(&text),
    })
}

/// The end of what a program said or a log says.
pub(super) fn last_lines(text: &str) -> String {
    let mut lines: Vec<_> = text.trim_end().lines().rev().take(LAST_LINES).collect();
    lines.reverse();
    lines.join("\n")
}
