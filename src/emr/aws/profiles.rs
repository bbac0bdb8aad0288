//! The profiles in `~/.aws/config` and `~/.aws/credentials`, as every AWS tool reads them
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>).

use std::{collections::HashMap, io::ErrorKind};

use crate::config::aws::AwsVariables;

/// The properties of a profile. The `b` nested in an `a` is called `a.b`.
pub(super) type Properties = HashMap<String, String>;

/// What both files say.
#[derive(Default)]
pub(super) struct Profiles {
    /// By name.
    profiles: HashMap<String, Properties>,
    /// The sections `[services NAME]`.
    services: HashMap<String, Properties>,
}

impl Profiles {
    /// Reads the files. One that does not exist is an empty one.
    pub(super) async fn read(variables: &AwsVariables) -> Result<Self, String> {
        let mut profiles = Self::default();
        let files = [
            ("AWS_CONFIG_FILE", "~/.aws/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ];
        for (variable, usual) in files {
            let name = variables.get(variable).unwrap_or(usual);
            let path = match (name.strip_prefix("~/"), variables.get("HOME")) {
                (None, _) => name.to_owned(),
                (Some(below), Some(home)) => format!("{home}/{below}"),
                (Some(_), None) => continue,
            };
            match tokio::fs::read_to_string(&path).await {
                Ok(text) => profiles.add(&text, variable == "AWS_CONFIG_FILE"),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{path} cannot be read: {error}")),
            }
        }
        Ok(profiles)
    }

    /// A profile's properties.
    pub(super) fn find(&self, name: &str) -> Option<&Properties> {
        self.profiles.get(name)
    }

    /// The property of the profile in use.
    pub(super) fn property(&self, variables: &AwsVariables, key: &str) -> Option<&str> {
        let value = self.find(in_use(variables))?.get(key)?;
        Some(value)
            .filter(|value| !value.is_empty())
            .map(String::as_str)
    }

    /// The address of one service in the section of services that the profile in use names.
    pub(super) fn service_endpoint(&self, variables: &AwsVariables, service: &str) -> Option<&str> {
        let section = self.property(variables, "services")?;
        let key = format!("{service}.endpoint_url");
        self.services.get(section)?.get(&key).map(String::as_str)
    }

    /// Adds what a file says; of a property that is there, the later value holds.
    fn add(&mut self, text: &str, is_config: bool) {
        let mut section = None;
        let mut parent = None;
        for line in text.lines() {
            let is_nested = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[').filter(|_| !is_nested) {
                let header = header.split(']').next().unwrap_or_default().trim();
                section = self.section(header, is_config);
                parent = None;
                continue;
            }
            let (Some(section), Some((key, value))) = (&mut section, line.split_once('=')) else {
                continue;
            };
            let comment = [" #", " ;", "\t#", "\t;"];
            let ends = comment.iter().filter_map(|start| value.find(start)).min();
            let value = value[..ends.unwrap_or(value.len())].trim().to_owned();
            let key = key.trim().to_ascii_lowercase();
            match &parent {
                Some(parent) if is_nested => {
                    section.insert(format!("{parent}.{key}"), value);
                }
                _ if is_nested => {}
                _ => {
                    parent = value.is_empty().then(|| key.clone());
                    section.insert(key, value);
                }
            }
        }
    }

    /// The properties below a header; none for one that is of no use here.
    fn section(&mut self, header: &str, is_config: bool) -> Option<&mut Properties> {
        let (kind, name) = header.split_once([' ', '\t']).unwrap_or(("", header));
        let name = name.trim().trim_matches(['"', '\'']).to_owned();
        match kind {
            "services" if is_config => Some(self.services.entry(name).or_default()),
            "profile" if is_config => Some(self.profiles.entry(name).or_default()),
            _ if !is_config => Some(self.profiles.entry(header.to_owned()).or_default()),
            "" if name == "default" => Some(self.profiles.entry(name).or_default()),
            _ => None,
        }
    }
}

/// The name of the profile in use.
pub(super) fn in_use(variables: &AwsVariables) -> &str {
    variables.get("AWS_PROFILE").unwrap_or("default")
}

/// The region that the variables or the profile name.
pub(super) fn region<'a>(variables: &'a AwsVariables, profiles: &'a Profiles) -> Option<&'a str> {
    variables
        .get("AWS_REGION")
        .or_else(|| variables.get("AWS_DEFAULT_REGION"))
        .or_else(|| profiles.property(variables, "region"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_read_as_other_tools_read_them() {
        let mut profiles = Profiles::default();
        let config = "\
# a comment
[default]
region = eu-west-3 ; where it is
output=json
[profile two words ]
Region\t=\tus-east-1\t# there
role_arn = arn:aws:iam::1:role/x#y
services = near
s3 =
    max_attempts = 5
[other]
region = nowhere
[services near]
emr =
  endpoint_url = http://127.0.0.1:1
sts =
  endpoint_url = http://127.0.0.1:2
no property
[sso-session s]
sso_region = x
";
        profiles.add(config, true);
        profiles.add("[default]\naws_access_key_id = A\nregion=eu-west-1\r\n[two words]\naws_access_key_id=B=", false);
        let property = |profile: &str, key: &str| {
            profiles
                .find(profile)
                .and_then(|properties| properties.get(key))
                .map(String::as_str)
        };
        assert_eq!(property("default", "region"), Some("eu-west-1"));
        assert_eq!(property("default", "aws_access_key_id"), Some("A"));
        assert_eq!(property("two words", "region"), Some("us-east-1"));
        assert_eq!(
            property("two words", "role_arn"),
            Some("arn:aws:iam::1:role/x#y")
        );
        assert_eq!(property("two words", "s3.max_attempts"), Some("5"));
        assert_eq!(property("two words", "aws_access_key_id"), Some("B="));
        assert_eq!(profiles.profiles.len(), 2);
        let variables = [("AWS_PROFILE".to_owned(), "two words".to_owned())];
        let variables = variables.into_iter().collect();
        assert_eq!(region(&variables, &profiles), Some("us-east-1"));
        assert_eq!(
            profiles.service_endpoint(&variables, "sts"),
            Some("http://127.0.0.1:2")
        );
    }
}
