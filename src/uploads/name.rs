//! Names that people give their files, made harmless: for a path, a header, a page and a shell alike.

/// Longest name, in characters.
const LONGEST: usize = 100;

/// Letters, digits, `_`, `-` and `.` of the last part of a path; spaces become `_`.
pub(super) fn clean(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last
        .trim()
        .chars()
        .map(|c| if c.is_whitespace() { '_' } else { c })
        .filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .collect();
    // Neither hidden nor a way up.
    let name = kept.trim_matches('.');
    if name.is_empty() {
        return "file".into();
    }
    shortened(name)
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
    fn names_lose_what_does_harm() {
        for (sent, name) in [
            ("data 2024.csv", "data_2024.csv"),
            ("Übersicht-été.xlsx", "Übersicht-été.xlsx"),
            ("../../etc/passwd", "passwd"),
            ("C:\\data\\up.csv", "up.csv"),
            ("..", "file"),
            ("", "file"),
            (".htaccess", "htaccess"),
            ("a\u{202e}vsc.exe", "avsc.exe"),
            ("a\r\nSet-Cookie: x=1.csv", "a__Set-Cookie_x1.csv"),
            ("\"><script>.html", "script.html"),
            ("%2e%2e%2fa?b#c", "2e2e2fabc"),
        ] {
            assert_eq!(clean(sent), name, "{sent:?}");
        }
        let long = clean(&format!("{}.parquet", "x".repeat(300)));
        assert_eq!(long.len(), LONGEST);
        assert!(long.ends_with("x.parquet"), "{long}");
    }

    proptest! {
        #[test]
        fn no_name_is_a_path(sent in any::<String>()) {
            let name = clean(&sent);
            prop_assert!(!name.is_empty() && name.chars().count() <= LONGEST);
            prop_assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0', '"', '%']));
        }
    }
}
