//! Characters that no script has outside its texts: what each is, and what is written instead.

/// A character as a report names it: those that cannot be seen by their code.
pub fn named(c: char) -> String {
    match invisible(c) {
        Some("") => format!("invisible character {}", code(c)),
        Some(name) => format!("invisible character {} ({name})", code(c)),
        None if c.is_control() => format!("control character {}", code(c)),
        None => format!("`{c}`"),
    }
}

/// Returns the hint for a character that a script cannot have.
pub fn advice(c: char) -> Option<String> {
    if c == IDEOGRAPHIC_SPACE {
        return Some("this is the full-width space; write an ordinary one".to_owned());
    }
    if is_space(c) {
        return Some("it looks like a space and is none; write an ordinary one".to_owned());
    }
    if invisible(c).is_some() || c.is_control() {
        return Some("delete it: the line may have to be typed anew".to_owned());
    }
    if let Some(ascii) = half_width(c) {
        return Some(format!("this is the full-width {c}; write {ascii}"));
    }
    if let Some((kind, _, ours)) = TYPOGRAPHIC.iter().find(|(_, signs, _)| signs.contains(c)) {
        return Some(format!("this is {kind} {c}; write {ours}"));
    }
    if let Some((script, latin)) = look_alike(c) {
        return Some(format!(
            "this is the {script} {c}, which looks like {latin}; write {latin}"
        ));
    }
    let hint = "names have the letters a to z, digits and `_`; texts may have any";
    (!c.is_ascii()).then(|| hint.to_owned())
}

/// Returns the hint for the first character of a word that no script has.
pub fn advice_for(word: &str) -> Option<String> {
    advice(word.chars().find(|c| !c.is_ascii())?)
}

/// Whether a character is one that keyboards of other languages give for this quotation mark.
pub fn is_quote(c: char, quote: char) -> bool {
    let mut alike = TYPOGRAPHIC.iter().filter(|(_, signs, _)| signs.contains(c));
    half_width(c) == Some(quote) || alike.any(|(_, _, ours)| ours.starts_with(quote))
}

/// A line as it may be shown: what cannot be seen has a sign in its place.
pub fn visible(line: &str) -> String {
    let shown = |c| {
        if invisible(c).is_some() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    line.chars().map(shown).collect()
}

const IDEOGRAPHIC_SPACE: char = '\u{3000}';

fn code(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_ascii()
}

/// The name of a character that nobody sees, as far as it has a short one.
fn invisible(c: char) -> Option<&'static str> {
    Some(match c {
        IDEOGRAPHIC_SPACE => "full-width space",
        '\u{a0}' | '\u{202f}' => "no-break space",
        '\u{2028}' => "line separator",
        '\u{2029}' => "paragraph separator",
        c if is_space(c) && !c.is_control() => "a space",
        '\u{ad}' => "soft hyphen",
        '\u{200b}' => "zero-width space",
        '\u{200c}' => "zero-width non-joiner",
        '\u{200d}' => "zero-width joiner",
        '\u{2060}' => "word joiner",
        '\u{feff}' => "byte order mark",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "mark of the writing direction"
        }
        '\u{fe00}'..='\u{fe0f}' => "variation selector",
        '\u{2061}'..='\u{2064}'
        | '\u{206a}'..='\u{206f}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{e0fff}' => "",
        _ => return None,
    })
}

/// Returns the ASCII character for a full-width one, which Chinese and Japanese keyboards give:
/// Unicode has them in the order of ASCII.
fn half_width(c: char) -> Option<char> {
    ('\u{ff01}'..='\u{ff5e}')
        .contains(&c)
        .then(|| char::from_u32(u32::from(c) - 0xfee0))?
}

/// Signs of other keyboards and of word processors: what they are called, and what a script has
/// instead.
const TYPOGRAPHIC: &[(&str, &str, &str)] = &[
    ("the quotation mark", "“”„‟〝〞「」『』«»", "\""),
    ("the quotation mark", "‘’‚‛", "' or \""),
    ("the full-width", "。｡", "."),
    ("the full-width", "、", ","),
    ("the bracket", "【】〔〕〖〗", "[ or ]"),
    ("the bracket", "《》〈〉‹›", "< or >"),
    ("the dash", "–—−‐‑‒―", "-"),
    ("the sign", "×", "*"),
    ("the sign", "÷", "/"),
    ("the sign", "≠", "!="),
    ("the sign", "≤", "<="),
    ("the sign", "≥", ">="),
    ("the sign", "￥¥", "$"),
    ("the sign", "·´", "`"),
    ("the sign", "…", ".."),
    ("the sign", "→⇒", "=>"),
    ("the sign", "¬", "!"),
];

/// Letters of other alphabets that look like ours, each at the place of ours.
const LOOK_ALIKES: &[(&str, &str, &str)] = &[
    (
        "Cyrillic",
        "аеорсухіјѕһԁԛԝАВЕКМНОРСТХУІЈЅ",
        "aeopcyxijshdqwABEKMHOPCTXYIJS",
    ),
    ("Greek", "ονρικυαΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ovpikuaABEZHIKMNOPTYX"),
];

fn look_alike(c: char) -> Option<(&'static str, char)> {
    LOOK_ALIKES.iter().find_map(|(script, theirs, ours)| {
        let at = theirs.chars().position(|letter| letter == c)?;
        Some((*script, ours.chars().nth(at)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_outside_ascii_can_be_told_of() {
        for (c, hint) in [
            ('（', "this is the full-width （; write ("),
            ('；', "this is the full-width ；; write ;"),
            ('＂', "this is the full-width ＂; write \""),
            ('“', "this is the quotation mark “; write \""),
            ('。', "this is the full-width 。; write ."),
            ('е', "this is the Cyrillic е, which looks like e; write e"),
            (
                '\u{3000}',
                "this is the full-width space; write an ordinary one",
            ),
        ] {
            assert_eq!(advice(c).as_deref(), Some(hint));
        }
        for (_, theirs, ours) in LOOK_ALIKES {
            assert_eq!(theirs.chars().count(), ours.chars().count(), "{theirs}");
        }
        assert_eq!(
            named('\u{200b}'),
            "invisible character U+200B (zero-width space)"
        );
        assert_eq!(named('\0'), "control character U+0000");
        assert_eq!(visible("a\u{200b}b\u{202e}"), "a\u{fffd}b\u{fffd}");
        for c in '\0'..='\u{ffff}' {
            let name = named(c);
            assert!(
                name.chars()
                    .all(|c| invisible(c).is_none() && !c.is_control()),
                "{name:?}"
            );
        }
    }
}
