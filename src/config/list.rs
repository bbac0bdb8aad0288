//! Settings that are lists: values with commas, white space or both between them. A comma too many
//! is no value.

use std::str::FromStr;

/// The values of one flag or variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(Vec<T>);

impl<T> List<T> {
    /// The values of a flag that was given several times.
    pub fn join(lists: Vec<Self>) -> Vec<T> {
        lists.into_iter().flat_map(|list| list.0).collect()
    }

    /// As [`join`](Self::join), but leaves them where they are.
    pub fn values(lists: &[Self]) -> impl Iterator<Item = &T> {
        lists.iter().flat_map(|list| &list.0)
    }
}

impl<T: FromStr<Err = String>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|value| !value.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Network;

    #[test]
    fn blanks_new_lines_and_surplus_commas_separate_and_name_nothing() {
        for text in [
            "::1,127.0.0.1",
            "::1, 127.0.0.1",
            " ::1 127.0.0.1 ",
            "::1,\n127.0.0.1,\n",
            ",,::1,,127.0.0.1,",
        ] {
            let list: List<Network> = text.parse().unwrap();
            let expected = ["::1", "127.0.0.1"].map(|network| network.parse().unwrap());
            assert_eq!(List::join(vec![list]), expected, "{text:?}");
        }
        for nothing in ["", " ", ","] {
            assert_eq!(
                nothing.parse(),
                Ok(List::<Network>(Vec::new())),
                "{nothing:?}"
            );
        }
        assert!("::1,nowhere".parse::<List<Network>>().is_err());
    }
}
