//! `docs/contributing.md`: its blocks of kind `diff` are commits, which are applied to a copy of the tree.

use std::{fs, path::Path, process::Command};

use crate::support::postgres::Home;

const DOCUMENT: &str = include_str!("../../../docs/contributing.md");

#[test]
fn what_contributors_are_told_applies() {
    let home = Home::new();
    copy(root(), &home.dir);
    apply_all(&home.dir);
}

/// `make contributing` runs it: it compiles everything.
#[test]
#[ignore = "it compiles the program and its tests"]
fn what_contributors_are_told_works() {
    let copied = root().join("target/contributing");
    let _ = fs::remove_dir_all(&copied);
    copy(root(), &copied);
    let mut tests = apply_all(&copied);
    assert!(tests.len() > 1, "{tests:?}");
    tests.extend(["the_committed".into(), "every_field_that_is_set".into()]);
    run(&copied, &["fmt", "--check"]);
    let mut test = ["test", "--locked", "--test", "it", "--"].to_vec();
    test.extend(tests.iter().map(String::as_str));
    run(&copied, &test);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs cargo there, with a build of its own: one that is shared would belong to the tree that was built last.
/// Tests write the schema anew.
fn run(directory: &Path, arguments: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", root().join("target/contributing-build"))
        .env("UPDATE_SCHEMA", "1")
        .status()
        .expect("cargo starts");
    assert!(status.success(), "cargo {arguments:?}: {status}");
}

/// Copies the tree, without what is built.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        if kind.is_dir() && name != "target" && name != ".git" {
            copy(&entry.path(), &to.join(name));
        } else if kind.is_file() && name != ".git" {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Applies every block; gives the names of the tests that they add.
fn apply_all(tree: &Path) -> Vec<String> {
    let mut tests = Vec::new();
    for (part, change) in DOCUMENT
        .split("```diff\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .flat_map(|block| block.split("+++ ").skip(1))
        .map(|file| file.split_once('\n').expect("a file has changes"))
    {
        let path = tree.join(part);
        for hunk in change.split("@@\n") {
            let side = |kinds: [char; 2]| {
                let lines = hunk.lines();
                let kept = lines.filter(|line| line.is_empty() || line.starts_with(kinds));
                let kept: Vec<_> = kept.map(|line| line.get(1..).unwrap_or_default()).collect();
                kept.join("\n")
            };
            let (before, after) = (side([' ', '-']), side([' ', '+']));
            if before.is_empty() {
                assert!(!path.exists(), "{part} is there already");
                fs::write(&path, format!("{after}\n")).unwrap();
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{part}: {e}"));
            let (text, before) = (format!("\n{text}"), format!("\n{before}\n"));
            let places = text.matches(&before).count();
            assert_eq!(places, 1, "{part} has these lines once:{before}");
            let text = text.replacen(&before, &format!("\n{after}\n"), 1);
            fs::write(&path, &text[1..]).unwrap();
        }
        let added = change
            .lines()
            .filter_map(|line| line.trim_start_matches('+').strip_prefix("async fn "));
        tests.extend(
            added
                .filter_map(|line| line.split('(').next())
                .map(ToOwned::to_owned),
        );
    }
    tests
}
