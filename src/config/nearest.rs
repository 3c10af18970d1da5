//! The name that was probably meant, for whoever wrote one that there is not.

/// Likeness, after Jaro and Winkler, from which one name may be a slip for the other.
const ALIKE: f64 = 0.8;

/// The one of `names` that is most like `word`, if any is. Case, and what joins words, make no
/// difference.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let word = plain(word);
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&plain(name), &word), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_name_and_other_words_none() {
        let names = ["info", "debug", "trace", "max-message", "log-file"];
        for (word, meant) in [
            ("inof", Some("info")),
            ("Debgu", Some("debug")),
            ("max_mesage", Some("max-message")),
            ("config", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }
}
