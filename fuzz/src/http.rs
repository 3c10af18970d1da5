//! Request heads, header values and paths: bytes that come before anything is known about their sender.

use wsh_server::config::limits::HEAD;
use wsh_server::config::{Authority, HostPattern, Origin, OriginPattern, Site};
use wsh_server::handlers::{Route, SUFFIX, decode_path};
use wsh_server::http::head::{self, Head};
use wsh_server::websocket::handshake::{
    accept_key, has_token, is_field_value, is_key, is_token, tokens,
};

use super::pieces::scheduled;

/// A request head: the same in pieces as at once, and what is taken for an upgrade has what an upgrade needs.
pub fn request_head(bytes: &[u8]) {
    let (mut pieces, bytes) = scheduled(bytes);
    let whole = read([bytes]);
    let cut = read(pieces.of(bytes));
    match (&whole, &cut) {
        (Ok(Some(whole)), Ok(Some(cut))) => assert_eq!(shown(whole), shown(cut)),
        // Whether it is refused before its end, and for which of several reasons, may depend on what has arrived.
        (Ok(None) | Err(_), Ok(None) | Err(_)) => {}
        _ => panic!("at once {whole:?}, in pieces {cut:?}"),
    }
    for status in [whole.as_ref().err(), cut.as_ref().err()]
        .into_iter()
        .flatten()
    {
        assert!(matches!(status, 400 | 414 | 431 | 505), "status {status}");
    }
    if let Ok(Some(head)) = whole {
        check(&head);
    }
}

/// As a connection reads it.
fn read<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Result<Option<Head>, u16> {
    let mut bytes = Vec::new();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        bytes.extend_from_slice(piece);
        let end = head::end(&bytes, piece.len(), &HEAD).map_err(|refusal| refusal.status)?;
        if let Some(length) = end {
            let head = Head::parse(bytes, length, &HEAD);
            return head.map(Some).map_err(|refusal| refusal.status);
        }
    }
    Ok(None)
}

fn shown(head: &Head) -> (&[u8], &str, String, Vec<(&str, String)>) {
    let fields = head.fields().collect();
    (head.raw(), head.method(), head.target(), fields)
}

