//! One arrow of imports: who may use whom, read from the `use crate::` lines.

use std::{collections::BTreeSet, fs, path::Path};

/// Every module at the top of the crate, and which others it may use. What is not listed is a defect.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "app",
        &[
            "auth",
            "catalogue",
            "config",
            "emr",
            "hosts",
            "limits",
            "live",
            "metrics",
            "peer",
            "pg",
            "readiness",
            "uploads",
            "writes",
        ],
    ),
    (
        "auth",
        &[
            "config", "db", "embedded", "error", "hashes", "limits", "peer", "pg",
        ],
    ),
    ("backoff", &[]),
    ("bodies", &["db"]),
    ("catalogue", &["db", "error", "local_time", "pg", "shared"]),
    (
        "cli",
        &[
            "auth",
            "backoff",
            "config",
            "db",
            "embedded",
            "emr",
            "error",
            "forms",
            "live",
            "local_time",
            "log",
            "metrics",
            "outage",
            "output",
            "peer",
            "pg",
            "server",
            "signals",
            "uploads",
        ],
    ),
    ("config", &["db", "error", "hosts", "peer", "pg"]),
    ("console", &[]),
    (
        "db",
        &["error", "hashes", "local_time", "names", "outage", "pg"],
    ),
    ("directory", &[]),
    ("embedded", &["backoff", "directory", "outage"]),
    (
        "emr",
        &[
            "backoff", "config", "db", "error", "https", "metrics", "outage", "pg",
        ],
    ),
    ("error", &[]),
    ("forms", &["db", "names"]),
    ("hashes", &[]),
    ("hosts", &[]),
    (
        "http",
        &[
            "app",
            "auth",
            "bodies",
            "config",
            "console",
            "db",
            "emr",
            "error",
            "forms",
            "hosts",
            "limits",
            "local_time",
            "metrics",
            "outage",
            "panics",
            "peer",
            "pg",
            "reply",
            "request",
            "sockets",
            "table",
            "uploads",
            "ws",
        ],
    ),
    ("https", &[]),
    ("limits", &["peer"]),
    (
        "live",
        &[
            "backoff",
            "bodies",
            "db",
            "error",
            "local_time",
            "metrics",
            "outage",
            "pg",
            "reads",
            "restarts",
            "table",
            "ws",
        ],
    ),
    ("local_time", &[]),
    ("log", &["config", "panics"]),
    ("metrics", &[]),
    ("names", &[]),
    ("outage", &[]),
    ("output", &["error"]),
    ("panics", &[]),
    ("peer", &[]),
    ("pg", &["backoff", "error"]),
    (
        "readiness",
        &[
            "db", "error", "live", "pg", "reads", "restarts", "server", "shared", "start",
        ],
    ),
    ("reads", &["outage"]),
    (
        "reply",
        &[
            "auth",
            "catalogue",
            "error",
            "forms",
            "limits",
            "request",
            "uploads",
        ],
    ),
    ("request", &[]),
    ("restarts", &["backoff", "metrics", "panics"]),
    ("rollover", &["db", "error", "outage", "pg"]),
    ("server", &["error", "hosts", "limits", "outage", "peer"]),
    ("shared", &[]),
    ("signals", &[]),
    (
        "sockets",
        &[
            "app",
            "auth",
            "config",
            "db",
            "emr",
            "error",
            "forms",
            "limits",
            "live",
            "local_time",
            "metrics",
            "panics",
            "peer",
            "reply",
            "request",
            "server",
            "table",
            "ws",
        ],
    ),
    ("start", &["backoff", "db", "error", "outage", "pg"]),
    ("table", &["db", "local_time"]),
    ("supervisor", &["backoff", "outage", "readiness"]),
    (
        "uploads",
        &[
            "config",
            "db",
            "directory",
            "error",
            "https",
            "limits",
            "metrics",
            "outage",
            "pg",
        ],
    ),
    ("writes", &["db", "error", "limits", "live", "pg"]),
    ("ws", &[]),
];

/// Modules whose parts must not know each other, which the table above cannot say.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("live/channel", &["db", "pg", "ws", "live::view"]),
    ("live/signal", &["db", "pg", "ws", "live::view"]),
    ("live/listener", &["db", "ws", "live::group", "live::view"]),
    ("live/group", &["db", "pg", "live::view", "live::listener"]),
    ("live/view", &["live::listener"]),
    ("live/validity", &["db", "ws", "live::signal", "live::view"]),
    (
        "live/probe",
        &["ws", "live::group", "live::signal", "live::view"],
    ),
    (
        "live/notification_counts",
        &["db", "pg", "ws", "live::view"],
    ),
    (
        "live/heartbeat",
        &["ws", "live::group", "live::signal", "live::view"],
    ),
    ("live/audit", &["ws", "live::group", "live::view"]),
];

