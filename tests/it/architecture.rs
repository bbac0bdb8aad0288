//! One arrow of imports: who may use whom, read from the `use crate::` lines.

use std::{fs, path::Path};

/// A module, and what of the crate its files must not name.
const FORBIDDEN: [(&str, &[&str]); 27] = [
    (
        "catalogue",
        &[
            "app", "auth", "config", "emr", "forms", "http", "limits", "live", "server", "ws",
        ],
    ),
    (
        "shared",
        &[
            "app", "auth", "config", "db", "emr", "error", "forms", "http", "limits", "live",
            "server", "wire", "ws",
        ],
    ),
    (
        "reads",
        &[
            "app", "auth", "config", "db", "error", "http", "live", "server", "wire", "ws",
        ],
    ),
    (
        "live/window",
        &[
            "app",
            "auth",
            "config",
            "db",
            "http",
            "ws",
            "live::signal",
            "live::view",
        ],
    ),
    (
        "live/probe",
        &[
            "app",
            "auth",
            "config",
            "http",
            "ws",
            "live::group",
            "live::signal",
            "live::view",
        ],
    ),
    (
        "metrics",
        &[
            "app", "auth", "config", "db", "error", "http", "live", "peer", "server", "wire", "ws",
        ],
    ),
    (
        "live/announced",
        &["app", "auth", "config", "db", "http", "ws", "live::view"],
    ),
    (
        "live/heartbeat",
        &[
            "app",
            "auth",
            "config",
            "http",
            "ws",
            "live::group",
            "live::signal",
            "live::view",
        ],
    ),
    (
        "live/audit",
        &[
            "app",
            "auth",
            "config",
            "http",
            "ws",
            "live::group",
            "live::view",
        ],
    ),
    (
        "error",
        &[
            "emr", "app", "auth", "config", "db", "http", "live", "ws", "wire", "server",
        ],
    ),
    (
        "ws",
        &[
            "emr", "app", "auth", "config", "db", "error", "http", "live", "wire", "server",
        ],
    ),
    (
        "db",
        &[
            "emr", "app", "auth", "http", "live", "ws", "wire", "server", "forms",
        ],
    ),
    (
        "wire",
        &[
            "emr", "app", "auth", "http", "live", "ws", "server", "forms",
        ],
    ),
    (
        "forms",
        &["emr", "app", "auth", "http", "live", "ws", "server"],
    ),
    ("auth", &["emr", "live", "ws", "server", "forms"]),
    (
        "live/channel",
        &[
            "emr",
            "app",
            "auth",
            "config",
            "db",
            "http",
            "ws",
            "live::view",
        ],
    ),
    (
        "live/signal",
        &[
            "emr",
            "app",
            "auth",
            "config",
            "db",
            "http",
            "ws",
            "live::view",
        ],
    ),
    (
        "live/listener",
        &[
            "emr",
            "app",
            "auth",
            "db",
            "http",
            "ws",
            "live::group",
            "live::view",
        ],
    ),
    (
        "live/group",
        &[
            "emr",
            "app",
            "auth",
            "config",
            "db",
            "http",
            "live::view",
            "live::listener",
        ],
    ),
    (
        "live/view",
        &[
            "emr",
            "app",
            "auth",
            "config",
            "http",
            "live::socket",
            "live::listener",
            "server",
        ],
    ),
    (
        "limits",
        &[
            "emr", "app", "auth", "config", "db", "error", "http", "live", "ws", "wire", "server",
        ],
    ),
    (
        "peer",
        &[
            "emr", "app", "auth", "config", "db", "error", "http", "limits", "live", "ws", "wire",
            "server",
        ],
    ),
    (
        "server",
        &["emr", "app", "auth", "db", "http", "live", "ws"],
    ),
    (
        "emr",
        &[
            "app", "auth", "http", "live", "ws", "wire", "server", "forms", "cli",
        ],
    ),
    (
        "uploads",
        &[
            "emr", "app", "auth", "http", "live", "ws", "wire", "server", "forms", "cli",
        ],
    ),
    ("cli", &["app", "http", "live", "ws", "server"]),
    (
        "supervisor",
        &[
            "emr", "auth", "config", "db", "live", "ws", "wire", "server", "forms", "cli",
        ],
    ),
];

#[test]
fn imports_follow_the_arrow() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, forbidden) in FORBIDDEN {
        let mut files = vec![source.join(format!("{module}.rs"))];
        collect(&source.join(module), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
            for name in forbidden.iter().filter(|name| names(&text, name)) {
                wrong.push(format!(
                    "{} uses {name}",
                    file.strip_prefix(&source).unwrap().display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
        source.join("db/embedded.rs"),
        source.join("auth/newcomer.rs"),
    ];
    collect(&source.join("db/embedded"), &mut files);
    // Binaries are nobody's who owns a data directory; the owner hands over what is open.
    let may = ["directory.rs", "binaries.rs"];
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
        "use crate::{\n    app::App,\n    db::{Client, sources},\n    live::group::Group,\n};";
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
