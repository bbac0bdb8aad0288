//! Calls of the EMR API: one attempt each, in bounded time, with the failures sorted by what the
//! caller can do. Never retries: whether a step may be sent again is known only to who keeps the
//! books.

use std::{error::Error as StdError, iter::successors, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_emr::{
    Client as Sdk,
    config::ProvideCredentials,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        ActionOnFailure, CancelStepsRequestStatus, HadoopJarStepConfig, StepConfig, StepStatus,
        StepSummary,
    },
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use jiff::Timestamp;
use metrics::Counter;

use crate::{config, metrics::Metrics};

/// To a host that does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
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
    sdk: Sdk,
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
    /// Waits for what a call answers, and counts it.
    async fn answer<T, E>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Failure>
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let answer = call.await.map_err(|error| failure(&error));
        self.calls.count(operation, &answer);
        answer
    }

    /// Finds region and credentials along the SDK's usual chain; says what is missing.
    pub(super) async fn connect(settings: &config::Emr, calls: &Calls) -> Result<Self, String> {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let found = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // The timeout is enough, and shorter.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .load()
            .await;
        let mut missing = Vec::new();
        if found.region().is_none() {
            missing.push("a region (AWS_REGION) was not found".to_owned());
        }
        let credentials = match found.credentials_provider() {
            Some(provider) => provider.provide_credentials().await.is_ok(),
            None => false,
        };
        if !credentials {
            missing.push(
                "credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or an \
                 instance role) were not found"
                    .to_owned(),
            );
        }
        if missing.is_empty() {
            Ok(Self {
                sdk: Sdk::new(&found),
                calls: calls.clone(),
                cluster_id: settings.emr_cluster_id.clone().unwrap_or_default(),
            })
        } else {
            Err(format!("EMR is not configured: {}", missing.join("; ")))
        }
    }

    /// Adds a step that runs `command` in a shell; gives its id.
    pub(super) async fn add(&self, name: &str, command: &str) -> Result<String, Failure> {
        let jar = HadoopJarStepConfig::builder()
            .jar(JAR)
            .set_args(Some(shell(command).into()))
            .build();
        let step = StepConfig::builder()
            .name(name)
            .action_on_failure(ActionOnFailure::Continue)
            .hadoop_jar_step(jar)
            .build();
        let added = self
            .sdk
            .add_job_flow_steps()
            .job_flow_id(&self.cluster_id)
            .steps(step)
            .send();
        let added = self.answer(Operation::Add, added).await?;
        let id = added.step_ids().first().cloned();
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
        let listed = self
            .sdk
            .list_steps()
            .cluster_id(cluster_id)
            .set_step_ids((!ids.is_empty()).then_some(ids))
            .set_marker(marker)
            .send();
        let listed = self.answer(Operation::List, listed).await?;
        // An empty list is a list; an answer without one is not the answer to this question.
        let steps = listed
            .steps
            .ok_or_else(|| Failure::Doubtful("EMR has answered without a list of steps".into()))?;
        Ok(Page {
            steps: steps.into_iter().filter_map(summary).collect(),
            marker: listed.marker,
        })
    }

    /// One step.
    pub(super) async fn describe(&self, cluster_id: &str, id: &str) -> Result<Step, Failure> {
        let described = self
            .sdk
            .describe_step()
            .cluster_id(cluster_id)
            .step_id(id)
            .send();
        let described = self.answer(Operation::Describe, described).await?;
        let step = described
            .step
            .ok_or_else(|| Failure::Doubtful("EMR has answered without a step".into()))?;
        let summary_of = StepSummary::builder()
            .id(id)
            .set_name(step.name)
            .set_config(step.config)
            .set_status(step.status)
            .build();
        summary(summary_of).ok_or_else(|| Failure::Doubtful("EMR has not told the state".into()))
    }

    /// Asks the cluster to cancel a step; says why it will not, as when the step is over.
    pub(super) async fn cancel(
        &self,
        cluster_id: &str,
        id: &str,
    ) -> Result<Result<(), String>, Failure> {
        let cancelled = self
            .sdk
            .cancel_steps()
            .cluster_id(cluster_id)
            .step_ids(id)
            .send();
        let cancelled = self.answer(Operation::Cancel, cancelled).await?;
        match cancelled.cancel_steps_info_list().first() {
            Some(info) if info.status() == Some(&CancelStepsRequestStatus::Failed) => {
                let why = info.reason().unwrap_or("EMR does not say why");
                Ok(Err(format!("EMR cannot cancel it: {why}")))
            }
            Some(_) => Ok(Ok(())),
            None => Err(Failure::Doubtful(
                "EMR has not said whether it cancels the step".into(),
            )),
        }
    }
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

fn summary(step: StepSummary) -> Option<Step> {
    let status = step.status.as_ref()?;
    let created = status.timeline().and_then(|timeline| {
        let created = timeline.creation_date_time()?;
        Timestamp::new(created.secs(), 0).ok()
    });
    Some(Step {
        created,
        state: status.state()?.as_str().to_owned(),
        reason: reason(status),
        args: step
            .config
            .as_ref()
            .map(|config| config.args().to_vec())
            .unwrap_or_default(),
        name: step.name.unwrap_or_default(),
        id: step.id?,
    })
}

/// Why a step is in its state: what the failure's details say, else the change's own words.
fn reason(status: &StepStatus) -> Option<String> {
    let details = status.failure_details();
    let parts: Vec<&str> = details
        .into_iter()
        .flat_map(|details| [details.reason(), details.message(), details.log_file()])
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    if !parts.is_empty() {
        return Some(parts.join(" "));
    }
    let change = status.state_change_reason()?;
    let message = change.message().filter(|message| !message.is_empty());
    message
        .map(ToOwned::to_owned)
        .or_else(|| change.code().map(|code| code.as_str().to_owned()))
}

fn failure<E>(error: &SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    if let SdkError::ServiceError(refusal) = error {
        let code = refusal.err().code().unwrap_or_default();
        let message = refusal.err().message().unwrap_or_default();
        return refusal_of(status, code, message);
    }
    let why: Vec<_> = causes(error).map(ToString::to_string).collect();
    let why = format!("EMR: {}", why.join(": "));
    match error {
        SdkError::ConstructionFailure(_) => Failure::NotSent(why),
        SdkError::DispatchFailure(_) if causes(error).any(is_connecting) => Failure::NotSent(why),
        _ => Failure::Doubtful(why),
    }
}

/// The error and what caused it, outermost first.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |error| (**error).source())
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

/// Whether the client failed while it was making a connection, before it sent anything.
fn is_connecting(cause: &(dyn StdError + 'static)) -> bool {
    cause
        .downcast_ref::<hyper_util::client::legacy::Error>()
        .is_some_and(hyper_util::client::legacy::Error::is_connect)
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
}
