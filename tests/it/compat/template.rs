//! The values of a run by name, and `{{name}}` in a step replaced by them.
//! It knows neither HTTP nor sockets.

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Fallible;

/// Names and values of one case, in the order in which they became known.
#[derive(Debug, Default)]
pub(crate) struct Vars(Vec<(String, String)>);

impl Vars {
    /// What every case knows: the days around now in Paris and two values that no other case has.
    pub(crate) fn new() -> Self {
        let today = Zoned::now().with_time_zone(paris()).date();
        let mut vars = Self::default();
        vars.set("today", today.to_string());
        vars.set(
            "yesterday",
            today
                .yesterday()
                .expect("not the first day of time")
                .to_string(),
        );
        vars.set(
            "tomorrow",
            today
                .tomorrow()
                .expect("not the last day of time")
                .to_string(),
        );
        vars.set("uniq", letters(8));
        vars.set(
            "uniqnum",
            format!("9{:011}", rand::random::<u64>() % 100_000_000_000),
        );
        vars
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The text with every `{{name}}` replaced.
    pub(crate) fn fill(&self, text: &str) -> Fallible<String> {
        self.replace(text, str::to_owned)
    }

    /// JSON source with every `{{name}}` inside its strings replaced.
    pub(crate) fn fill_json(&self, source: &RawValue) -> Fallible<String> {
        self.replace(source.get(), |value| {
            let quoted = Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        })
    }

    fn replace(&self, text: &str, write: impl Fn(&str) -> String) -> Fallible<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let inner = &rest[open + 2..];
            let end = inner.find(['{', '}']).unwrap_or(inner.len());
            if end > 0 && inner[end..].starts_with("}}") {
                let name = &inner[..end];
                let value = self
                    .get(name)
                    .ok_or_else(|| format!("unknown template variable {name}"))?;
                filled.push_str(&rest[..open]);
                filled.push_str(&write(value));
                rest = &inner[end + 2..];
            } else {
                filled.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// The time zone in which the reference ran.
pub(crate) fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").expect("the zone is bundled")
}

/// That many random lower-case letters.
pub(crate) fn letters(count: usize) -> String {
    (0..count)
        .map(|_| char::from(b'a' + rand::random::<u8>() % 26))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_values() {
        let mut vars = Vars::default();
        vars.set("id:s1", "7\"".into());
        assert_eq!(vars.fill("a{{id:s1}}b{{id:s1}}").unwrap(), "a7\"b7\"");
        assert_eq!(vars.fill("{{{id:s1}}} {{}} {{").unwrap(), "{7\"} {{}} {{");
        assert!(vars.fill("{{nobody}}").is_err());
        let source = RawValue::from_string(r#"{"a":{"b":"{{id:s1}}"}}"#.into()).unwrap();
        assert_eq!(vars.fill_json(&source).unwrap(), r#"{"a":{"b":"7\""}}"#);
    }
}
