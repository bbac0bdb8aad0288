//! The program as a process of its own.

use std::{fs::File, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_marketplace");

/// The program with nothing of this process's environment that could configure it.
pub fn program(arguments: &[&str]) -> Command {
    command(PROGRAM, arguments)
}

/// Another program, which will become or start ours, in the same surroundings.
pub fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// A running server program.
pub struct Running {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stderr(Stdio::inherit());
        Self::spawn(command)
    }

    /// The same with its log in a file.
    pub fn logging(mut command: Command, log: &Path) -> Self {
        let log = File::create(log).expect("the log can be written");
        command.stderr(log);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// What follows `prefix` in the first line that begins with it, or whose message does so where lines
    /// are JSON.
    pub async fn line(&mut self, prefix: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let json = serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default();
                let message = json["message"].as_str().unwrap_or_default();
                let found = line.strip_prefix(prefix);
                if let Some(rest) = found.or_else(|| message.strip_prefix(prefix)) {
                    return rest.to_owned();
                }
            }
            panic!("the program ended without a line {prefix:?}");
        };
        timeout(Duration::from_mins(1), found)
            .await
            .expect("the line comes in time")
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
    }
}
