//! The server processes that are measured, each a child of this one: the raw TCP floor, the
//! product's own path from the handshake to the socket, and the whole product.

pub(crate) mod floor;
pub(crate) mod role;
pub(crate) mod transport;

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    Result,
    memory::{self, Memory},
};

/// What the product logs: not that its connections end, which a row sees to itself.
const LOG: &str = "warn,deadpool.postgres=off";

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pid: u32,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// This program in one of its roles.
    pub(crate) async fn role(role: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(role);
        Self::start(command).await
    }

    /// The product on a database, ready to serve. People have to sign in.
    pub(crate) async fn product(database_url: &str) -> Result<Self> {
        Self::product_with(database_url, &[]).await
    }

    /// The same with more variables.
    pub(crate) async fn product_with(
        database_url: &str,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_marketplace"));
        command.args(["serve", "--bind", "127.0.0.1:0"]);
        // Nothing of this process's environment configures it.
        command
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("RATE_LIMITS", "off")
            .env("RUST_LOG", LOG)
            .envs(variables.iter().copied());
        let server = Self::start(command).await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !crate::session::get(server.address, "/readyz")
            .await?
            .starts_with("HTTP/1.1 200 ")
        {
            if Instant::now() > deadline {
                return Err("the product does not get ready".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    async fn start(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let piped = "it was piped";
        let stdin = child.stdin.take().ok_or(piped)?;
        let lines = BufReader::new(child.stdout.take().ok_or(piped)?).lines();
        let pid = child.id().ok_or("a server ended at once")?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            child,
            pid,
            stdin,
            lines,
            address,
        };
        server.address = server.line("listening on http://").await?.parse()?;
        Ok(server)
    }

    /// What follows `prefix` in the next line that begins with it.
    async fn line(&mut self, prefix: &str) -> Result<String> {
        while let Some(line) = self.lines.next_line().await? {
            if let Some(rest) = line.strip_prefix(prefix) {
                return Ok(rest.to_owned());
            }
        }
        Err("a server ended".into())
    }

    /// Lets a role make the frame that it is to send next. Gives its bytes on the wire.
    pub(crate) async fn load(&mut self, payload_bytes: usize) -> Result<u64> {
        self.stdin
            .write_all(format!("load {payload_bytes}\n").as_bytes())
            .await?;
        Ok(self.line("loaded ").await?.parse()?)
    }

    /// Lets a role send it to everybody. Gives the moment before it was told to.
    pub(crate) async fn send(&mut self) -> Result<Instant> {
        let now = Instant::now();
        self.stdin.write_all(b"send\n").await?;
        Ok(now)
    }

    /// The same, of the compressed frame, which is made on this occasion.
    pub(crate) async fn deflate_and_send(&mut self) -> Result<Instant> {
        let now = Instant::now();
        self.stdin.write_all(b"deflate and send\n").await?;
        Ok(now)
    }

    /// CPU time used until now. Waits until the server is idle.
    pub(crate) async fn cpu(&self) -> Result<Duration> {
        let mut before = memory::cpu(self.pid)?;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = memory::cpu(self.pid)?;
            if now.saturating_sub(before) < Duration::from_micros(50) {
                return Ok(now);
            }
            before = now;
        }
    }

    /// CPU time used since the process had used `before`.
    pub(crate) async fn cpu_since(&self, before: Duration) -> Result<Duration> {
        Ok(self.cpu().await?.saturating_sub(before))
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> Result<Memory> {
        memory::memory(self.pid)
    }

    /// How many files it has open.
    pub(crate) fn descriptors(&self) -> Result<u64> {
        memory::descriptors(self.pid)
    }

    /// Ends it and waits for that.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
