//! Calls of the EMR API: one attempt each, in bounded time, with the failures sorted by what the
//! caller can do. Never retries: whether a step may be sent again is known only to who keeps the
//! books.

use std::{sync::Arc, time::Duration};

use hyper::{Response, body::Bytes};
use jiff::Timestamp;
use metrics::Counter;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::aws::{CallError, Connection};
use crate::{
    config::{self, aws::AwsVariables},
    metrics::Metrics,
};

/// Everything of one call.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// The jar that runs a command on the cluster.
const JAR: &str = "command-runner.jar";
/// What the codes of refusals for the sake of the rate have in common.
const THROTTLED: [&str; 3] = ["Throttl", "TooManyRequests", "RequestLimitExceeded"];
/// The codes by which EMR says that a cluster, a step or a value is not valid
/// (<https://docs.aws.amazon.com/emr/latest/APIReference/CommonErrors.html>).
const INVALID: [&str; 4] = [
    "InvalidRequest",
    "InvalidRequestException",
    "ValidationError",
    "ValidationException",
];
/// The codes by which AWS refuses who asks, before it has done anything
/// (<https://docs.aws.amazon.com/emr/latest/APIReference/CommonErrors.html>); also with `Exception` at the end.
const DENIED: [&str; 13] = [
    "AccessDenied",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignature",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnknownOperation",
    "UnrecognizedClient",
];
/// EMR has no code of its own for a cluster with 256 active steps, only these words
/// (<https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-work-with-steps.html>).
const FULL: &str = "maximum number of active steps";

/// A way to the clusters of one account and region. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    aws: Arc<Connection>,
    calls: Calls,
    /// Where new runs go.
    pub(super) cluster_id: String,
}

/// Why a call did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// EMR refuses the request: the cluster, the step or a value is not valid.
    Invalid(String),
    /// EMR refuses the sender: its credentials have expired, or lack a right.
    Denied(String),
    /// EMR takes no more requests for now.
    Throttled(String),
    /// The cluster takes no more steps for now.
    Full(String),
    /// Nothing was sent: there was no connection, or there were no credentials.
    NotSent(String),
    /// EMR may have done it: no answer came, or none that says so.
    Doubtful(String),
}

/// A step as the cluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) created: Option<Timestamp>,
    pub(super) state: String,
    pub(super) reason: Option<String>,
}

/// Some steps, newest first, and where the next ones are.
pub(super) struct Page {
    pub(super) steps: Vec<Step>,
    pub(super) marker: Option<String>,
}

impl Client {
    /// Makes a call, and counts how it went.
    async fn call<T: DeserializeOwned>(
        &self,
        operation: Operation,
        body: Value,
    ) -> Result<T, Failure> {
        let answer = self.aws.call(operation.name(), &body, CALL_TIMEOUT).await;
        let answer = match answer {
            Ok(answer) => read(&answer),
            Err(CallError::NotSent(why)) => Err(Failure::NotSent(format!("EMR: {why}"))),
            Err(CallError::NoAnswer(why)) => Err(Failure::Doubtful(format!("EMR: {why}"))),
        };
        if matches!(answer, Err(Failure::Denied(_))) {
            self.aws.forget_credentials().await;
        }
        self.calls.count(operation, &answer);
        answer
    }

    /// Finds region and credentials where every AWS tool looks for them; says what is missing.
    pub(super) async fn connect(settings: &config::Emr, calls: &Calls) -> Result<Self, String> {
        let connection = Connection::find(AwsVariables::from_environment()).await;
        let connection = connection.map_err(|why| format!("EMR is not configured: {why}"))?;
        Ok(Self {
            aws: Arc::new(connection),
            calls: calls.clone(),
            cluster_id: settings.emr_cluster_id.clone().unwrap_or_default(),
        })
    }

    /// Adds a step that runs `command` in a shell; gives its id.
    pub(super) async fn add(&self, name: &str, command: &str) -> Result<String, Failure> {
        let step = json!({
            "Name": name,
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": { "Jar": JAR, "Args": shell(command) },
        });
        let body = json!({ "JobFlowId": self.cluster_id, "Steps": [step] });
        let added: Added = self.call(Operation::Add, body).await?;
        let id = added.step_ids.into_iter().flatten().next();
        id.ok_or_else(|| Failure::Doubtful("EMR has answered without a step".into()))
    }

