//! Chromium, driven over its own protocol (<https://chromedevtools.github.io/devtools-protocol/>): one
//! page, asked in JavaScript and used with mouse and keys. It says nothing of what a page should show.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
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
        browser.resize(1280, 800).await;
        browser.go(url).await;
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
            if Instant::now() >= deadline {
                let shown = self.evaluate("document.body.innerText").await;
                let complaints = &self.complaints;
                panic!("not in time: {expression}; {complaints:?}; {shown}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks the first element that a selector finds, once there is one.
    pub(crate) async fn click(&mut self, selector: &str) {
        let element = format!("document.querySelector({})", json!(selector));
        self.click_on(&element).await;
    }

    /// Clicks the element that an expression gives, once it is to be seen.
    pub(crate) async fn click_on(&mut self, element: &str) {
        self.until(&format!("({element})?.getClientRects().length > 0"))
            .await;
        let middle = format!(
            "(() => {{ const element = {element}; element.scrollIntoView({{ block: 'nearest' }});
                const {{ x, y, width, height }} = element.getBoundingClientRect();
                return [x + width / 2, y + height / 2]; }})()"
        );
        let middle = self.evaluate(&middle).await;
        for what in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": what, "x": middle[0], "y": middle[1], "button": "left",
                "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Types into a field, instead of what is in it.
    pub(crate) async fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector).await;
        self.evaluate("document.activeElement.select()").await;
        self.insert(text).await;
    }

    /// Types where the focus is.
    pub(crate) async fn insert(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Chooses in a list.
    pub(crate) async fn choose(&mut self, selector: &str, value: &str) {
        let choose = format!(
            "(() => {{ const list = document.querySelector({});
                list.value = {}; list.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()",
            json!(selector),
            json!(value)
        );
        self.evaluate(&choose).await;
    }

    /// Presses a key where the focus is.
    pub(crate) async fn press(&mut self, key: &str) {
        let text = match key {
            "Enter" => "\r",
            key if key.len() == 1 => key,
            _ => "",
        };
        for what in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": what, "key": key });
            if what == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            // Chromium does what these keys do only when it is given their code.
            match key {
                "Enter" => event["windowsVirtualKeyCode"] = 13.into(),
                "Tab" => event["windowsVirtualKeyCode"] = 9.into(),
                _ => {}
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Goes to another address.
    pub(crate) async fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    /// Loads the page anew, with nothing of what the browser has kept of it.
    pub(crate) async fn reload(&mut self) {
        self.evaluate("window.isOld = true").await;
        self.call("Page.reload", json!({ "ignoreCache": true }))
            .await;
        self.until("window.isOld === undefined && document.readyState === 'complete'")
            .await;
    }

    /// Gives the window another size, in pixels.
    pub(crate) async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Lets the system prefer `light` or `dark`.
    pub(crate) async fn prefer(&mut self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )
        .await;
    }

    /// Shows the page as on `screen` or in `print`.
    pub(crate) async fn show_as(&mut self, medium: &str) {
        let media = json!({ "media": medium });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// What is to be seen, as PNG.
    pub(crate) async fn screenshot(&mut self) -> Vec<u8> {
        let picture = self
            .call("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let text = picture["data"].as_str().expect("a picture");
        BASE64_STANDARD.decode(text).expect("in base64")
    }

    /// The page as it is printed, as PDF. Tags for screen readers would take most of the time.
    pub(crate) async fn print(&mut self) -> Vec<u8> {
        let ask = json!({ "preferCSSPageSize": true, "generateTaggedPDF": false });
        let printed = self.call("Page.printToPDF", ask).await;
        let text = printed["data"].as_str().expect("a document");
        BASE64_STANDARD.decode(text).expect("in base64")
    }

    /// Waits for a complaint that was to be expected, and forgets it.
    pub(crate) async fn forgive(&mut self, about: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.complaints.iter().position(|c| c.contains(about)) {
                self.complaints.remove(at);
                return;
            }
            assert!(Instant::now() < deadline, "nothing about {about}");
            self.evaluate("1").await;
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
                Some("Runtime.consoleAPICalled") if message["params"]["type"] == "error" => {
                    &message["params"]["args"]
                }
                _ => continue,
            };
            let said = said.to_string();
            // A page that leaves a view closes the view's socket, also one whose handshake is under way.
            if !said.contains("closed before the connection is established") {
                self.complaints.push(said);
            }
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
