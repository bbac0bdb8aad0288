//! Chromium, driven over its own protocol (<https://chromedevtools.github.io/devtools-protocol/>): one
//! page, asked in JavaScript. It says nothing of what a page should show.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// How long the browser may take to start, and for each answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    profile: PathBuf,
    protocol: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    asked: u64,
    /// What the browser had to say of the page: scripts it did not run, errors.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// Opens a page.
    pub(crate) async fn open(url: &str) -> Self {
        let name = format!("marketplace-browser-{:016x}", rand::random::<u64>());
        let profile = std::env::temp_dir().join(name);
        let child = Command::new("chromium")
            // The sandbox refuses root.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--no-first-run"])
            .args([
                "--disable-background-networking",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromium can be started: run `make tools`");
        let (protocol, _) = tokio_tungstenite::connect_async(address(&profile).await)
            .await
            .expect("the browser speaks its protocol");
        let mut browser = Self {
            child,
            profile,
            protocol,
            session: String::new(),
            asked: 0,
            complaints: Vec::new(),
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await;
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser.call("Log.enable", json!({})).await;
        browser.call("Runtime.enable", json!({})).await;
        browser.call("Page.navigate", json!({ "url": url })).await;
        browser
    }

    /// The value of an expression on the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", ask).await;
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(expression).await != true {
            let complaints = &self.complaints;
            assert!(
                Instant::now() < deadline,
                "not in time: {expression}; {complaints:?}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it and removes what it wrote.
    pub(crate) async fn close(mut self) {
        self.child.kill().await.expect("it can be ended");
        let deadline = Instant::now() + PATIENCE;
        while std::fs::remove_dir_all(&self.profile).is_err() && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut call = json!({ "id": self.asked, "method": method, "params": params });
        if !self.session.is_empty() {
            call["sessionId"] = self.session.clone().into();
        }
        self.protocol
            .send(Message::text(call.to_string()))
            .await
            .expect("it listens");
        loop {
            let message = timeout(PATIENCE, self.protocol.next()).await;
            let message = message.expect("it answers in time").expect("it runs");
            let Ok(Message::Text(text)) = message else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).expect("the protocol is JSON");
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            let said = match message["method"].as_str() {
                Some("Log.entryAdded") => &message["params"]["entry"]["text"],
                Some("Runtime.exceptionThrown") => &message["params"]["exceptionDetails"],
                _ => continue,
            };
            self.complaints.push(said.to_string());
        }
    }
}

/// Where the protocol is spoken, which the browser writes into its profile.
async fn address(profile: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let written = std::fs::read_to_string(profile.join("DevToolsActivePort"));
        if let Some((port, path)) = written.as_deref().unwrap_or_default().split_once('\n') {
            return format!("ws://127.0.0.1:{port}{}", path.trim());
        }
        assert!(Instant::now() < deadline, "the browser does not start");
        sleep(Duration::from_millis(50)).await;
    }
}
