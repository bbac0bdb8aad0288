//! Where credentials are looked for, in the order of every AWS tool: variables, the profile, a token of
//! the cluster's (web identity), the container, the instance.

use super::{
    container,
    credentials::{Found, Written},
    endpoint::{self, STS},
    metadata, process,
    profiles::{self, Profiles, Properties},
    sts::{Role, Sts},
};
use crate::{config::aws::AwsVariables, https};

const NONE: &str = "credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or an \
                    instance role) were not found";
/// How the session of a role is called that has no name of its own.
const SESSION: &str = "marketplace";

/// Looks for credentials, source by source, until one has them.
pub(super) struct Chain {
    http: https::Client,
    region: String,
    variables: AwsVariables,
}

impl Chain {
    pub(super) fn new(http: https::Client, region: String, variables: AwsVariables) -> Self {
        Self {
            http,
            region,
            variables,
        }
    }

    /// The credentials of the first source that is there.
    pub(super) async fn find(&self) -> Result<Found, String> {
        if let Some(found) = self.of_variables()? {
            return Ok(found);
        }
        let profiles = Profiles::read(&self.variables).await?;
        if let Some(found) = self.of_profile(&profiles).await? {
            return Ok(found);
        }
        let get = |name| self.variables.get(name);
        let token = get("AWS_WEB_IDENTITY_TOKEN_FILE");
        if let (Some(token), Some(arn)) = (token, get("AWS_ROLE_ARN")) {
            let role = Role {
                arn,
                session: get("AWS_ROLE_SESSION_NAME").unwrap_or(SESSION),
                external_id: None,
                seconds: None,
            };
            let sts = self.sts(&profiles)?;
            return sts.assume_with_token_file(&role, token).await;
        }
        if let Some(found) = container::credentials(&self.http, &self.variables).await? {
            return Ok(found);
        }
        metadata::credentials(&self.http, &self.variables, &profiles)
            .await
            .map_err(|why| format!("{NONE}: {why}"))
    }

    fn of_variables(&self) -> Result<Option<Found>, String> {
        let get = |name| self.variables.get(name);
        of_keys(
            get("AWS_ACCESS_KEY_ID"),
            get("AWS_SECRET_ACCESS_KEY"),
            get("AWS_SESSION_TOKEN"),
        )
    }

    /// The credentials of the profile in use: its own, or those of the roles that lead to it.
    async fn of_profile(&self, profiles: &Profiles) -> Result<Option<Found>, String> {
        let mut name = profiles::in_use(&self.variables);
        if profiles.find(name).is_none() && self.variables.get("AWS_PROFILE").is_none() {
            return Ok(None);
        }
        let (mut roles, mut seen) = (Vec::new(), Vec::new());
        let base = loop {
            let unknown = || format!("the profile {name:?} is in none of the files of AWS");
            let profile = profiles.find(name).ok_or_else(unknown)?;
            let role = if seen.contains(&name) {
                // A role that is assumed with the keys of its own profile.
                None
            } else {
                role_of(name, profile)?
            };
            let Some(role) = role else {
                break self.of_plain_profile(name, profile).await?;
            };
            if let Some(token) = property(profile, "web_identity_token_file") {
                let sts = self.sts(profiles)?;
                break Some(sts.assume_with_token_file(&role, token).await?);
            }
            roles.push(role);
            seen.push(name);
            let sources = (
                property(profile, "source_profile"),
                property(profile, "credential_source"),
            );
            let (http, variables) = (&self.http, &self.variables);
            match sources {
                (Some(source), None) => name = source,
                (None, Some("Environment")) => break self.of_variables()?,
                (None, Some("EcsContainer")) => {
                    break container::credentials(http, variables).await?;
                }
                (None, Some("Ec2InstanceMetadata")) => {
                    break Some(metadata::credentials(http, variables, profiles).await?);
                }
                _ => {
                    return Err(format!(
                        "the profile {name:?} has a role_arn; it needs either a source_profile or \
                         a credential_source (Environment, EcsContainer, Ec2InstanceMetadata)"
                    ));
                }
            }
        };
        let Some(mut found) = base else {
            if roles.is_empty() {
                return Ok(None);
            }
            return Err(format!(
                "the role of the profile {name:?} finds no credentials"
            ));
        };
        for role in roles.iter().rev() {
            found = self.sts(profiles)?.assume(role, &found.credential).await?;
        }
        Ok(Some(found))
    }

    /// The credentials of a profile without a role.
    async fn of_plain_profile(
        &self,
        name: &str,
        profile: &Properties,
    ) -> Result<Option<Found>, String> {
        if let Some(command) = property(profile, "credential_process") {
            return process::credentials(command).await.map(Some);
        }
        let keys = of_keys(
            property(profile, "aws_access_key_id"),
            property(profile, "aws_secret_access_key"),
            property(profile, "aws_session_token"),
        );
        let unsupported = ["sso_session", "sso_account_id", "login_session"];
        match keys {
            Ok(None) if unsupported.iter().any(|key| profile.contains_key(*key)) => Err(format!(
                "the profile {name:?} signs in with SSO or `aws login`, which is not supported here; \
                 name one with `credential_process = aws configure export-credentials --profile {name}`"
            )),
            Err(_) => Err(format!(
                "the profile {name:?} has one half of a pair of keys"
            )),
            keys => keys,
        }
    }

    fn sts<'a>(&'a self, profiles: &Profiles) -> Result<Sts<'a>, String> {
        Ok(Sts {
            http: &self.http,
            region: &self.region,
            endpoint: endpoint::of(STS, &self.region, &self.variables, profiles)?,
        })
    }
}

/// A property that is set and not empty.
fn property<'a>(profile: &'a Properties, key: &str) -> Option<&'a str> {
    let value = profile.get(key).map(String::as_str);
    value.filter(|value| !value.is_empty())
}

/// The role that a profile stands for.
fn role_of<'a>(name: &str, profile: &'a Properties) -> Result<Option<Role<'a>>, String> {
    let Some(arn) = property(profile, "role_arn") else {
        return Ok(None);
    };
    if property(profile, "mfa_serial").is_some() {
        return Err(format!(
            "the profile {name:?} asks for a code (mfa_serial), which a server cannot type"
        ));
    }
    Ok(Some(Role {
        arn,
        session: property(profile, "role_session_name").unwrap_or(SESSION),
        external_id: property(profile, "external_id"),
        seconds: property(profile, "duration_seconds"),
    }))
}

/// Keys that are written down.
fn of_keys(
    id: Option<&str>,
    secret: Option<&str>,
    token: Option<&str>,
) -> Result<Option<Found>, String> {
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => Found::new(Written {
            access_key_id: id.to_owned(),
            secret_access_key: secret.to_owned(),
            session_token: token.map(ToOwned::to_owned),
            expiration: None,
        })
        .map(Some),
        _ => Err("one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is not set".into()),
    }
}
