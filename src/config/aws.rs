//! The environment variables that every AWS tool reads. What they mean is known to `emr::aws`.

use std::{collections::HashMap, env, fmt};

/// The variables `AWS_...` and `HOME` that are set and not empty.
#[derive(Clone, Default)]
pub struct AwsVariables(HashMap<String, String>);

impl AwsVariables {
    /// Those of this process.
    pub fn from_environment() -> Self {
        let set = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        set.collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Each variable with its value.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a variable is set to `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl FromIterator<(String, String)> for AwsVariables {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let is_read = |name: &str| name.starts_with("AWS_") || name == "HOME";
        let variables = variables.into_iter();
        Self(
            variables
                .filter(|(name, value)| is_read(name) && !value.is_empty())
                .collect(),
        )
    }
}

/// Some values are secrets, so none is shown.
impl fmt::Debug for AwsVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsVariables").finish_non_exhaustive()
    }
}