fn check(head: &Head) {
    let raw = head.raw();
    assert!(raw.len() <= HEAD.bytes && raw.ends_with(b"\r\n\r\n"));
    let alone = |at: usize| raw[at] == b'\n' && (at == 0 || raw[at - 1] != b'\r');
    assert!(!(0..raw.len()).any(alone), "a bare line feed");
    for (name, value) in head.fields() {
        assert!(is_token(name), "the name {name:?}");
        assert!(!value.contains(['\r', '\n', '\0']), "the value {value:?}");
    }
    let checked = head.check().map_err(|refusal| refusal.status);
    assert!(matches!(checked, Ok(()) | Err(400 | 405)), "{checked:?}");
    let upgrade = head.check_upgrade().map_err(|refusal| refusal.status);
    assert!(
        matches!(upgrade, Ok(()) | Err(400 | 405 | 426)),
        "{upgrade:?}"
    );
    if upgrade.is_err() || checked.is_err() || !head.is_upgrade() {
        return;
    }
    // The same again from the text, line by line.
    let text = String::from_utf8_lossy(raw).into_owned();
    let mut lines = text.trim_start_matches("\r\n").split("\r\n");
    let line = lines.next().unwrap_or_default();
    assert!(
        line.starts_with("GET ") && line.ends_with(" HTTP/1.1"),
        "{line:?}"
    );
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let values = |name| {
        fields
            .iter()
            .filter(move |field| field.0 == name)
            .map(|field| field.1)
    };
    let has = |name, token: &str| {
        let mut items = values(name).flat_map(|value| value.split(','));
        items.any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    assert_eq!(values("host").count(), 1, "{fields:?}");
    assert_eq!(values("sec-websocket-key").count(), 1, "{fields:?}");
    assert_eq!(
        values("sec-websocket-version").collect::<Vec<_>>(),
        ["13"],
        "{fields:?}"
    );
    assert!(
        has("upgrade", "websocket") && has("connection", "upgrade"),
        "{fields:?}"
    );
    assert_eq!(values("transfer-encoding").count(), 0, "{fields:?}");
    assert!(
        values("content-length").all(|length| length == "0"),
        "{fields:?}"
    );
    assert_eq!(head.key().len(), 24);
    let protocols = head.protocols().unwrap_or_default();
    assert!(protocols.iter().all(|protocol| is_token(protocol)));
}

/// The values of an opening handshake's headers.
pub fn handshake(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let items: Vec<_> = tokens(&text).collect();
    assert!(
        items
            .iter()
            .all(|item| !item.is_empty() && !item.contains(','))
    );
    for item in &items {
        assert!(
            has_token(&text, &item.to_ascii_uppercase()),
            "{item:?} of {text:?}"
        );
    }
    assert_eq!(
        has_token(&text, "upgrade"),
        items
            .iter()
            .any(|item| item.eq_ignore_ascii_case("upgrade"))
    );
    if is_token(&text) {
        assert!(
            text.is_ascii()
                && !text
                    .contains(|c: char| c.is_whitespace() || c.is_control() || ",;=\"".contains(c))
        );
        assert_eq!(items, [&*text]);
    }
    if is_field_value(&text) {
        assert!(!text.contains(['\r', '\n', '\0']));
    }
    assert_eq!(
        is_key(&text),
        decodes_to(&text) == Some(16),
        "the key {text:?}"
    );
    assert!(is_key(&accept_key(bytes)[4..]) || accept_key(bytes).len() == 28);
}

/// How many bytes a base64 text stands for, whatever its unused bits are; `None` if it is none.
fn decodes_to(text: &str) -> Option<usize> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let is_whole = text.len().is_multiple_of(4) && padding < 3;
    (is_whole && digits.chars().all(|digit| DIGITS.contains(digit))).then(|| digits.len() * 6 / 8)
}

/// A request's path, and a file's name.
pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(path) = decode_path(&text) {
        assert!(!path.contains(['\0', '\\', '\r', '\n']) && !path.starts_with("//"));
        assert!(
            path.split('/').all(|part| part != "." && part != ".."),
            "{path:?}"
        );
        let slashes = |text: &str| text.matches('/').count();
        assert_eq!(
            slashes(&path),
            slashes(&text),
            "no slash comes out of an encoded one"
        );
    }
    let file = text.trim_start_matches('/').to_owned() + SUFFIX;
    for route in Route::of_file(&file) {
        let shown = route.to_string();
        assert!(shown.starts_with('/'), "{file:?} is {shown:?}");
        assert!(
            route.matches(&shown).is_some(),
            "{file:?} does not answer {shown:?}"
        );
        if let Some(literal) = route.as_literal() {
            assert_eq!(literal, shown);
        }
        let _ = route.matches(&text);
    }
}

/// What says where a request comes from and goes to, and the patterns of who is let in.
pub fn origin(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (origin, host) = text.split_once('\n').unwrap_or((&text, &text));
    let authority = host.parse::<Authority>();
    if let Ok(authority) = &authority {
        assert!(!host.contains(['/', '@', ' ', ',', '\r', '\0']), "{host:?}");
        if let Ok(pattern) = host.parse::<HostPattern>() {
            assert!(pattern.has(authority, 80), "{host:?} is itself");
        }
    }
    if let Ok(origin) = origin.parse::<Origin>() {
        let any = "*".parse::<OriginPattern>().expect("a pattern");
        assert!(any.has(&origin, None));
        let own = authority.ok().map(|own| Site::of_request(&own, false));
        let same = "same".parse::<OriginPattern>().expect("a pattern");
        if same.has(&origin, own.as_ref()) {
            assert!(own.is_some(), "same as nothing");
        }
    }
    if let Ok(pattern) = origin.parse::<OriginPattern>()
        && let Ok(parsed) = origin.parse::<Origin>()
    {
        assert!(pattern.has(&parsed, None), "{origin:?} is itself");
    }
}
