//! A small EMR of the tests' own (awsJson1.1 over HTTP), for what moto cannot do: states that move,
//! cancelling, throttling, refusals, calls that hang, and answers that are lost after the step was
//! taken. It checks no signature and keeps everything in memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::compat::aws::read_request;

/// The one cluster that there is.
pub const CLUSTER: &str = "j-FAKE000000001";

/// How long a slow answer takes.
const SLOWLY: Duration = Duration::from_millis(200);

/// What becomes of a request to add a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The step is taken, and that is answered.
    Taken,
    /// The step is taken, and that is answered after a while.
    TakenSlowly,
    /// The step is taken, and the connection breaks before that is answered.
    TakenInSilence,
    /// The step is taken, and the answer is an error of the server.
    TakenButFailed,
    /// The step is taken, and a proxy answers this status with a page of its own.
    TakenBehindProxy(u16),
    /// Not taken: too many requests.
    Throttled,
    /// Not taken: the connection breaks.
    Broken,
    /// Not taken: the request is refused.
    Refused,
    /// Not taken: the cluster has as many active steps as it takes.
    Full,
    /// Neither taken nor answered; the connection stays open.
    Hangs,
}

/// A step at the cluster.
#[derive(Clone, Debug)]
pub struct Step {
    /// What EMR calls it.
    pub id: String,
    /// As it was sent.
    pub config: Value,
    /// Seconds since 1970.
    pub created: f64,
    /// PENDING at first.
    pub state: String,
    /// `FailureDetails`, when there are some.
    pub failure: Value,
}

/// A running fake; it stops when it is dropped.
#[derive(Debug)]
pub struct Fake {
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    cluster: Arc<Mutex<Cluster>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Cluster {
    steps: Vec<Step>,
    fates: VecDeque<Fate>,
    usual: Option<fn() -> Fate>,
    calls: Vec<Value>,
    /// Every call hangs.
    hangs: bool,
    /// The error that answers each call to list steps.
    list_error: Option<&'static str>,
}

impl Fake {
    /// An empty cluster.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let cluster = Arc::<Mutex<Cluster>>::default();
        let shared = cluster.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self {
            base,
            cluster,
            task,
        }
    }

    /// What becomes of the next steps, in this order; those after them are taken.
    pub fn next(&self, fates: &[Fate]) {
        self.lock().fates.extend(fates);
    }

    /// What becomes of all further steps.
    pub fn all_further(&self, usual: fn() -> Fate) {
        self.lock().usual = Some(usual);
    }

    /// Whether no call is answered any more.
    pub fn hang(&self, hangs: bool) {
        self.lock().hangs = hangs;
    }

    /// The error by which each call to list steps is refused; `None` when it is answered.
    pub fn refuse_lists(&self, code: Option<&'static str>) {
        self.lock().list_error = code;
    }

    /// The steps that were taken, oldest first.
    pub fn steps(&self) -> Vec<Step> {
        self.lock().steps.clone()
    }

    /// Puts a step into a state.
    pub fn put(&self, id: &str, state: &str, failure: Value) {
        let mut cluster = self.lock();
        let step = cluster.steps.iter_mut().find(|step| step.id == id);
        let step = step.expect("there is such a step");
        state.clone_into(&mut step.state);
        step.failure = failure;
    }

    /// Forgets a step.
    pub fn forget(&self, id: &str) {
        self.lock().steps.retain(|step| step.id != id);
    }

    /// Adds a step that somebody else has sent.
    pub fn add_foreign(&self, config: Value) -> String {
        self.lock().add(config)
    }

    /// The calls of that action since the beginning.
    pub fn calls(&self, action: &str) -> Vec<Value> {
        let target = format!("ElasticMapReduce.{action}");
        let calls = &self.lock().calls;
        let calls = calls.iter().filter(|call| call["x-amz-target"] == *target);
        calls.map(|call| call["body"].clone()).collect()
    }

