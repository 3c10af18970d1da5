//! The names most like one, and lists of them in words.

use std::cmp::Reverse;

/// Bytes of a name that is compared with others; a peer's message as a name would take for ever.
const LONGEST: usize = 64;

/// The names most like one: the same but for `_` and case, a few letters away, or one the beginning
/// of the other.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let bare = |name: &str| {
        name.rsplit("::")
            .next()
            .unwrap_or(name)
            .replace('_', "")
            .to_lowercase()
    };
    if name.len() > LONGEST {
        return Vec::new();
    }
    let wanted = bare(name);
    let far = wanted.chars().count() / 3;
    let likeness = |known: &str| {
        let known = bare(known);
        let steps = strsim::osa_distance(&wanted, &known);
        let begins = known.len() >= 3 && wanted.starts_with(&known)
            || wanted.len() >= 3 && known.starts_with(&wanted);
        match steps {
            0 => Some(0),
            steps if steps <= far.max(1) && wanted.len() > 1 => Some(steps),
            _ if begins => Some(far + 2),
            _ => None,
        }
    };
    let mut found: Vec<_> = known
        .into_iter()
        .filter_map(|known| Some((likeness(known)?, known)))
        .collect();
    found.sort_by_key(|(steps, known)| (*steps, Reverse(known.len()), *known));
    found.dedup();
    let best = found.first().map(|(steps, _)| *steps);
    let alike = found
        .into_iter()
        .take_while(|(steps, _)| Some(*steps) == best);
    alike.take(2).map(|(_, name)| name.to_owned()).collect()
}

/// A question with these names in it, if there are any.
pub fn did_you_mean(names: Vec<String>) -> Option<String> {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    (!quoted.is_empty()).then(|| format!("did you mean {}?", one_of(&quoted)))
}

/// Items as a sentence lists them.
pub fn one_of(items: &[String]) -> String {
    match items {
        [front @ .., last] if !front.is_empty() => format!("{} or {last}", front.join(", ")),
        items => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_near_or_are_not_named() {
        let known = [
            "send",
            "send_json",
            "close",
            "len",
            "starts_with",
            "header",
            "headers",
            "x",
        ];
        for (name, near) in [
            ("sned", &["send"][..]),
            ("length", &["len"]),
            ("startsWith", &["starts_with"]),
            ("heaers", &["headers"]),
            ("greet", &[]),
            ("y", &[]),
        ] {
            assert_eq!(nearest(name, known), near, "{name}");
        }
    }
}
