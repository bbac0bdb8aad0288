//! The steps that speak WebSocket: `ws_open`, `ws_send`, `ws_expect` and `ws_close`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::answer;
use super::requests::{add_headers, given};
use super::{Engine, Scene};
use crate::{
    compat::{
        Fallible,
        judge::{Observation, as_reference},
        norm,
        template::Vars,
        transcript::{Compression, Step},
    },
    support::client::{Frame, Refusal, Socket},
};

/// How long expected frames are waited for: in a step that may go otherwise, and else.
const JUDGED: Duration = Duration::from_millis(2_500);
const USUAL_MS: u64 = 8_000;
/// How long surplus frames are waited for after the expected ones.
const SETTLE: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(20);
/// Where a server may push frames with an `event` at any time.
const EVENT_PATHS: [&str; 3] = [
    "/ws/source",
    "/ws/data_source_activation",
    "/ws/EMRConsumer",
];

/// The sockets of a case, in the order of their opening.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    name: String,
    path: String,
    socket: Socket,
    /// How many frames earlier steps have reported.
    reported: usize,
    /// Whether this side has closed it.
    ours: bool,
}

impl Engine<'_> {
    pub(super) async fn ws_open(
        &mut self,
        step: &Step,
        scene: &mut Scene,
    ) -> Fallible<Observation> {
        let mut headers = self
            .credentials(&step.who, step.csrf.as_ref(), scene)
            .await?;
        add_headers(&mut headers, step, &scene.vars)?;
        if let Some(offered) = &step.subprotocols {
            headers.push(("Sec-WebSocket-Protocol".into(), Some(offered.join(", "))));
        }
        if let Some(Compression::Deflate) = step.compression {
            let offer = "permessage-deflate; client_max_window_bits";
            headers.push(("Sec-WebSocket-Extensions".into(), Some(offer.into())));
        }
        let headers = headers.into_iter().filter_map(given).collect();
        let path = scene.vars.fill(step.path())?;
        let value = match Socket::connect(&self.address, &path, headers).await {
            Ok(socket) => {
                let subprotocol = socket
                    .handshake
                    .header("sec-websocket-protocol")
                    .map(str::to_owned);
                scene.sockets.add(step.sock(), path, socket);
                json!({"open": true, "subprotocol": subprotocol})
            }
            Err(Refusal::Answer(refused)) => {
                let (kind, body) = answer::body(&refused.body, refused.header("content-type"));
                let body = norm::value(&scene.vars, &body);
                json!({"open": false, "status": refused.status, "body_kind": kind, "body": body})
            }
            Err(Refusal::Broken(error)) => json!({"open": false, "error": error.to_string()}),
        };
        Ok(value.into())
    }
}

impl Sockets {
    fn add(&mut self, name: &str, path: String, socket: Socket) {
        self.0.retain(|known| known.name != name);
        self.0.push(Watched {
            name: name.to_owned(),
            path,
            socket,
            reported: 0,
            ours: false,
        });
    }

    fn find(&mut self, name: &str) -> Option<&mut Watched> {
        self.0.iter_mut().find(|watched| watched.name == name)
    }

    /// Sends a message; a socket that could not be opened takes none.
    pub(super) async fn send(&mut self, step: &Step, vars: &Vars) -> Fallible<()> {
        let Some(Watched { socket, .. }) = self.find(step.sock()) else {
            return Ok(());
        };
        if let Some(json) = &step.json {
            socket.send_text(vars.fill_json(json)?).await;
        } else if let Some(long) = &step.text_repeat {
            let middle = vars.fill(&long.unit)?.repeat(long.count);
            let (prefix, suffix) = (vars.fill(&long.prefix)?, vars.fill(&long.suffix)?);
            socket.send_text(prefix + &middle + &suffix).await;
        } else if let Some(bytes) = &step.binary_b64 {
            socket
                .send_binary(BASE64.decode(bytes).map_err(|error| error.to_string())?)
                .await;
        } else {
            let text = step.text.as_deref().ok_or("a message has a content")?;
            socket.send_text(vars.fill(text)?).await;
        }
        if step.gap_ms > 0 {
            sleep(Duration::from_millis(step.gap_ms)).await;
        }
        Ok(())
    }

