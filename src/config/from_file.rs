//! A value that is the first line of a file, so that `ps` does not show it.

use std::{fs, str::FromStr};

/// A value and the file that it was read from.
#[derive(Clone, Debug)]
pub struct FromFile<T> {
    /// The file, as it was named.
    pub path: String,
    /// What its first line says.
    pub value: T,
}

impl<T: FromStr<Err = String>> FromFile<T> {
    /// Reads the first line of the file at `path`.
    ///
    /// # Errors
    /// One sentence with the path.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() {
            return Err(format!("the first line of {path} is empty"));
        }
        let value = line.parse().map_err(|why| format!("{path}: {why}"))?;
        Ok(Self {
            path: path.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MetricsToken;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        for (path, says) in [
            ("/nowhere/token", "cannot read /nowhere/token: No such file"),
            ("/proc", "cannot read /proc: Is a directory"),
            ("/dev/null", "the first line of /dev/null is empty"),
        ] {
            let why = FromFile::<MetricsToken>::read(path).unwrap_err();
            assert!(why.starts_with(says), "{why}");
        }
    }
}