    /// Steps of a cluster: those of these ids (ten at most), or else all there are, a page at a
    /// time.
    pub(super) async fn list(
        &self,
        cluster_id: &str,
        ids: Vec<String>,
        marker: Option<String>,
    ) -> Result<Page, Failure> {
        let mut body = json!({ "ClusterId": cluster_id });
        if !ids.is_empty() {
            body["StepIds"] = json!(ids);
        }
        if let Some(marker) = marker {
            body["Marker"] = json!(marker);
        }
        let listed: Listed = self.call(Operation::List, body).await?;
        // An empty list is a list; an answer without one is not the answer to this question.
        let steps = listed
            .steps
            .ok_or_else(|| Failure::Doubtful("EMR has answered without a list of steps".into()))?;
        Ok(Page {
            steps: steps.into_iter().filter_map(StepAnswer::step).collect(),
            marker: listed.marker,
        })
    }

    /// One step.
    pub(super) async fn describe(&self, cluster_id: &str, id: &str) -> Result<Step, Failure> {
        let body = json!({ "ClusterId": cluster_id, "StepId": id });
        let described: Described = self.call(Operation::Describe, body).await?;
        let mut step = described
            .step
            .ok_or_else(|| Failure::Doubtful("EMR has answered without a step".into()))?;
        step.id = Some(id.to_owned());
        step.step()
            .ok_or_else(|| Failure::Doubtful("EMR has not told the state".into()))
    }

    /// Asks the cluster to cancel a step; says why it will not, as when the step is over.
    pub(super) async fn cancel(
        &self,
        cluster_id: &str,
        id: &str,
    ) -> Result<Result<(), String>, Failure> {
        let body = json!({ "ClusterId": cluster_id, "StepIds": [id] });
        let cancelled: Cancelled = self.call(Operation::Cancel, body).await?;
        let info = cancelled
            .cancel_steps_info_list
            .into_iter()
            .flatten()
            .next();
        match info {
            Some(info) if info.status.as_deref() == Some("FAILED") => {
                let why = info.reason.as_deref().unwrap_or("EMR does not say why");
                Ok(Err(format!("EMR cannot cancel it: {why}")))
            }
            Some(_) => Ok(Ok(())),
            None => Err(Failure::Doubtful(
                "EMR has not said whether it cancels the step".into(),
            )),
        }
    }
}

