//! From the command line and the environment to a [`Cli`]. A variable that is empty counts as not set. What
//! is wrong with a variable is said in one line; mistakes in the command line are left to `clap`.

use std::ffi::OsStr;

use clap::{
    CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Cli, Command, settings};
use crate::error::{Error, Result};

/// Reads the command line and the environment.
///
/// # Errors
/// [`Error::Config`] with one line that names the variable whose value is wrong. Questions for
/// help and mistakes in the command line itself are answered by `clap`, which exits.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Cli> {
    let args: Vec<_> = args.into_iter().collect();
    parsed(&args).map_err(|error| match sentence(&args, &error) {
        Some(sentence) => Error::Config(sentence),
        None => answer(&args, &error),
    })
}

fn parsed(args: &[String]) -> Result<Cli, clap::Error> {
    let mut command = without(Cli::command(), settings::is_empty);
    let matches = command.try_get_matches_from_mut(args)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if let Command::Serve(config) | Command::Check(config) = &mut cli.command
        && let Some((name, matches)) = matches.subcommand()
        && let Some(command) = Cli::command().find_subcommand(name)
    {
        config.settings = settings::of(command, matches);
    }
    Ok(cli)
}

/// A command that does not read some of its variables.
fn without(command: clap::Command, is_unwanted: fn(&OsStr) -> bool) -> clap::Command {
    command
        .mut_args(|argument| {
            if argument.get_env().is_some_and(is_unwanted) {
                argument.env(None::<&'static str>)
            } else {
                argument
            }
        })
        .mut_subcommands(|command| without(command, is_unwanted))
}

/// Lets `clap` answer. Its help names all variables, and the usage in its complaints has no options that
/// variables have set.
fn answer(args: &[String], error: &clap::Error) -> ! {
    let command = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Cli::command()
        }
        _ => without(Cli::command(), |_| true),
    };
    match command.try_get_matches_from(args) {
        Err(better) if better.kind() == error.kind() => better.exit(),
        _ => error.exit(),
    }
}

/// What is wrong with the value of a setting, or with two settings together.
fn sentence(args: &[String], error: &clap::Error) -> Option<String> {
    let argument = |kind| error.get(kind).map(ToString::to_string);
    let invalid = argument(ContextKind::InvalidArg)?;
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let why = match std::error::Error::source(error) {
                Some(cause) => cause.to_string(),
                None => match error.get(ContextKind::ValidValue) {
                    Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
                        format!("must be {}", valid.join(" or "))
                    }
                    _ => "must not be empty".into(),
                },
            };
            Some(format!("{}: {why}", setting(&invalid)))
        }
        ErrorKind::ArgumentConflict => {
            let prior = argument(ContextKind::PriorArg)?;
            let (one, other) = (given(args, &prior), given(args, &invalid));
            // Of two flags `clap` says it.
            let is_by_flags = one.starts_with('-') && other.starts_with('-');
            (!is_by_flags).then(|| format!("{one} and {other} are both set; leave one of them out"))
        }
        _ => None,
    }
}

/// The flag of `--bind <ADDRESS>`; what is not one, such as `<ROLE>`, without its brackets.
fn flag(argument: &str) -> &str {
    let word = argument.split(' ').next().unwrap_or_default();
    word.trim_matches(['<', '>'])
}

/// How messages name an argument: `--bind <ADDRESS>` is the variable BIND.
fn setting(argument: &str) -> String {
    let flag = flag(argument);
    variable(&Cli::command(), flag).unwrap_or_else(|| flag.to_owned())
}

/// An argument as it was given: a flag, or else a variable.
fn given(args: &[String], argument: &str) -> String {
    let flag = flag(argument);
    let is_flag = |arg: &String| {
        arg.strip_prefix(flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if args.iter().any(is_flag) {
        return flag.to_owned();
    }
    setting(argument)
}

/// The variable of a flag of any command.
fn variable(command: &clap::Command, flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let mut arguments = command.get_arguments();
    let own = arguments.find(|argument| argument.get_long() == Some(name));
    let own = own.and_then(settings::variable);
    own.or_else(|| {
        let mut commands = command.get_subcommands();
        commands.find_map(|command| variable(command, flag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_by_their_variables() {
        for (argument, name) in [
            ("--bind <ADDRESS>", "BIND"),
            ("--from <URL>", "DJANGO_DATABASE_URL"),
            ("--source <ID>", "--source"),
            ("<RUN>", "RUN"),
        ] {
            assert_eq!(setting(argument), name);
        }
    }
}
