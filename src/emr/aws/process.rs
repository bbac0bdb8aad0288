//! Credentials that a command prints (`credential_process` of a profile)
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>).

use std::process::Stdio;

use tokio::process::Command;

use super::credentials::Found;

/// Runs the command in a shell. It ends when the caller stops waiting.
pub(super) async fn credentials(command: &str) -> Result<Found, String> {
    let ended = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let ended = ended.map_err(|error| format!("credential_process: {error}"))?;
    if !ended.status.success() {
        return Err(format!("credential_process: {}", ended.status));
    }
    Found::from_json(&ended.stdout, "credential_process")
}
