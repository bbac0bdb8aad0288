//! The role of a container on ECS, and of a pod on EKS (Pod Identity)
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>).

use std::{net::IpAddr, time::Duration};

use hyper::{Request, Uri, header::AUTHORIZATION};
use object_store::client::HttpRequestBody;

use super::{
    credentials::Found,
    send::{ask, origin},
};
use crate::{config::aws::AwsVariables, https};

const PATIENCE: Duration = Duration::from_secs(2);
const ECS: &str = "http://169.254.170.2";
/// Hosts that may be asked without TLS, besides this machine: those of ECS and of EKS.
const HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The credentials that the variables lead to, if they name a source.
pub(super) async fn credentials(
    http: &https::Client,
    variables: &AwsVariables,
) -> Result<Option<Found>, String> {
    let (relative, full) = (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    );
    let (variable, url) = match (variables.get(relative), variables.get(full)) {
        (Some(path), _) => (relative, format!("{ECS}{path}")),
        (None, Some(url)) => (full, url.to_owned()),
        (None, None) => return Ok(None),
    };
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("{variable}: {error}"))?;
    let source = origin(&uri);
    if !is_allowed(&uri) {
        return Err(format!(
            "{variable} must begin with https://, or name this machine, {}",
            HOSTS.join(" or ")
        ));
    }
    let token = match variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => {
            let token = tokio::fs::read_to_string(file).await;
            Some(token.map_err(|error| format!("{file} cannot be read: {error}"))?)
        }
        None => variables
            .get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
            .map(ToOwned::to_owned),
    };
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token.trim());
    }
    let request = request
        .body(HttpRequestBody::empty())
        .map_err(|error| format!("{source}: {error}"))?;
    let answer = ask(http, request, PATIENCE).await?;
    if !answer.status().is_success() {
        return Err(format!("{source} has answered {}", answer.status()));
    }
    Found::from_json(answer.body(), &source).map(Some)
}

/// A token must not be sent to anybody who asks for it by a variable.
fn is_allowed(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    let is_here = host
        .parse()
        .is_ok_and(|address: IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_here || host == "localhost" || HOSTS.contains(&host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_hosts_are_asked_without_tls() {
        for (url, allowed) in [
            ("http://169.254.170.2/v2", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("https://example.com/", true),
            ("http://example.com/", false),
            ("http://169.254.169.254/", false),
            ("ftp://127.0.0.1/", false),
            ("/relative", false),
        ] {
            assert_eq!(is_allowed(&url.parse().unwrap()), allowed, "{url}");
        }
    }
}
