//! `SECURITY.md` names tests and fuzz targets that exist, and the fuzzer has what the server has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

#[test]
fn every_test_that_is_promised_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        collect(&root.join(folder), &mut tests);
    }
    assert!(tests.len() > 100, "tests are found: {}", tests.len());
    let documents = ["SECURITY.md", "RELIABILITY.md"];
    let documents = documents.map(|name| fs::read_to_string(root.join(name)).unwrap());
    let mut named = BTreeSet::new();
    for document in &documents {
        let before = named.len();
        named.extend(code(document).filter(|name| is_name(name)));
        assert!(named.len() > before + 10, "names are found: {named:?}");
    }
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !tests.contains(**name))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn every_fuzz_target_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let mut targets = 0;
    for entry in fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(code(&document).any(|word| word == name), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        targets += 1;
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets);
}

/// Otherwise something else is fuzzed than what is shipped.
#[test]
fn the_fuzzer_has_the_dependencies_of_the_server() {
    let ours = packages(include_str!("../../../Cargo.lock"));
    let theirs = packages(include_str!("../../../fuzz/Cargo.lock"));
    let (_, server) = theirs
        .iter()
        .find(|(package, _)| package.starts_with("marketplace "))
        .expect("the fuzzer knows the server");
    let manifest = include_str!("../../../Cargo.toml");
    let (_, needed) = manifest.split_once("[dependencies]").unwrap();
    let (needed, _) = needed.split_once("[dev-dependencies]").unwrap();
    let needed = needed.lines().filter_map(|line| line.split_once(" = "));
    let missing: Vec<_> = needed
        .map(|(name, _)| name)
        .filter(|name| {
            !['"', ' ']
                .iter()
                .any(|end| server.contains(&format!(" \"{name}{end}")))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "run cargo metadata in fuzz: {missing:?}"
    );
    let names = |package: &str| package.split(' ').next().map(ToOwned::to_owned);
    let known: BTreeSet<_> = ours.keys().map(|package| names(package)).collect();
    let other: Vec<_> = theirs
        .keys()
        .filter(|package| known.contains(&names(package)) && !ours.contains_key(*package))
        .collect();
    assert!(other.is_empty(), "other versions: {other:?}");
}

/// The packages of a lock file as "name version", with the rest of what it says of each.
fn packages(lock: &str) -> BTreeMap<String, &str> {
    let value = |package: &str, key: &str| {
        let (_, rest) = package.split_once(&format!("\n{key} = \"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    lock.split("[[package]]")
        .skip(1)
        .map(|package| {
            let name = value(package, "name");
            (format!("{name} {}", value(package, "version")), package)
        })
        .collect()
}

/// What stands between backticks.
fn code(document: &str) -> impl Iterator<Item = &str> {
    document.split('`').skip(1).step_by(2)
}

/// Tests are sentences: of three words at least.
fn is_name(text: &str) -> bool {
    text.matches('_').count() >= 2
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
}

/// The names of the functions that follow an attribute with "test" in it.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let (true, Some(name)) = (is_test, name) {
                    let end = name.find('(').unwrap_or(name.len());
                    tests.insert(name[..end].to_owned());
                    is_test = false;
                }
            }
        }
    }
}
