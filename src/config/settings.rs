//! What can be set, and what is: every flag of `marketplace serve` that is also a variable, with its
//! value and where that came from. Secrets are never part of a value.

use std::{collections::BTreeSet, env, ffi::OsStr, fmt::Write as _};

use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use url::Url;

use super::Cli;
use crate::pg::{dsn::Dsn, primary};

/// Variables that no flag sets, with a sentence each.
const OTHERS: [(&str, &str); 9] = [
    (
        "RUST_LOG",
        "Log filter: error, warn, info, debug, or parts such as marketplace=debug.",
    ),
    (
        "AWS_REGION",
        "Region of the EMR cluster and of the bucket of UPLOADS_URL.",
    ),
    (
        "AWS_PROFILE",
        "Profile of ~/.aws with region and credentials.",
    ),
    (
        "AWS_ACCESS_KEY_ID",
        "Access key, unless a profile or the instance has credentials.",
    ),
    ("AWS_SECRET_ACCESS_KEY", "Secret of the access key."),
    (
        "AWS_SESSION_TOKEN",
        "Session token of temporary credentials.",
    ),
    (
        "AWS_ENDPOINT_URL",
        "URL of the AWS services, if it is not Amazon's.",
    ),
    ("AWS_ENDPOINT_URL_EMR", "URL of EMR alone."),
    (
        "AWS_ENDPOINT_URL_S3",
        "URL of the store of UPLOADS_URL alone.",
    ),
];
/// Those of them that are secrets.
const SECRET: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
/// What stands in place of a secret.
const MASK: &str = "***";

/// A setting and its value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The variable's name.
    pub name: String,
    /// Its value, without secrets; none when it is not set.
    pub value: Option<String>,
    /// Where that came from.
    pub source: &'static str,
}

/// The settings of `serve`, as they were parsed, and the variables that no flag sets.
pub(super) fn of(command: &Command, matches: &ArgMatches) -> Vec<Setting> {
    let of_flags = command.get_arguments().filter_map(|argument| {
        let name = variable(argument)?;
        let id = argument.get_id().as_str();
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "variable",
            Some(ValueSource::DefaultValue) => "default",
            _ => "not set",
        };
        let values = matches.get_raw(id);
        let value = values.map(|values| shown(argument, values));
        Some(Setting {
            name,
            value,
            source,
        })
    });
    let of_others = OTHERS.into_iter().map(|(name, _)| {
        let value = read(name);
        Setting {
            name: name.to_owned(),
            source: if value.is_some() {
                "variable"
            } else {
                "not set"
            },
            value: value.map(|value| {
                if SECRET.contains(&name) {
                    MASK.to_owned()
                } else {
                    without_password(value)
                }
            }),
        }
    });
    of_flags.chain(of_others).collect()
}

/// The variable of a flag.
pub(super) fn variable(argument: &Arg) -> Option<String> {
    argument
        .get_env()
        .map(|name| name.to_string_lossy().into_owned())
}

fn shown<'a>(argument: &Arg, values: impl Iterator<Item = &'a OsStr>) -> String {
    let values: Vec<_> = values.map(OsStr::to_string_lossy).collect();
    let value = values.join(",");
    if !argument.is_hide_env_values_set() {
        return value;
    }
    // An address is of use without its password; any other secret is not.
    match value.parse::<Dsn>() {
        Ok(dsn) => primary::masked(&dsn, MASK),
        Err(_) => MASK.to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is a part of config.rs")]
fn read(name: &str) -> Option<String> {
    let value = env::var_os(name).filter(|value| !value.is_empty())?;
    Some(value.to_string_lossy().into_owned())
}

/// Whether a variable is there and empty, which counts as not set.
#[expect(clippy::disallowed_methods, reason = "this is a part of config.rs")]
pub(super) fn is_empty(name: &OsStr) -> bool {
    env::var_os(name).is_some_and(|value| value.is_empty())
}

/// The value of a setting, if it has one that is not empty.
pub fn value<'a>(settings: &'a [Setting], name: &str) -> Option<&'a str> {
    let setting = settings.iter().find(|one| one.name == name)?;
    setting.value.as_deref().filter(|value| !value.is_empty())
}

/// Addresses of AWS that no library can use, each with what is wrong with it.
pub fn wrong_endpoints(settings: &[Setting]) -> Vec<(&str, String)> {
    let addresses = settings
        .iter()
        .filter(|one| one.name.starts_with("AWS_ENDPOINT_URL"));
    let wrong = addresses.filter_map(|one| {
        let text = value(settings, &one.name)?;
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let why = match url {
            None => "is not a URL with http or https and a host (https://s3.example)",
            Some(url) if has_user(&url) => {
                "names a user or a password; AWS reads credentials from variables and profiles"
            }
            Some(_) => return None,
        };
        Some((one.name.as_str(), why.to_owned()))
    });
    wrong.collect()
}