    pub(super) async fn close(&mut self, name: &str, code: u16) {
        if let Some(watched) = self.find(name) {
            watched.ours = true;
            watched.socket.close(code).await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn close_all(&mut self) {
        for watched in self
            .0
            .iter_mut()
            .filter(|watched| watched.socket.closed().is_none())
        {
            watched.socket.close(1000).await;
        }
    }

    /// What every socket received since the last time, once as much is there as the reference sent.
    pub(super) async fn expect(&mut self, step: &Step, vars: &mut Vars) -> Fallible<Observation> {
        let limit = match step.judge {
            Some(_) => JUDGED,
            None => Duration::from_millis(step.max_ms.unwrap_or(USUAL_MS)),
        };
        let want = step
            .expect
            .as_ref()
            .ok_or("only a recording waits without knowing for what")?;
        let start = Instant::now();
        while !self.enough(want) && start.elapsed() < limit {
            sleep(POLL).await;
        }
        sleep(SETTLE.max(Duration::from_millis(step.wait_ms))).await;
        let mut seen = Map::new();
        let mut live = vec![];
        for watched in &mut self.0 {
            if watched.path.contains("filter_source") {
                live.push(watched.name.clone());
            }
            seen.insert(watched.name.clone(), watched.report(step, vars)?);
        }
        Ok(Observation {
            value: seen.into(),
            live,
        })
    }

    fn enough(&self, want: &Value) -> bool {
        self.0.iter().all(|watched| {
            let Some(want) = want.get(&watched.name) else {
                return true;
            };
            let frames = want["frames"].as_array().map_or(0, Vec::len);
            watched.socket.count() - watched.reported >= frames
                && (want["closed"].is_null() || watched.socket.closed().is_some())
        })
    }
}

impl Watched {
    fn report(&mut self, step: &Step, vars: &mut Vars) -> Fallible<Value> {
        let frames = self.socket.frames_from(self.reported);
        self.reported += frames.len();
        self.capture(step, &frames, vars)?;
        let frames: Vec<_> = frames
            .iter()
            .map(|frame| as_reference(value(frame, vars)))
            .filter(|frame| !self.is_event(frame))
            .collect();
        let closed = self.socket.closed().filter(|_| !self.ours);
        let closed =
            closed.map(|close| json!({"code": close.code, "reason": close.reason, "by": "server"}));
        Ok(json!({"frames": frames, "closed": closed}))
    }

    /// Keeps parts of the newest frame under names: `"id:n1": "A:data.0.id"`.
    fn capture(&self, step: &Step, frames: &[Frame], vars: &mut Vars) -> Fallible<()> {
        for (name, path) in &step.capture {
            let path = path.as_str().and_then(|path| path.split_once(':'));
            let (sock, path) = path.ok_or("a capture names a socket and a path")?;
            if let Some(Frame::Text(text)) = frames.last().filter(|_| sock == self.name) {
                let frame: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
                let part = answer::at(&frame, path).and_then(Value::as_str);
                vars.set(
                    name,
                    part.ok_or_else(|| format!("no {path} in {text}"))?
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn is_event(&self, frame: &Value) -> bool {
        let here = EVENT_PATHS.iter().any(|path| {
            self.path.find(path).is_some_and(|start| {
                let rest = &self.path[start + path.len()..];
                rest.is_empty() || rest.starts_with('/')
            })
        });
        here && frame.get("event").is_some()
    }
}

fn value(frame: &Frame, vars: &Vars) -> Value {
    match frame {
        Frame::Binary(bytes) => json!({"$binary_b64": BASE64.encode(bytes)}),
        Frame::Text(text) => match serde_json::from_str(text) {
            Ok(value) => norm::value(vars, &value),
            Err(_) => json!({"$text": norm::text(vars, text)}),
        },
    }
}
