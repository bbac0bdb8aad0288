//! Signed calls of an AWS service whose protocol is awsJson1.1: where the service is, who calls it, and
//! one attempt of a call. It knows no operation.

mod chain;
mod container;
mod credentials;
mod endpoint;
mod metadata;
mod process;
mod profiles;
mod send;
mod sts;

use std::time::Duration;

use hyper::{Request, Response, Uri, body::Bytes, header::CONTENT_TYPE};
use object_store::aws::AwsAuthorizer;
use serde_json::Value;
use tokio::time::{self, Instant};

use self::{
    chain::Chain,
    credentials::Credentials,
    endpoint::EMR,
    profiles::Profiles,
    send::{SendError, send},
};
use crate::{config::aws::AwsVariables, error::causes, https};

/// EMR in one region, for one account.
#[derive(Debug)]
pub(super) struct Connection {
    http: https::Client,
    region: String,
    endpoint: Uri,
    credentials: Credentials,
}

/// Why there is no answer to a call.
#[derive(Debug)]
pub(super) enum CallError {
    /// The request was not sent.
    NotSent(String),
    /// The request may have arrived.
    NoAnswer(String),
}

impl Connection {
    /// Finds the region, the endpoint and credentials; says what is missing.
    pub(super) async fn find(variables: AwsVariables) -> Result<Self, String> {
        let profiles = Profiles::read(&variables).await?;
        let http = https::client();
        let found = match profiles::region(&variables, &profiles) {
            Some(region) => Some(region.to_owned()),
            None => metadata::region(&http, &variables, &profiles).await,
        };
        let mut missing = Vec::new();
        if found.is_none() {
            missing.push("a region (AWS_REGION) was not found".to_owned());
        }
        // Without one it is still said whether there are credentials.
        let region = found.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = endpoint::of(EMR, &region, &variables, &profiles)?;
        let chain = Chain::new(http.clone(), region.clone(), variables);
        let credentials = Credentials::new(chain);
        missing.extend(credentials.get().await.err());
        if missing.is_empty() {
            Ok(Self {
                http,
                region,
                endpoint,
                credentials,
            })
        } else {
            Err(missing.join("; "))
        }
    }

    /// Makes a call once, in at most `patience`.
    pub(super) async fn call(
        &self,
        operation: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let deadline = Instant::now() + patience;
        let credential = time::timeout_at(deadline, self.credentials.get())
            .await
            .unwrap_or_else(|_| Err("it takes too long to find credentials".into()))
            .map_err(CallError::NotSent)?;
        let mut request = Request::post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("ElasticMapReduce.{operation}"))
            .body(body.to_string().into())
            .map_err(|error| CallError::NotSent(causes(&error)))?;
        AwsAuthorizer::new(&credential, EMR.signed_as, &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| CallError::NotSent(causes(&error)))?;
        match time::timeout_at(deadline, send(&self.http, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(SendError::Connect(why))) => Err(CallError::NotSent(why)),
            Ok(Err(SendError::Broken(why))) => Err(CallError::NoAnswer(why)),
            Err(_) => Err(CallError::NoAnswer("it did not answer in time".into())),
        }
    }

    /// The service refuses the credentials: the next call looks for them again.
    pub(super) async fn forget_credentials(&self) {
        self.credentials.forget().await;
    }
}

#[cfg(test)]
mod tests;