#[test]
fn imports_follow_the_arrow() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = modules(&source);
    let listed: BTreeSet<_> = MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(modules, listed, "the table names every module once");
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_USE {
        let others = modules
            .iter()
            .map(String::as_str)
            .filter(|other| other != module && !allowed.contains(other));
        wrong.extend(uses(&source, module, others));
        for unused in allowed
            .iter()
            .filter(|other| uses(&source, module, [**other].into_iter()).is_empty())
        {
            wrong.push(format!("{module} may use {unused}, and does not"));
        }
    }
    for (module, forbidden) in FORBIDDEN {
        wrong.extend(uses(&source, module, forbidden.iter().copied()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_module_uses_one_that_uses_it() {
    let mut left: Vec<_> = MAY_USE.to_vec();
    loop {
        let names: Vec<_> = left.iter().map(|(name, _)| *name).collect();
        let before = left.len();
        // Modules that use no other one of those that are left stand below them.
        left.retain(|(_, used)| used.iter().any(|name| names.contains(name)));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "a circle is among these: {left:#?}");
}

/// The modules at the top of the crate.
fn modules(source: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(source).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem()?.to_str()?.to_owned();
        (!["lib", "main"].contains(&&*name)).then_some(name)
    });
    names.collect()
}

/// A sentence for each file of a module that imports one of `others`.
fn uses<'a>(source: &Path, module: &str, others: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut files = vec![source.join(format!("{module}.rs"))];
    collect(&source.join(module), &mut files);
    let texts: Vec<_> = files
        .iter()
        .map(|file| {
            let text =
                fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            (
                file.strip_prefix(source).unwrap().display(),
                code.to_owned(),
            )
        })
        .collect();
    others
        .flat_map(|other| {
            let naming = texts.iter().filter(|(_, text)| names(text, other));
            naming
                .map(|(file, _)| format!("{file} uses {other}"))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Functions that find a file by its path, and so through links that somebody else may have planted.
const BY_PATH: [&str; 13] = [
    "File::open",
    "File::create",
    "OpenOptions",
    "DirBuilder",
    "fs::read",
    "fs::write",
    "fs::rename",
    "fs::remove",
    "fs::copy",
    "fs::create_dir",
    "fs::set_permissions",
    "chown(",
    "fs::hard_link",
];

#[test]
fn files_of_a_data_directory_are_opened_in_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![
        source.join("embedded.rs"),
        source.join("auth/default_admin.rs"),
        source.join("uploads.rs"),
    ];
    collect(&source.join("embedded"), &mut files);
    collect(&source.join("uploads"), &mut files);
    // Binaries are nobody's who owns a data directory.
    let may = ["binaries.rs"];
    files.retain(|file| !may.iter().any(|name| file.ends_with(name)));
    assert!(files.len() > 8, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text = text
            .split("#[cfg(test)]")
            .next()
            .unwrap()
            .replace("rustix::fs::fchown(", "");
        wrong.extend(
            BY_PATH
                .iter()
                .filter(|name| text.contains(*name))
                .map(|name| format!("{} uses {name}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let mut files = Vec::new();
    for folder in ["src", "tests/it", "benches"] {
        collect(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut files,
        );
    }
    files.retain(|file| !fs::read_to_string(file).unwrap().starts_with("//! "));
    assert!(files.is_empty(), "without a first sentence: {files:#?}");
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether a file imports `crate::name`, in one line or in a braced list.
fn names(text: &str, name: &str) -> bool {
    let flat: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split_whitespace())
        .collect();
    let path = format!("crate::{name}");
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    if flat
        .match_indices(&path)
        .any(|(at, found)| ends(&flat[at + found.len()..]))
    {
        return true;
    }
    flat.match_indices("usecrate::{").any(|(at, _)| {
        let list = &flat[at..flat[at..].find(';').map_or(flat.len(), |end| at + end)];
        let (first, rest) = name.split_once("::").unwrap_or((name, ""));
        top_level(list).iter().any(|item| {
            item.strip_prefix(first).is_some_and(|after| {
                (after.is_empty() || after.starts_with("::"))
                    && (rest.is_empty() || after.contains(rest))
            })
        })
    })
}

/// The items of a braced list, not those of the lists within.
fn top_level(list: &str) -> Vec<&str> {
    let list = list.split_once('{').map_or("", |(_, list)| list);
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let text =
        "use crate::{\n    app::App, \n    db::{Client, sources}, \n    live::group::Group, \n};";
    for (name, expected) in [
        ("app", true),
        ("db", true),
        ("live", true),
        ("live::group", true),
        ("live::view", false),
        ("http", false),
    ] {
        assert_eq!(names(text, name), expected, "{name}");
    }
    assert!(names("use crate::http::reply;", "http"));
    assert!(!names("// crate::http", "http"));
    assert!(!names("use crate::httpd;", "http"));
}
