//! Roles: the Security Token Service gives credentials for them. It answers in XML.

use std::time::Duration;

use hyper::{Request, Uri, header::CONTENT_TYPE};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use serde::Deserialize;

use super::{
    credentials::{Found, Written},
    endpoint::STS,
    send::ask,
};
use crate::{error::causes, https};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The service in one region.
pub(super) struct Sts<'a> {
    pub(super) http: &'a https::Client,
    pub(super) region: &'a str,
    pub(super) endpoint: Uri,
}

/// What is asked for.
pub(super) struct Role<'a> {
    pub(super) arn: &'a str,
    /// The name of the session in the account's logs.
    pub(super) session: &'a str,
    pub(super) external_id: Option<&'a str>,
    /// How long the credentials are to last.
    pub(super) seconds: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: Assumed,
}

#[derive(Deserialize)]
struct Assumed {
    #[serde(rename = "Credentials")]
    credentials: Written,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "Error")]
    error: RefusalError,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RefusalError {
    code: String,
    #[serde(default)]
    message: String,
}

impl Sts<'_> {
    /// A role for whoever has these credentials.
    pub(super) async fn assume(
        &self,
        role: &Role<'_>,
        credential: &AwsCredential,
    ) -> Result<Found, String> {
        self.call("AssumeRole", role, None, Some(credential)).await
    }

    /// A role for whoever has the token in this file, which is read anew each time.
    pub(super) async fn assume_with_token_file(
        &self,
        role: &Role<'_>,
        file: &str,
    ) -> Result<Found, String> {
        let token = tokio::fs::read_to_string(file).await;
        let token = token.map_err(|error| format!("{file} cannot be read: {error}"))?;
        let token = Some(token.trim());
        self.call("AssumeRoleWithWebIdentity", role, token, None)
            .await
    }

    async fn call(
        &self,
        action: &str,
        role: &Role<'_>,
        token: Option<&str>,
        credential: Option<&AwsCredential>,
    ) -> Result<Found, String> {
        let fields = [
            ("Action", Some(action)),
            ("Version", Some("2011-06-15")),
            ("RoleArn", Some(role.arn)),
            ("RoleSessionName", Some(role.session)),
            ("ExternalId", role.external_id),
            ("DurationSeconds", role.seconds),
            ("WebIdentityToken", token),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let form: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let failed = |why: &str| format!("the role {} is not to be had: {why}", role.arn);
        let mut request = Request::post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.into())
            .map_err(|error| failed(&causes(&error)))?;
        if let Some(credential) = credential {
            AwsAuthorizer::new(credential, STS.signed_as, self.region)
                .try_authorize(&mut request, None)
                .map_err(|error| failed(&causes(&error)))?;
        }
        let answer = ask(self.http, request, PATIENCE).await;
        let answer = answer.map_err(|why| failed(&why))?;
        let text = String::from_utf8_lossy(answer.body());
        if !answer.status().is_success() {
            let why = match quick_xml::de::from_str::<Refusal>(&text) {
                Ok(Refusal { error }) => format!("{}: {}", error.code, error.message),
                Err(_) => format!("{} has answered {}", self.endpoint, answer.status()),
            };
            return Err(failed(&why));
        }
        // The error would show the answer.
        let answer: Answer = quick_xml::de::from_str(&text)
            .map_err(|_| failed(&format!("{} has given no credentials", self.endpoint)))?;
        Found::new(answer.result.credentials).map_err(|why| failed(&why))
    }
}
