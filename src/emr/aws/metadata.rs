//! The region and the role of an EC2 instance, by version 2 of its metadata service
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>).

use std::time::Duration;

use hyper::{Method, Request};
use object_store::client::HttpRequestBody;

use super::{credentials::Found, profiles::Profiles, send::ask};
use crate::{config::aws::AwsVariables, https};

/// The service is on the machine itself, or not there at all.
const PATIENCE: Duration = Duration::from_secs(1);
const ROLES: &str = "meta-data/iam/security-credentials/";

/// The region of the instance, if this is one.
pub(super) async fn region(
    http: &https::Client,
    variables: &AwsVariables,
    profiles: &Profiles,
) -> Option<String> {
    let service = Metadata::open(http, variables, profiles).await.ok()?;
    service.get("meta-data/placement/region").await.ok()
}

/// The credentials of the instance's role.
pub(super) async fn credentials(
    http: &https::Client,
    variables: &AwsVariables,
    profiles: &Profiles,
) -> Result<Found, String> {
    let service = Metadata::open(http, variables, profiles).await?;
    let role = service.get(ROLES).await?;
    let role = role.lines().next().unwrap_or_default();
    let answer = service.get(&format!("{ROLES}{role}")).await?;
    Found::from_json(answer.as_bytes(), &format!("the instance's role {role}"))
}

struct Metadata<'a> {
    http: &'a https::Client,
    base: String,
    token: String,
}

impl<'a> Metadata<'a> {
    /// Begins a session.
    async fn open(
        http: &'a https::Client,
        variables: &AwsVariables,
        profiles: &Profiles,
    ) -> Result<Self, String> {
        if variables.is_true("AWS_EC2_METADATA_DISABLED") {
            return Err("AWS_EC2_METADATA_DISABLED is set".into());
        }
        let setting = |variable: &str, key: &str| {
            let of_profile = || profiles.property(variables, key);
            variables
                .get(variable)
                .or_else(of_profile)
                .map(str::to_owned)
        };
        let endpoint = setting(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "ec2_metadata_service_endpoint",
        );
        let mode = setting(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
            "ec2_metadata_service_endpoint_mode",
        );
        let is_ipv6 = mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if is_ipv6 {
            "http://[fd00:ec2::254]"
        } else {
            "http://169.254.169.254"
        };
        let base = endpoint.as_deref().unwrap_or(usual).trim_end_matches('/');
        let mut service = Self {
            http,
            base: base.to_owned(),
            token: String::new(),
        };
        let lasts = ("x-aws-ec2-metadata-token-ttl-seconds", "600");
        service.token = service.send(Method::PUT, "api/token", lasts).await?;
        Ok(service)
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let token = ("x-aws-ec2-metadata-token", self.token.as_str());
        self.send(Method::GET, path, token).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        (name, value): (&str, &str),
    ) -> Result<String, String> {
        let url = format!("{}/latest/{path}", self.base);
        let request = Request::builder().method(method).uri(&url);
        let request = request.header(name, value).body(HttpRequestBody::empty());
        let request = request.map_err(|error| format!("{url}: {error}"))?;
        let answer = ask(self.http, request, PATIENCE).await?;
        if !answer.status().is_success() {
            return Err(format!("{url} has answered {}", answer.status()));
        }
        let text = String::from_utf8_lossy(answer.body());
        Ok(text.trim().to_owned())
    }
}
