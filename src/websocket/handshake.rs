//! The opening handshake's rules over header values: RFC 6455 section 4.2. What needs HTTP around
//! it is in `http`.

pub use tungstenite::handshake::derive_accept_key as accept_key;

/// Whether a comma-separated header value has this token, ignoring case (RFC 9110 section 5.6.1).
pub fn has_token(value: &str, token: &str) -> bool {
    tokens(value).any(|item| item.eq_ignore_ascii_case(token))
}

/// The items of a comma-separated header value, without the empty ones that the list rule allows.
pub fn tokens(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(|item| item.trim_matches([' ', '\t']))
        .filter(|item| !item.is_empty())
}

/// Whether this is a token of RFC 9110 section 5.6.2: header names, subprotocols.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// What a quoted string says that `text` begins with, and what is behind it; `None` if it has no
/// end. RFC 9110 section 5.6.4.
pub fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut said = String::new();
    let mut characters = inner.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((said, &inner[at + 1..])),
            (_, '\\') => said.push(characters.next()?.1),
            (_, character) => said.push(character),
        }
    }
}

/// Whether this may be a header's value: visible characters, spaces and tabs, and so no line break.
pub fn is_field_value(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F))
}

/// Whether a `Sec-WebSocket-Key` is 16 bytes in base64: 22 characters and two signs of padding.
///
/// Bits that the padding leaves over are not looked at: the key of RFC 6455 section 4.1 itself has
/// some.
pub fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else {
        return false;
    };
    digits.len() == 22
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for key in ["dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC=="] {
            assert!(is_key(key), "{key}");
        }
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "dGhlIHNhbXBsZSBub25*ZQ==",
        ] {
            assert!(!is_key(key), "{key}");
        }
    }

    #[test]
    fn quoted_strings_end_at_their_quote() {
        for (text, said) in [
            (r#""a b";c"#, Some(("a b", ";c"))),
            (r#""a\"\\b""#, Some((r#"a"\b"#, ""))),
            (r#""""#, Some(("", ""))),
            (r#""a"#, None),
            (r#""a\"#, None),
            ("a", None),
        ] {
            let found = quoted(text);
            let found = found.as_ref().map(|(said, rest)| (said.as_str(), *rest));
            assert_eq!(found, said, "{text}");
        }
    }

    #[test]
    fn tokens_are_split_at_commas_only() {
        assert!(has_token("keep-alive, \tUpgrade", "upgrade"));
        assert!(!has_token("foo Upgrade", "upgrade"));
        assert_eq!(tokens(",a,, b").collect::<Vec<_>>(), ["a", "b"]);
    }
}
