//! The file format of the transcripts (`compat-transcript/1`): cases made of steps, each with what the reference showed.
//! It only reads files; what a step does and how it is judged is not known here.

use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserialize as DeserializeTrait, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// One file of `tests/compat/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transcript {
    pub(crate) format: String,
    pub(crate) area: String,
    pub(crate) cases: Vec<Case>,
}

impl Transcript {
    pub(crate) fn load(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/compat")
            .join(file);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let transcript: Self =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(transcript.format, "compat-transcript/1", "{file}");
        transcript
    }
}

/// Steps that are run in order on a server without sources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(default, rename = "note")]
    _note: Option<String>,
    /// What the run must offer: `sql`, or how the server was started (`emr-none`, `emr-stub`, ...).
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    pub(crate) precondition: Precondition,
    pub(crate) steps: Vec<Step>,
    /// Seconds that the steps may take together.
    #[serde(default = "ninety")]
    pub(crate) timeout_s: u64,
}

fn ninety() -> u64 {
    90
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Precondition {
    #[serde(default = "yes")]
    pub(crate) reset: bool,
    #[serde(default)]
    pub(crate) users: Vec<String>,
    #[serde(default)]
    pub(crate) sources: Vec<Source>,
}

fn yes() -> bool {
    true
}

/// A source that is there before the first step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    #[serde(rename = "as")]
    pub(crate) name: String,
    pub(crate) fields: Box<RawValue>,
    #[serde(default)]
    pub(crate) inactive: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Also what the two requests of a race are, which do not say so.
    #[default]
    Http,
    WsOpen,
    WsSend,
    WsExpect,
    WsClose,
    Sql,
    Wait,
    Burst,
    Race,
    AwsExpect,
}

/// One step; which fields matter follows from `action`. JSON bodies are kept as they are written, so that numbers
/// of any size and odd escapes arrive at the server unchanged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(rename = "do", default)]
    pub(crate) action: Action,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    #[serde(rename = "as", default = "anonymous")]
    pub(crate) who: String,
    #[serde(default)]
    pub(crate) headers: Map<String, Value>,
    /// `true`: send the token of the cookie; a text: send that.
    pub(crate) csrf: Option<Value>,
    pub(crate) jar: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) json: Option<Box<RawValue>>,
    pub(crate) text: Option<String>,
    pub(crate) bytes_b64: Option<String>,
    pub(crate) binary_b64: Option<String>,
    pub(crate) text_repeat: Option<Repeat>,
    pub(crate) form: Option<Map<String, Value>>,
    pub(crate) multipart: Option<Multipart>,
    #[serde(default)]
    pub(crate) capture: Map<String, Value>,
    pub(crate) sock: Option<String>,
    pub(crate) subprotocols: Option<Vec<String>>,
    pub(crate) compression: Option<Compression>,
    pub(crate) code: Option<u16>,
    #[serde(default)]
    pub(crate) gap_ms: u64,
    #[serde(default)]
    pub(crate) wait_ms: u64,
    pub(crate) max_ms: Option<u64>,
    pub(crate) ms: Option<u64>,
    pub(crate) compare: Option<String>,
    #[serde(default)]
    pub(crate) reply_ok: Vec<String>,
    #[serde(default)]
    pub(crate) same_again: Vec<String>,
    pub(crate) sql: Option<String>,
    pub(crate) count: Option<usize>,
    #[serde(default)]
    pub(crate) requests: Vec<Step>,
    pub(crate) rounds: Option<usize>,
    pub(crate) effect: Option<Map<String, Value>>,
    pub(crate) expect: Option<Value>,
    pub(crate) judge: Option<Judge>,
}

impl Step {
    pub(crate) fn method(&self) -> &str {
        self.method.as_deref().expect("a request has a method")
    }

    pub(crate) fn path(&self) -> &str {
        self.path.as_deref().expect("a request has a path")
    }

    pub(crate) fn sock(&self) -> &str {
        self.sock
            .as_deref()
            .expect("a socket step names its socket")
    }

    /// What a report calls the step.
    pub(crate) fn label(&self) -> String {
        let action = format!("{:?}", self.action);
        let words = [self.method.as_ref(), self.path.as_ref(), self.sock.as_ref()];
        words
            .into_iter()
            .flatten()
            .fold(action, |label, word| format!("{label} {word}"))
    }
}

fn anonymous() -> String {
    "anon".into()
}

/// Tells `"json": null` (send `null`) from no `json` at all.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    DeserializeTrait::deserialize(from).map(Some)
}

/// What a handshake offers besides.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    Deflate,
}

/// A very long text: prefix, unit times count, suffix.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) unit: String,
    pub(crate) count: usize,
    #[serde(default)]
    pub(crate) suffix: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Multipart {
    #[serde(default)]
    pub(crate) fields: Map<String, Value>,
    #[serde(default)]
    pub(crate) files: Map<String, Value>,
}

/// What else than the recorded answer is accepted: of a quirk either, of a defect only something better.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judge {
    pub(crate) kind: String,
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) accept: Vec<Value>,
    #[serde(default)]
    pub(crate) same_ok: bool,
}