    /// Key, region and service of each call's signature since the beginning.
    pub fn signed(&self) -> Vec<Value> {
        let calls = &self.lock().calls;
        calls.iter().map(|call| call["signed"].clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().expect("no holder panics")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is written back.
enum Reply {
    Json(u16, Value),
    Slowly(Value),
    /// Of a proxy, in HTML.
    Page(u16),
    Nothing,
    Never,
}

async fn serve(stream: TcpStream, cluster: Arc<Mutex<Cluster>>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(Some(request))) = read_request(&mut stream).await {
        let mut reply = cluster.lock().expect("no holder panics").answer(&request);
        if let Reply::Slowly(body) = reply {
            tokio::time::sleep(SLOWLY).await;
            reply = Reply::Json(200, body);
        }
        match reply {
            Reply::Json(status, body) => {
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Page(status) => {
                let page = "<html><body>No answer in time.</body></html>";
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                    page.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Nothing => return,
            Reply::Slowly(_) | Reply::Never => std::future::pending().await,
        }
    }
}

impl Cluster {
    fn answer(&mut self, request: &Value) -> Reply {
        self.calls.push(request.clone());
        if self.hangs {
            return Reply::Never;
        }
        let body = &request["body"];
        let target = request["x-amz-target"].as_str().unwrap_or_default();
        let action = target.rsplit('.').next().unwrap_or_default();
        let cluster = body["JobFlowId"].as_str().or(body["ClusterId"].as_str());
        if cluster != Some(CLUSTER) {
            return invalid("Cluster id is not valid.");
        }
        match action {
            "AddJobFlowSteps" => self.add_steps(&body["Steps"]),
            "ListSteps" => match self.list_error {
                Some(code) => Reply::Json(400, json!({"__type": code, "message": "No."})),
                None => self.list(body),
            },
            "DescribeStep" => match self.find(&body["StepId"]) {
                Some(step) => Reply::Json(200, json!({"Step": shown(step)})),
                None => invalid("Step id is not valid."),
            },
            "CancelSteps" => self.cancel(&body["StepIds"]),
            _ => invalid("no such action"),
        }
    }

    fn add_steps(&mut self, steps: &Value) -> Reply {
        let usual = self.usual.map_or(Fate::Taken, |usual| usual());
        let fate = self.fates.pop_front().unwrap_or(usual);
        let mut ids = Vec::new();
        if matches!(
            fate,
            Fate::Taken
                | Fate::TakenSlowly
                | Fate::TakenInSilence
                | Fate::TakenButFailed
                | Fate::TakenBehindProxy(_)
        ) {
            for config in steps.as_array().into_iter().flatten() {
                ids.push(self.add(config.clone()));
            }
        }
        match fate {
            Fate::Taken => Reply::Json(200, json!({ "StepIds": ids })),
            Fate::TakenSlowly => Reply::Slowly(json!({ "StepIds": ids })),
            Fate::TakenInSilence | Fate::Broken => Reply::Nothing,
            Fate::TakenButFailed => Reply::Json(
                500,
                json!({"__type": "InternalServerException", "Message": "An internal error"}),
            ),
            Fate::TakenBehindProxy(status) => Reply::Page(status),
            Fate::Throttled => Reply::Json(
                400,
                json!({"__type": "ThrottlingException", "message": "Rate exceeded"}),
            ),
            Fate::Refused => invalid("A job flow that is terminating may not be modified."),
            Fate::Full => invalid(
                "Maximum number of active steps(State = 'Running', 'Pending' or \
                 'Cancel_Pending') for cluster exceeded.",
            ),
            Fate::Hangs => Reply::Never,
        }
    }

    fn add(&mut self, config: Value) -> String {
        let now = std::time::SystemTime::now();
        let since = now
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let id = format!("s-{:013}", self.steps.len() + 1);
        self.steps.push(Step {
            id: id.clone(),
            config,
            created: since.as_secs_f64(),
            state: "PENDING".into(),
            failure: Value::Null,
        });
        id
    }

    fn list(&self, body: &Value) -> Reply {
        const PAGE: usize = 50;
        if let Some(ids) = body["StepIds"].as_array() {
            let found: Vec<_> = ids.iter().filter_map(|id| self.find(id)).collect();
            if ids.len() > 10 || found.len() < ids.len() {
                return invalid("Step id is not valid.");
            }
            let steps: Vec<_> = found.into_iter().map(shown).collect();
            return Reply::Json(200, json!({ "Steps": steps }));
        }
        let from: usize = body["Marker"]
            .as_str()
            .map_or(0, |marker| marker.parse().expect("a marker of this list"));
        let newest_first = self.steps.iter().rev().skip(from);
        let steps: Vec<_> = newest_first.take(PAGE).map(shown).collect();
        let mut page = json!({ "Steps": steps });
        if from + PAGE < self.steps.len() {
            page["Marker"] = json!((from + PAGE).to_string());
        }
        Reply::Json(200, page)
    }

    fn cancel(&mut self, ids: &Value) -> Reply {
        let mut answers = Vec::new();
        for id in ids.as_array().into_iter().flatten() {
            let step = self.steps.iter_mut().find(|step| step.id == *id);
            let Some(step) = step else {
                return invalid("Step id is not valid.");
            };
            let (status, reason) = match step.state.as_str() {
                "PENDING" | "RUNNING" => {
                    step.state = "CANCEL_PENDING".into();
                    ("SUBMITTED", "")
                }
                _ => ("FAILED", "The step is over."),
            };
            answers.push(json!({"StepId": id, "Status": status, "Reason": reason}));
        }
        Reply::Json(200, json!({ "CancelStepsInfoList": answers }))
    }

    fn find(&self, id: &Value) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }
}

fn shown(step: &Step) -> Value {
    let mut status = json!({
        "State": step.state,
        "StateChangeReason": {},
        "Timeline": {"CreationDateTime": step.created},
    });
    if !step.failure.is_null() {
        status["FailureDetails"] = step.failure.clone();
    }
    let jar = &step.config["HadoopJarStep"];
    json!({
        "Id": step.id,
        "Name": step.config["Name"],
        "ActionOnFailure": step.config["ActionOnFailure"],
        "Config": {"Jar": jar["Jar"], "Args": jar["Args"], "Properties": {}},
        "Status": status,
    })
}

fn invalid(message: &str) -> Reply {
    let body = json!({"__type": "InvalidRequestException", "ErrorCode": "InvalidRequest",
        "Message": message});
    Reply::Json(400, body)
}
