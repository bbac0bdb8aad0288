//! Names that people give their files, made harmless. Each file has two: the one that it gets when
//! somebody saves it, which is theirs as far as possible, and one for paths, pages and shells alike.

/// Longest name, in characters.
const LONGEST: usize = 150;
/// What a file is called whose name has nothing to it.
const NAMELESS: &str = "file";

/// The last part of a path, without signs that cannot be seen or that turn the direction of writing.
pub(super) fn harmless(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let spaced = last.chars().map(|c| if c == '\t' { ' ' } else { c });
    let kept: String = spaced.filter(|c| !is_invisible(*c)).collect();
    let name = kept.trim();
    if name.chars().all(|c| c == '.' || c.is_whitespace()) {
        NAMELESS.into()
    } else {
        shortened(name)
    }
}

/// Letters with their accents, digits, `_`, `-` and `.` of a harmless name; spaces become `_`.
pub(super) fn fit_for_paths(name: &str) -> String {
    let kept: String = name
        .chars()
        .map(|c| if c.is_whitespace() { '_' } else { c })
        .filter(|c| c.is_alphanumeric() || is_accent(*c) || matches!(c, '_' | '-' | '.'))
        .collect();
    // Neither hidden nor a way up.
    match kept.trim_matches('.') {
        "" => NAMELESS.into(),
        name => name.into(),
    }
}

/// Whether a sign has no width, or is a control or format character (Unicode's Cc, Cf, Zl and Zp).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{feff}'
            | '\u{600}'..='\u{605}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A sign that belongs to the letter before it, as macOS writes accents.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}')
}

/// The end of a name says what it is.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_owned();
    }
    let ending = match name.rsplit_once('.') {
        Some((_, ending)) if ending.chars().count() <= 10 => format!(".{ending}"),
        _ => String::new(),
    };
    let stem = LONGEST - ending.chars().count();
    name.chars().take(stem).chain(ending.chars()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lose_what_does_harm_and_nothing_else() {
        for (sent, saved, path) in [
            ("data 2024.csv", "data 2024.csv", "data_2024.csv"),
            (
                "Übersicht-été.xlsx",
                "Übersicht-été.xlsx",
                "Übersicht-été.xlsx",
            ),
            (
                "e\u{301}te\u{301}",
                "e\u{301}te\u{301}",
                "e\u{301}te\u{301}",
            ),
            ("売上.csv", "売上.csv", "売上.csv"),
            ("../../etc/passwd", "passwd", "passwd"),
            ("C:\\data\\up.csv", "up.csv", "up.csv"),
            ("..", "file", "file"),
            (" . ", "file", "file"),
            ("dir/", "file", "file"),
            ("", "file", "file"),
            ("\u{202e}", "file", "file"),
            ("???", "???", "file"),
            (".htaccess", ".htaccess", "htaccess"),
            ("a\u{202e}vsc.exe", "avsc.exe", "avsc.exe"),
            ("a\u{0}\u{7}\u{85}b", "ab", "ab"),
            ("a\tb", "a b", "a_b"),
            (
                "a\r\nSet-Cookie: x=1.csv",
                "aSet-Cookie: x=1.csv",
                "aSet-Cookie_x1.csv",
            ),
            ("say \"yes\".csv", "say \"yes\".csv", "say_yes.csv"),
            ("\"><script>.html", "\"><script>.html", "script.html"),
            ("100%?b#c", "100%?b#c", "100bc"),
        ] {
            let harmless = harmless(sent);
            assert_eq!(harmless, saved, "{sent:?}");
            assert_eq!(fit_for_paths(&harmless), path, "{sent:?}");
        }
        let long = harmless(&format!("{}.parquet", "é".repeat(300)));
        assert_eq!(long.chars().count(), LONGEST);
        assert!(long.ends_with("é.parquet"), "{long}");
    }

    proptest! {
        #[test]
        fn no_name_is_a_path(sent in any::<String>()) {
            let saved = harmless(&sent);
            prop_assert!(!saved.is_empty() && saved.chars().count() <= LONGEST);
            prop_assert!(!saved.contains(['/', '\\', '\0', '\r', '\n']) && saved != "..");
            let name = fit_for_paths(&saved);
            prop_assert!(!name.is_empty() && name.chars().count() <= LONGEST);
            prop_assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0', '"', '%']));
        }
    }
}
