//! The console's files, embedded: what people see who open the server in a browser. Knows neither
//! HTTP nor what the files show.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file of the console.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Below the folder of this build's files.
    pub name: &'static str,
    /// What it is, as `content-type` has it.
    pub kind: &'static str,
    /// What is in it.
    pub text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal $kind:expr),* $(,)?) => {
        &[$(File { name: $name, kind: $kind, text: include_str!(concat!("console/", $name)) }),*]
    };
}

/// All but the page itself.
pub const FILES: &[File] = files![
    "style.css" "text/css; charset=utf-8",
    "docs.css" "text/css; charset=utf-8",
    "icon.svg" "image/svg+xml",
    "main.js" SCRIPT,
    "actions.js" SCRIPT,
    "activity.js" SCRIPT,
    "api.js" SCRIPT,
    "boundary.js" SCRIPT,
    "chart.js" SCRIPT,
    "dialog.js" SCRIPT,
    "docs.js" SCRIPT,
    "enter.js" SCRIPT,
    "fields.js" SCRIPT,
    "filters.js" SCRIPT,
    "form.js" SCRIPT,
    "health.js" SCRIPT,
    "link.js" SCRIPT,
    "live.js" SCRIPT,
    "pipeline.js" SCRIPT,
    "print.js" SCRIPT,
    "session.js" SCRIPT,
    "source.js" SCRIPT,
    "sources.js" SCRIPT,
    "state.js" SCRIPT,
    "status.js" SCRIPT,
    "table.js" SCRIPT,
    "text.js" SCRIPT,
    "tiles.js" SCRIPT,
    "toasts.js" SCRIPT,
    "ui.js" SCRIPT,
    "users.js" SCRIPT,
    "vendor/preact.js" SCRIPT,
    "vendor/hooks.js" SCRIPT,
    "vendor/htm.js" SCRIPT,
];

/// A name for what is in all the files together. They are found below it, so that a browser may keep
/// them for ever and yet never mixes those of two builds.
pub static BUILD: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for file in FILES {
        digest.update(file.name);
        digest.update([0]);
        digest.update(file.text);
        digest.update([0]);
    }
    let digest = digest.finalize();
    let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
});

/// The script of the page that shows what is written about the API.
const DOCS: &str = "docs.js";

/// That page.
pub static DOCS_PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("console/docs.html").replace("{build}", &BUILD));

/// The page. It names the files of this build, all scripts among them: a browser that has to read one
/// to hear of the next fetches them one after the other.
pub static PAGE: LazyLock<String> = LazyLock::new(|| {
    let scripts = FILES
        .iter()
        .filter(|file| file.kind == SCRIPT && file.name != DOCS);
    let modules: Vec<String> = scripts
        .map(|file| {
            let name = file.name;
            format!("<link rel=\"modulepreload\" href=\"/console/{{build}}/{name}\">")
        })
        .collect();
    include_str!("console/index.html")
        .replace("{modules}", &modules.join("\n"))
        .replace("{build}", &BUILD)
});

/// The same page where visitors may not register.
pub static PAGE_WITHOUT_REGISTRATION: LazyLock<String> =
    LazyLock::new(|| PAGE.replace("<body>", "<body data-registration=\"closed\">"));

/// The file of this name of this build.
pub fn file(build: &str, name: &str) -> Option<&'static File> {
    if build != *BUILD {
        return None;
    }
    FILES.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_and_what_they_import_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
        let mut stored = BTreeSet::new();
        for folder in ["", "vendor/"] {
            for entry in fs::read_dir(root.join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if [".js", ".css", ".svg"]
                    .iter()
                    .any(|end| name.ends_with(end))
                {
                    stored.insert(format!("{folder}{name}"));
                }
            }
        }
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, stored);
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            for import in file.text.split("from \"").skip(1) {
                let path = import.split('"').next().unwrap().trim_start_matches("./");
                assert!(served.contains(path), "{} imports {path}", file.name);
            }
        }
        for name in PAGE.split(&format!("/console/{}/", *BUILD)).skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(served.contains(name), "the page names {name}");
        }
    }

    #[test]
    fn files_of_another_build_are_not_there() {
        assert!(file(&BUILD, "main.js").is_some());
        assert!(file("0000000000000000", "main.js").is_none());
        assert!(file(&BUILD, "../main.js").is_none());
    }
}
