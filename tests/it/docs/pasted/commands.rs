//! Commands that the documents name in passing, and those that would start the tests, the benchmarks
//! or a build from within the tests. They are taken so far that they would start: subcommands and
//! options exist, `make` knows its targets and variables, modules of tests have tests.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use crate::support::program::PROGRAM;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const DOCUMENTS: [&str; 9] = [
    include_str!("../../../../README.md"),
    include_str!("../../../../BENCHMARKS.md"),
    include_str!("../../../../RELIABILITY.md"),
    include_str!("../../../../SECURITY.md"),
    include_str!("../../../../docs/contributing.md"),
    include_str!("../../../../docs/databases.md"),
    include_str!("../../../../docs/deploying.md"),
    include_str!("../../../../docs/frontend.md"),
    include_str!("../../../../docs/metrics.md"),
];

#[test]
fn every_command_that_is_named_would_start() {
    let named: BTreeSet<String> = DOCUMENTS.into_iter().flat_map(commands).collect();
    assert!(named.len() > 30, "{named:#?}");
    let wrong: Vec<_> = named
        .iter()
        .filter_map(|command| would_start(command).err())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_command_that_would_not_start_is_told_apart() {
    for command in [
        "marketplace tial",
        "marketplace users add NAME --amdin",
        "make tset",
        "make bench BNECH='--only storm'",
        "make bench BENCH='--only strom'",
        "cargo test --test it nothing::",
        "UPDATE_SCHEME=1 cargo test --test it schema",
        "npx something",
    ] {
        assert!(would_start(command).is_err(), "{command}");
    }
}

/// The commands of a document that begin with a program of this project's: lines of its blocks for a
/// shell, and what stands between backticks in its text.
fn commands(document: &str) -> Vec<String> {
    let ours = |command: &str| {
        let words = words(command);
        let program = words.iter().find(|word| !is_assignment(word));
        program.is_some_and(|program| ["marketplace", "make", "cargo"].contains(&program.as_str()))
            && words.len() > 1
    };
    let mut found = Vec::new();
    for (number, part) in document.split("```").enumerate() {
        if number % 2 == 0 {
            let inline = part.split('`').skip(1).step_by(2);
            found.extend(inline.map(|inline| inline.replace('\n', " ")));
        } else if let Some((_, block)) = part
            .split_once('\n')
            .filter(|(kind, _)| ["sh", "console"].contains(kind))
        {
            let lines = block.lines().filter_map(|line| line.split(" #").next());
            found.extend(lines.map(|line| line.trim_end().to_owned()));
        }
    }
    found.retain(|command| ours(command));
    found
}

/// What a shell makes of a line; none when it is not one command.
fn words(command: &str) -> Vec<String> {
    if command.contains(['|', '<', '>', '&', '$', '(', ';']) {
        return Vec::new();
    }
    let output = Command::new("sh")
        .args(["-fc", &format!("printf '%s\\n' {command}")])
        .output()
        .expect("sh starts");
    let words = String::from_utf8(output.stdout).expect("words are text");
    words.lines().map(ToOwned::to_owned).collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
}

fn would_start(command: &str) -> Result<(), String> {
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let count = words.iter().take_while(|word| is_assignment(word)).count();
    let (variables, words) = words.split_at(count);
    let is_right = match words {
        ["marketplace", arguments @ ..] => {
            let arguments = arguments.iter().map(|argument| match *argument {
                "URL" => "postgres://host/database",
                argument => argument,
            });
            succeeds(Command::new(PROGRAM).args(arguments).arg("--help"))
        }
        ["make", arguments @ ..] => {
            succeeds(Command::new("make").arg("-n").args(arguments))
                && arguments.iter().all(|argument| is_known_to_make(argument))
        }
        ["cargo", "test", "--test", "it", filters @ ..] => filters
            .iter()
            .filter(|filter| !filter.starts_with('-'))
            .all(|filter| has_tests(filter) && variables.iter().all(|v| is_read(v, filter))),
        _ => false,
    };
    is_right
        .then_some(())
        .ok_or_else(|| format!("{command} would not start"))
}

fn succeeds(command: &mut Command) -> bool {
    let output = command.current_dir(ROOT).env_remove("DATABASE_URL");
    output
        .output()
        .expect("the program starts")
        .status
        .success()
}

/// A variable must be one of the Makefile's; a target was found by make itself.
fn is_known_to_make(argument: &str) -> bool {
    let Some((name, value)) = argument.split_once('=') else {
        return true;
    };
    let makefile = include_str!("../../../../Makefile");
    let rows = include_str!("../../../../benches/rows.rs");
    (makefile.contains(&format!("$({name})")) || makefile.contains(&format!("$(or $({name})")))
        && value
            .strip_prefix("--only ")
            .is_none_or(|row| rows.contains(&format!("\"{row}\" =>")))
}

/// Whether this binary has tests whose names contain that.
fn has_tests(filter: &str) -> bool {
    let tests = Command::new(env::current_exe().expect("this is a program"))
        .args([filter, "--list"])
        .output()
        .expect("this program starts");
    String::from_utf8_lossy(&tests.stdout).contains(": test\n")
}

/// Whether that module of tests reads the variable.
fn is_read(variable: &str, module: &str) -> bool {
    let (name, _) = variable.split_once('=').expect("it is an assignment");
    let shelves = fs::read_dir(Path::new(ROOT).join("tests/it")).expect("the tests are there");
    shelves.flatten().any(|shelf| {
        let file = shelf.path().join(format!("{module}.rs"));
        fs::read_to_string(file).is_ok_and(|text| text.contains(name))
    })
}
