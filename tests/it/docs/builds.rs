//! `make test` uses what `make run` has built.

use std::{collections::BTreeSet, process::Command};

/// The crates of a build, each with its features, as `crate version feature "name"`.
fn features(edges: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--prefix", "none"]);
    cargo.args(["--format", "{p} feature \"{f}\"", "--edges", edges]);
    let tree = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(tree.status.success(), "{tree:?}");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    tree.lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .collect()
}

#[test]
fn tests_turn_on_no_feature_of_a_crate_of_the_program() {
    let crate_of = |line: &String| line.split(" feature ").next().unwrap().to_owned();
    let (program, tests) = (features("normal,build"), features("normal,build,dev"));
    assert!(program.len() > 200, "{program:?}");
    let crates: BTreeSet<_> = program.iter().map(crate_of).collect();
    let changed = tests.difference(&program);
    let changed: Vec<_> = changed
        .filter(|line| crates.contains(&crate_of(line)))
        .collect();
    assert!(
        changed.is_empty(),
        "built once for the program and once for the tests: {changed:#?}"
    );
}
