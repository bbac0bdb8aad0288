//! A password from a person or a file: asked for at a terminal without showing it, else the first
//! line of the input. Never from the command line, never printed.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
    process::Command,
    thread,
};

use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// Reads a password: the first line of `file`, or of what is typed or piped in.
///
/// # Errors
/// [`Error::Start`] when it cannot be read, or when it is not typed twice alike.
pub(super) async fn read(file: Option<&Path>) -> Result<String> {
    if let Some(file) = file {
        let text = fs::read_to_string(file)
            .map_err(|error| Error::Start(format!("{}: {error}", file.display())))?;
        return Ok(first_line(&text));
    }
    if !io::stdin().is_terminal() {
        return line().await;
    }
    let password = typed("Password: ").await?;
    if typed("Again: ").await? != password {
        return Err(Error::Start("the passwords differ".into()));
    }
    Ok(password)
}

/// What is typed after `prompt`, unseen.
async fn typed(prompt: &str) -> Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "{prompt}")?;
    let hidden = Hidden::new()?;
    let typed = tokio::select! {
        typed = line() => typed,
        _ = tokio::signal::ctrl_c() => Err(Error::Start("interrupted".into())),
    };
    drop(hidden);
    writeln!(terminal)?;
    typed
}

/// A line of the input. Read by a thread that nothing waits for, so that an interrupt ends the
/// program although nobody ends the line.
pub(super) async fn line() -> Result<String> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).map(|_| first_line(&line));
        // Nobody waits any more after an interrupt.
        let _ = sender.send(read);
    });
    let read = receiver.await.expect("the thread sends before it ends");
    Ok(read?)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// While this lives the terminal shows nothing of what is typed.
struct Hidden;

impl Hidden {
    fn new() -> Result<Self> {
        if stty("-echo") {
            return Ok(Self);
        }
        Err(Error::Start(
            "the terminal cannot hide the password; use --password-file".into(),
        ))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
    }
}

/// Sets the terminal that is the standard input, by the program made for it: the standard library
/// cannot.
fn stty(setting: &str) -> bool {
    Command::new("stty")
        .arg(setting)
        .status()
        .is_ok_and(|status| status.success())
}
