//! A head from parts that somebody else has taken from the wire, as other versions of HTTP bring
//! them.

use std::ops::Range;

use http::Version;
use http::request::Parts;

use super::{Form, Head, bounds};
use crate::config::limits;
use crate::http::respond::Refusal;

impl Head {
    /// The head that HTTP/1.1 would write for these parts, with the bounds of one that came so.
    pub fn from_parts(parts: &Parts, limits: &limits::Head) -> Result<Self, Refusal> {
        let version = match parts.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_11 => "HTTP/1.1",
            _ => return Err(bounds::other_version()),
        };
        let mut bytes = Vec::with_capacity(512);
        let mut write = |part: &[u8]| -> Range<usize> {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            start..bytes.len()
        };
        let method = write(parts.method.as_str().as_bytes());
        write(b" ");
        let uri = parts.uri.to_string();
        let target = write(uri.as_bytes());
        let form = Form::of(&uri, target.start);
        write(b" ");
        write(version.as_bytes());
        let line_end = write(b"\r\n").end - 1;
        let mut fields = Vec::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            let name = write(name.as_str().as_bytes());
            write(b": ");
            let value = value.as_bytes();
            let Range { start, end } = write(value);
            // As in bytes, the spaces around it are none of the value.
            let (before, after) = (value.trim_ascii_start(), value.trim_ascii_end());
            let start = start + (value.len() - before.len());
            let end = end - (value.len() - after.len());
            fields.push((name, start..end.max(start)));
            write(b"\r\n");
        }
        let length = write(b"\r\n").end;
        bounds::check_line(line_end, limits)?;
        bounds::check_size(length, limits)?;
        if fields.len() > limits.headers {
            return Err(bounds::too_many(limits));
        }
        let lengths = fields.iter().map(|(name, value)| value.end - name.start);
        bounds::check_fields(lengths, limits)?;
        Ok(Self {
            bytes,
            length,
            method,
            target,
            form,
            version: parts.version,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;
    use http::Request;

    use super::*;
    use crate::http::head::end;

    /// Bounds that made-up heads meet now and then.
    const LIMITS: limits::Head = limits::Head {
        bytes: 400,
        line: 120,
        headers: 12,
        ..limits::HEAD
    };

    const TARGETS: [&str; 9] = [
        "/",
        "/chat",
        "/a?b=c",
        "/%41//b?",
        "*",
        "ws://a/",
        "WSS://A:1/b?c",
        "ftp://a/b",
        "a:1",
    ];
    const METHODS: [&str; 5] = ["GET", "HEAD", "OPTIONS", "CONNECT", "POST"];
    const OTHER_VERSIONS: [(Version, &str); 3] = [
        (Version::HTTP_10, "HTTP/1.0"),
        (Version::HTTP_09, "HTTP/0.9"),
        (Version::HTTP_2, "HTTP/2.0"),
    ];
    const HANDSHAKE: [(&str, &str); 5] = [
        ("Host", "a"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
    ];
    const OTHERS: [(&str, &str); 18] = [
        ("Host", "b"),
        ("Host", "not a host"),
        ("host", ""),
        ("Connection", "keep-alive, close"),
        ("Content-Length", "0"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Sec-WebSocket-Version", "8"),
        ("Sec-WebSocket-Key", "short"),
        ("Sec-WebSocket-Protocol", "one, two"),
        ("Sec-WebSocket-Protocol", "two"),
        ("Sec-WebSocket-Protocol", "(no token)"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Extensions", "=;="),
        ("Expect", "100-continue"),
        ("X-Spaces", "\t two words  "),
        ("X-Bytes", "é\u{FF}"),
        ("X-Empty", "  "),
    ];

    /// The pieces of a head: mostly of a handshake, now and then with something wrong.
    #[derive(Debug)]
    struct MadeUp {
        method: &'static str,
        target: String,
        version: (Version, &'static str),
        fields: Vec<(&'static str, String)>,
    }

    impl MadeUp {
        fn new(random: &mut Rng) -> Self {
            let fields = HANDSHAKE.iter().filter(|_| random.u8(..20) > 0);
            let mut fields: Vec<_> = fields.map(|(n, v)| (*n, (*v).to_owned())).collect();
            for _ in 0..random.usize(..3) {
                let (name, value) = OTHERS[random.usize(..OTHERS.len())];
                let times = if random.u8(..8) == 0 { 8 } else { 1 };
                fields.extend((0..times).map(|_| (name, value.to_owned())));
            }
            if random.u8(..8) == 0 {
                fields.push(("X-Long", "x".repeat(random.usize(90..130))));
            }
            random.shuffle(&mut fields);
            let mut target = TARGETS[random.usize(..TARGETS.len())].to_owned();
            if random.u8(..16) == 0 {
                target = format!("/{}", "x".repeat(random.usize(90..120)));
            }
            Self {
                method: METHODS[random
                    .usize(..4 * METHODS.len())
                    .saturating_sub(3 * METHODS.len())],
                target,
                version: match random.usize(..24) {
                    other @ 0..3 => OTHER_VERSIONS[other],
                    _ => (Version::HTTP_11, "HTTP/1.1"),
                },
                fields,
            }
        }

        fn as_bytes(&self) -> Result<Head, Refusal> {
            let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version.1);
            for (name, value) in &self.fields {
                head += &format!("{name}: {value}\r\n");
            }
            let bytes = (head + "\r\n").into_bytes();
            let length = end(&bytes, bytes.len(), &LIMITS)?.expect("a whole head");
            Head::parse(bytes, length, &LIMITS)
        }

        fn as_parts(&self) -> Result<Head, Refusal> {
            let request = Request::builder().method(self.method).uri(&self.target);
            let mut request = request.version(self.version.0);
            for (name, value) in &self.fields {
                request = request.header(*name, value.as_bytes());
            }
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            Head::from_parts(&parts, &LIMITS)
        }
    }

    /// All that others learn from a head. Parts have no order between fields of different names,
    /// and spell names their own way.
    fn seen(head: &Head) -> String {
        let fields = head
            .fields()
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let mut fields: Vec<_> = fields.collect();
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        format!(
            "{:#?}",
            (
                (
                    head.method(),
                    head.path(),
                    head.query(),
                    head.target(),
                    head.host()
                ),
                (
                    head.is_for_server(),
                    head.is_current(),
                    head.is_upgrade(),
                    head.leaves_open()
                ),
                (
                    fields,
                    head.key(),
                    head.extensions(),
                    head.protocols(),
                    head.rest()
                ),
                (head.check(), head.check_scheme(false), head.check_upgrade()),
                head.raw().len(),
            )
        )
    }

    #[test]
    fn parts_and_bytes_make_the_same_head_and_the_same_refusals() {
        let mut random = Rng::with_seed(6455);
        let (mut upgrades, mut statuses) = (0, BTreeSet::new());
        for _ in 0..20_000 {
            let made_up = MadeUp::new(&mut random);
            match (made_up.as_bytes(), made_up.as_parts()) {
                (Ok(bytes), Ok(parts)) => {
                    assert_eq!(seen(&bytes), seen(&parts), "{made_up:?}");
                    let checked = bytes.check().and_then(|()| bytes.check_upgrade());
                    upgrades += u32::from(checked.is_ok());
                    statuses.extend(checked.err().map(|refusal| refusal.status));
                }
                (Err(bytes), Err(parts)) => {
                    assert_eq!(bytes, parts, "{made_up:?}");
                    statuses.insert(bytes.status);
                }
                (bytes, parts) => panic!("{made_up:?}: {bytes:?}, {parts:?}"),
            }
        }
        assert!(upgrades > 500, "{upgrades} of them are handshakes");
        assert_eq!(statuses, [400, 405, 414, 426, 431, 505].into());
    }
}