/// The text, with the password of a URL masked.
fn without_password(text: String) -> String {
    let Ok(mut url) = Url::parse(&text) else {
        return text;
    };
    if url.password().is_some() && url.set_password(Some(MASK)).is_ok() {
        return url.into();
    }
    text
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Variables of the environment that are not read, but look like one that is: each with that one.
pub fn misspelt() -> Vec<(String, String)> {
    let known = known();
    let set = env::vars_os()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, _)| name.into_string().ok());
    let mut found: Vec<_> = set
        .filter_map(|name| Some((meant(&name, &known)?, name)))
        .map(|(meant, name)| (name, meant))
        .collect();
    found.sort();
    found
}

/// Every variable that a command of this program reads.
fn known() -> BTreeSet<String> {
    fn add(command: &Command, known: &mut BTreeSet<String>) {
        known.extend(command.get_arguments().filter_map(variable));
        for command in command.get_subcommands() {
            add(command, known);
        }
    }
    let mut known: BTreeSet<String> = OTHERS.map(|(name, _)| name.to_owned()).into();
    add(&<Cli as clap::CommandFactory>::command(), &mut known);
    known
}

/// The variable that somebody meant who has set `name`, if `name` is not read.
fn meant(name: &str, known: &BTreeSet<String>) -> Option<String> {
    if known.contains(name) {
        return None;
    }
    let plain = name.to_uppercase().replace('-', "_");
    let plain = plain.strip_prefix("MARKETPLACE_").unwrap_or(&plain);
    let distances = known.iter().map(|known| (distance(plain, known), known));
    let (distance, nearest) = distances.min()?;
    // Short names are near to many others.
    (distance <= (nearest.len() / 5).max(1)).then(|| nearest.clone())
}

/// How many letters must be put in, left out, replaced or swapped with the next to make one of the
/// other (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

/// A file with every setting of `serve`: a sentence, and a line that sets it to its default, commented
/// out. A shell and systemd both read it.
pub fn example() -> String {
    let command = <Cli as clap::CommandFactory>::command();
    let serve = command.find_subcommand("serve");
    let mut text = String::from(EXAMPLE_HEAD);
    for argument in serve.into_iter().flat_map(Command::get_arguments) {
        let Some(name) = variable(argument) else {
            continue;
        };
        let help = argument.get_help().map(ToString::to_string);
        let values: Vec<_> = argument
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect();
        let mut says = help.unwrap_or_default().trim_end_matches('.').to_owned();
        if !values.is_empty() {
            let _ = write!(says, ": {}", values.join(" or "));
        }
        let defaults = argument.get_default_values().iter();
        let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
        entry(&mut text, &name, &says, &defaults.join(","));
    }
    text.push_str("\n# No flag sets these.\n");
    for (name, says) in OTHERS {
        entry(&mut text, name, says.trim_end_matches('.'), "");
    }
    text
}

const EXAMPLE_HEAD: &str = "\
# Settings of marketplace: for the unit of systemd, which reads /etc/marketplace/environment, and for
# commands that are run by hand:  set -a; . /etc/marketplace/environment; set +a
# Put a value with spaces or any of & ? ; $ # between single quotes. Only root should read this file.
# Each line below shows a default; remove the # in front to change it. `marketplace check` finds mistakes.
";

fn entry(text: &mut String, name: &str, says: &str, default: &str) {
    text.push('\n');
    let (says, mut line) = (format!("{says}."), String::from("#"));
    for word in says.split_whitespace().chain(std::iter::once("")) {
        if word.is_empty() || line.len() + 1 + word.len() > 100 {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(text, "#{name}={default}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_told_from_the_machines_own() {
        let known = known();
        for (name, meant_one) in [
            ("DATABSE_URL", Some("DATABASE_URL")),
            ("DATABASE_URI", Some("DATABASE_URL")),
            ("database_url", Some("DATABASE_URL")),
            ("MARKETPLACE_BIND", Some("BIND")),
            ("BIDN", Some("BIND")),
            ("TRUSTED_PROXY", Some("TRUSTED_PROXIES")),
            ("ALLOWED_ORIGIN", Some("ALLOWED_ORIGINS")),
            ("POOLSIZE", Some("POOL_SIZE")),
            ("REGISTRATION_ROLES", Some("REGISTRATION_ROLE")),
            ("DJANGO_DATABASE_UR", Some("DJANGO_DATABASE_URL")),
            ("AWS_REGOIN", Some("AWS_REGION")),
            ("DATABASE_URL", None),
            ("DJANGO_DATABASE_URL", None),
            ("PATH", None),
            ("HOME", None),
            ("USER", None),
            ("LANG", None),
            ("PWD", None),
            ("PGDATA", None),
            ("PGPASSWORD", None),
            ("LISTEN_FDS", None),
            ("LISTEN_PID", None),
            ("NOTIFY_SOCKET", None),
            ("WATCHDOG_USEC", None),
            ("STATE_DIRECTORY", None),
            ("INVOCATION_ID", None),
            ("JOURNAL_STREAM", None),
            ("RUST_BACKTRACE", None),
            ("AWS_DEFAULT_OUTPUT", None),
            ("HOSTNAME", None),
        ] {
            assert_eq!(meant(name, &known).as_deref(), meant_one, "{name}");
        }
    }
}
