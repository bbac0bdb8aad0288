//! One HTTP/1.1 exchange over a TCP connection of its own: bytes out, bytes in.
//! It knows no cookies and no JSON, and adds only `Host`, `Content-Length` and `Accept` where the request has none.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a whole exchange may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a server listens, taken from a base URL such as `http://127.0.0.1:8000`.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    authority: String,
    prefix: String,
}

impl Address {
    pub(crate) fn parse(base: &str) -> Self {
        let rest = base
            .strip_prefix("http://")
            .expect("a test server speaks plain HTTP");
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        Self {
            authority: authority.to_owned(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("/{prefix}")
            },
        }
    }

    /// The base URL again.
    pub(crate) fn base(&self) -> String {
        format!("http://{}{}", self.authority, self.prefix)
    }

    pub(crate) async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A request as it goes on the wire; the method and the header names are sent as they are written.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Sends it and waits for the whole answer.
    pub(crate) async fn send(&self, to: &Address) -> Result<Response> {
        timeout(PATIENCE, self.exchange(to))
            .await
            .map_err(|_| ErrorKind::TimedOut)?
    }

    async fn exchange(&self, to: &Address) -> Result<Response> {
        let mut stream = to.connect().await?;
        stream.write_all(&self.head(to)).await?;
        if let Some(body) = &self.body {
            // A server may answer and hang up before it has read everything: the answer still counts.
            let _ = stream.write_all(body).await;
        }
        let (head, rest) = read_head(&mut stream).await?;
        head.read_body(&self.method, &mut stream, rest).await
    }

    pub(crate) fn head(&self, to: &Address) -> Vec<u8> {
        let mut head = format!("{} {}{} HTTP/1.1\r\n", self.method, to.prefix, self.path);
        let mut line = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        if !self.has("host") {
            line("Host", &to.authority);
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if !self.has("content-length") {
            match &self.body {
                Some(body) => line("Content-Length", &body.len().to_string()),
                None if matches!(&*self.method, "POST" | "PUT" | "PATCH" | "DELETE") => {
                    line("Content-Length", "0");
                }
                None => {}
            }
        }
        if !self.has("accept") {
            line("Accept", "*/*");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(name))
    }
}

/// An answer; header names are lower case, repeated headers are kept apart.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of that (lower case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; panics with the body when it is something else.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{} with a body that is no JSON ({error}): {}",
                self.status,
                self.text()
            )
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads what follows the head, as far as the head says; `rest` was already read.
    pub(crate) async fn read_body(
        mut self,
        method: &str,
        stream: &mut TcpStream,
        rest: Vec<u8>,
    ) -> Result<Self> {
        let mut body = Buffered {
            stream,
            bytes: rest,
        };
        self.body = if method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304) {
            Vec::new()
        } else if self
            .header("transfer-encoding")
            .is_some_and(|v| v.contains("chunked"))
        {
            body.chunks().await?
        } else if let Some(length) = self.header("content-length") {
            let length = length
                .parse()
                .map_err(|_| broken("a length that is no number"))?;
            body.exactly(length).await?
        } else {
            body.remainder().await?
        };
        Ok(self)
    }
}

/// Reads the head of an answer (skipping `100 Continue`); the second part is what came after it.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Result<(Response, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = parse_head(&bytes[..end])?;
            bytes.drain(..end + 4);
            if head.status != 100 {
                return Ok((head, bytes));
            }
        } else if stream.read_buf(&mut bytes).await? == 0 {
            return Err(broken("the connection ended before an answer"));
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Response> {
    // Header bytes are Latin-1 by RFC 9110: each byte is the character of that number.
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| broken("no status line"))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Response {
        status,
        headers,
        body: Vec::new(),
    })
}

/// A stream of which some bytes were read before.
struct Buffered<'a> {
    stream: &'a mut TcpStream,
    bytes: Vec<u8>,
}

impl Buffered<'_> {
    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.bytes.len() < length {
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(broken("the body ended early"));
            }
        }
        Ok(self.bytes.drain(..length).collect())
    }

    async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\r\n") {
                let line = self.exactly(end).await?;
                self.exactly(2).await?;
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(broken("the body ended early"));
            }
        }
    }

    async fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            match usize::from_str_radix(size, 16).map_err(|_| broken("no chunk size"))? {
                0 => break,
                size => whole.extend(self.exactly(size).await?),
            }
            self.line().await?;
        }
        while !self.line().await?.is_empty() {}
        Ok(whole)
    }

    async fn remainder(&mut self) -> Result<Vec<u8>> {
        while self.stream.read_buf(&mut self.bytes).await? != 0 {}
        Ok(std::mem::take(&mut self.bytes))
    }
}

fn broken(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