/// Answers of EMR, as far as they are read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Added {
    step_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    steps: Option<Vec<StepAnswer>>,
    marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    step: Option<StepAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Cancelled {
    cancel_steps_info_list: Option<Vec<CancelInfo>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CancelInfo {
    status: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StepAnswer {
    id: Option<String>,
    name: Option<String>,
    config: Option<StepConfig>,
    status: Option<StepStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StepConfig {
    args: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StepStatus {
    state: Option<String>,
    state_change_reason: Option<StateChangeReason>,
    failure_details: Option<FailureDetails>,
    timeline: Option<Timeline>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StateChangeReason {
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FailureDetails {
    reason: Option<String>,
    message: Option<String>,
    log_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Timeline {
    /// Seconds since 1970.
    creation_date_time: Option<f64>,
}

/// What is asked of EMR.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Add,
    List,
    Describe,
    Cancel,
}

impl Operation {
    const ALL: [Self; 4] = [Self::Add, Self::List, Self::Describe, Self::Cancel];

    /// The API's name.
    fn name(self) -> &'static str {
        match self {
            Self::Add => "AddJobFlowSteps",
            Self::List => "ListSteps",
            Self::Describe => "DescribeStep",
            Self::Cancel => "CancelSteps",
        }
    }
}

/// Counters of the calls, by operation and outcome.
#[derive(Clone, Debug)]
pub(super) struct Calls(Arc<[[Counter; OUTCOMES.len()]; Operation::ALL.len()]>);

/// How a call can go.
const OUTCOMES: [&str; 5] = ["ok", "refused", "throttled", "not_sent", "doubtful"];

impl Calls {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counters = |operation: Operation| {
            OUTCOMES.map(|outcome| metrics.emr_calls(operation.name(), outcome))
        };
        Self(Arc::new(Operation::ALL.map(counters)))
    }

    fn count<T>(&self, operation: Operation, answer: &Result<T, Failure>) {
        let outcome = match answer {
            Ok(_) => 0,
            Err(Failure::Invalid(_) | Failure::Denied(_)) => 1,
            Err(Failure::Throttled(_) | Failure::Full(_)) => 2,
            Err(Failure::NotSent(_)) => 3,
            Err(Failure::Doubtful(_)) => 4,
        };
        self.0[operation as usize][outcome].increment(1);
    }
}

impl Failure {
    /// What was said, for people.
    pub(super) fn why(self) -> String {
        match self {
            Self::Invalid(why)
            | Self::Denied(why)
            | Self::Throttled(why)
            | Self::Full(why)
            | Self::NotSent(why)
            | Self::Doubtful(why) => why,
        }
    }
}

/// The arguments that run a command in a shell.
pub(super) fn shell(command: &str) -> [String; 3] {
    ["bash".into(), "-c".into(), command.into()]
}

impl StepAnswer {
    /// The step; none when its id or state was left out.
    fn step(self) -> Option<Step> {
        let status = self.status?;
        let created = status.timeline.as_ref();
        let created = created.and_then(|timeline| timeline.creation_date_time);
        Some(Step {
            id: self.id?,
            name: self.name.unwrap_or_default(),
            args: self
                .config
                .and_then(|config| config.args)
                .unwrap_or_default(),
            created: created.and_then(timestamp),
            reason: status.reason(),
            state: status.state?,
        })
    }
}

impl StepStatus {
    /// Why a step is in its state: what the failure's details say, else the change's own words.
    fn reason(&self) -> Option<String> {
        let is_said = |part: &&String| !part.is_empty();
        let details = self.failure_details.as_ref();
        let parts: Vec<_> = details
            .into_iter()
            .flat_map(|details| [&details.reason, &details.message, &details.log_file])
            .flatten()
            .filter(is_said)
            .map(String::as_str)
            .collect();
        if !parts.is_empty() {
            return Some(parts.join(" "));
        }
        let change = self.state_change_reason.as_ref()?;
        let message = change.message.as_ref().filter(is_said);
        message.or(change.code.as_ref()).cloned()
    }
}

/// The whole second of a time as EMR writes it.
fn timestamp(seconds: f64) -> Option<Timestamp> {
    let nanoseconds = Duration::try_from_secs_f64(seconds).ok()?;
    Timestamp::new(i64::try_from(nanoseconds.as_secs()).ok()?, 0).ok()
}

/// What an answer says.
fn read<T: DeserializeOwned>(answer: &Response<Bytes>) -> Result<T, Failure> {
    let status = answer.status();
    if status.is_success() {
        return serde_json::from_slice(answer.body()).map_err(|error| {
            Failure::Doubtful(format!("EMR: its answer cannot be read: {error}"))
        });
    }
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |names: &[&str]| {
        let value = names.iter().find_map(|name| body[name].as_str());
        value.unwrap_or_default().to_owned()
    };
    let header = answer.headers().get("x-amzn-errortype");
    let header = header.and_then(|value| value.to_str().ok());
    let code = header.map_or_else(|| text(&["__type", "code"]), ToOwned::to_owned);
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    let message = text(&["message", "Message", "errorMessage"]);
    Err(refusal_of(status.as_u16(), code, &message))
}

/// What an answer means that is an error. One without a code that says so is no refusal: a proxy between may
/// have sent it after EMR had taken the request.
fn refusal_of(status: u16, code: &str, message: &str) -> Failure {
    let why = if code.is_empty() {
        format!("the answer with status {status} is not EMR's own")
    } else {
        format!("EMR: {code}: {message}")
    };
    if THROTTLED.iter().any(|word| code.contains(word)) {
        Failure::Throttled(why)
    } else if !(400..500).contains(&status) {
        Failure::Doubtful(why)
    } else if DENIED.contains(&code.strip_suffix("Exception").unwrap_or(code)) {
        Failure::Denied(why)
    } else if !INVALID.contains(&code) {
        Failure::Doubtful(why)
    } else if message.to_ascii_lowercase().contains(FULL) {
        Failure::Full(why)
    } else {
        Failure::Invalid(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_what_can_be_done() {
        let full = "Maximum number of active steps(State = 'Running', 'Pending' or \
            'Cancel_Pending') for cluster exceeded.";
        for (status, code, message, expected) in [
            (
                400,
                "InvalidRequestException",
                "Cluster id 'j-1' is not valid.",
                "invalid",
            ),
            (
                400,
                "ValidationException",
                "Step id is not valid.",
                "invalid",
            ),
            (400, "ValidationException", full, "full"),
            (400, "InvalidRequestException", full, "full"),
            (
                400,
                "ExpiredTokenException",
                "The token is expired",
                "denied",
            ),
            (
                400,
                "AccessDeniedException",
                "not authorized: InvalidRequest",
                "denied",
            ),
            (403, "UnrecognizedClientException", "", "denied"),
            (400, "ThrottlingException", "Rate exceeded", "throttled"),
            (403, "InvalidSignatureException", "", "denied"),
            (429, "TooManyRequestsException", "", "throttled"),
            // What a proxy answers when it has had enough of waiting, or anything else that EMR does not say.
            (400, "", "", "doubtful"),
            (403, "", "", "doubtful"),
            (404, "", "", "doubtful"),
            (408, "", "", "doubtful"),
            (429, "", "", "doubtful"),
            (499, "", "", "doubtful"),
            (408, "RequestTimeoutException", "", "doubtful"),
            (400, "RequestAbortedException", "", "doubtful"),
            (404, "NewException", "", "doubtful"),
            (500, "InternalServerException", "", "doubtful"),
            (503, "ServiceUnavailable", full, "doubtful"),
        ] {
            let kind = match refusal_of(status, code, message) {
                Failure::Invalid(_) => "invalid",
                Failure::Denied(_) => "denied",
                Failure::Throttled(_) => "throttled",
                Failure::Full(_) => "full",
                Failure::NotSent(_) => "not sent",
                Failure::Doubtful(_) => "doubtful",
            };
            assert_eq!(kind, expected, "{status} {code}: {message}");
        }
    }

    #[test]
    fn the_code_of_a_refusal_is_read_wherever_it_is() {
        let answer = |status: u16, header: Option<&str>, body: &str| {
            let mut answer = Response::builder().status(status);
            if let Some(header) = header {
                answer = answer.header("x-amzn-errortype", header);
            }
            let answer = answer.body(Bytes::from(body.to_owned())).unwrap();
            read::<Value>(&answer).unwrap_err()
        };
        let said = "EMR: ValidationException: no";
        for (header, body) in [
            (None, r#"{"__type":"ValidationException","message":"no"}"#),
            (
                None,
                r#"{"__type":"com.amazonaws#ValidationException","Message":"no"}"#,
            ),
            (
                Some("ValidationException:http://x/"),
                r#"{"message":"no","Message":"no"}"#,
            ),
            (
                None,
                r#"{"code":"ValidationException","errorMessage":"no"}"#,
            ),
        ] {
            assert_eq!(
                answer(400, header, body),
                Failure::Invalid(said.into()),
                "{body}"
            );
        }
        // A proxy's, which may have sent it after EMR had taken the request.
        let page = answer(403, None, "<html>");
        let said = "the answer with status 403 is not EMR's own";
        assert_eq!(page, Failure::Doubtful(said.into()));
        assert!(matches!(answer(502, None, ""), Failure::Doubtful(_)));
        assert!(matches!(answer(302, None, ""), Failure::Doubtful(_)));
        assert!(matches!(answer(200, None, "<html>"), Failure::Doubtful(_)));
    }
}
