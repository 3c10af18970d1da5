//! Bytes as text and back: base64, hex, URLs, UTF-8; digests; packed numbers; deflate.

use ctutils::CtEq;
use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE,
};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use rhai::{Array, Blob, Dynamic, EvalAltResult};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::bounded::bounds::over;
use super::{deflate, pack};
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::meter::{self, PIECE};
use crate::machine::types;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Functions on bytes.
pub const PACKAGE: Package = Package {
    name: "encoding",
    about: "Bytes are a blob, as binary messages are; where a string is taken as well, they are \
        its UTF-8. Anything else throws `type`.",
    functions: &[
        Function {
            signatures: &["base64(data: blob | string) -> string"],
            about: "Bytes as base64 (RFC 4648), with padding.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send(base64(message)); // => aGVsbG8=",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine.register_fn("base64", move |data: &mut Dynamic| {
                    bytes(data, |data| encode("base64", &BASE64, data, most))
                });
            },
        },
        Function {
            signatures: &["base64_decode(text: string) -> blob"],
            about: "The bytes of base64, with or without padding.",
            throws: &[(
                "base64",
                "for what is no base64: spaces and line breaks, too",
            )],
            allowed: Allowed::Everywhere,
            example: "ws.send(base64_decode(\"aGVsbG8=\").as_string()); // => hello",
            register: |engine, _| {
                engine.register_fn("base64_decode", |text: &str| {
                    decode("base64", [&BASE64, &BASE64_NOPAD], text)
                });
            },
        },
        Function {
            signatures: &["base64_url(data: blob | string) -> string"],
            about: "Bytes as base64 for URLs and tokens: with `-` and `_`, and without padding.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send(base64_url(\"hello?>\")); // => aGVsbG8_Pg",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine.register_fn("base64_url", move |data: &mut Dynamic| {
                    bytes(data, |data| {
                        encode("base64_url", &BASE64URL_NOPAD, data, most)
                    })
                });
            },
        },
        Function {
            signatures: &["base64_url_decode(text: string) -> blob"],
            about: "The bytes of base64 with `-` and `_`, with or without padding.",
            throws: &[("base64", "for what is no base64 of this kind")],
            allowed: Allowed::Everywhere,
            example: "ws.send(base64_url_decode(\"aGVsbG8_Pg\").as_string()); // => hello?>",
            register: |engine, _| {
                engine.register_fn("base64_url_decode", |text: &str| {
                    decode("base64", [&BASE64URL, &BASE64URL_NOPAD], text)
                });
            },
        },
        Function {
            signatures: &["hex(data: blob | string) -> string"],
            about: "Bytes as hex digits, two a byte, in small letters.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex(message)); // => 68656c6c6f",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine.register_fn("hex", move |data: &mut Dynamic| {
                    bytes(data, |data| encode("hex", &HEXLOWER, data, most))
                });
            },
        },
        Function {
            signatures: &["hex_decode(text: string) -> blob"],
            about: "The bytes of hex digits, small or capital.",
            throws: &[("hex", "for anything else than pairs of hex digits")],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex_decode(\"68656c6C6F\").as_string()); // => hello",
            register: |engine, _| {
                engine.register_fn("hex_decode", |text: &str| {
                    decode("hex", [&HEXLOWER_PERMISSIVE; 2], text)
                });
            },
        },
        Function {
            signatures: &["url_encode(text: string) -> string"],
            about: "A text as a part of a URL: everything but letters, digits, `-`, `.`, `_` and \
                `~` as `%` and two hex digits a byte.",
            throws: &[("limit", "for a result of more than 16 MiB")],
            allowed: Allowed::Everywhere,
            example: "ws.send(url_encode(\"a b/ü\")); // => a%20b%2F%C3%BC",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine.register_fn("url_encode", move |text: &str| url_encode(text, most));
            },
        },
        Function {
            signatures: &["url_decode(text: string) -> string"],
            about: "The text of a part of a URL. A `%` without two hex digits stays, and so does \
                `+`, which means a space in forms \
                    only: `request.query_params` has decoded those.",
            throws: &[("url", "for bytes that are no UTF-8")],
            allowed: Allowed::Everywhere,
            example: "ws.send(url_decode(\"a%20b%2F%C3%BC\")); // => a b/ü",
            register: |engine, _| {
                engine.register_fn("url_decode", url_decode);
            },
        },
        Function {
            signatures: &["utf8(data: blob) -> string"],
            about: "The text that these bytes are. Rhai's `as_string` puts `\u{fffd}` for bytes \
                that are no UTF-8.",
            throws: &[("utf8", "for bytes that are no UTF-8")],
            allowed: Allowed::Everywhere,
            example: "ws.send(utf8(hex_decode(\"c3bc\"))); // => ü\n\
                      try { utf8(hex_decode(\"c3\")) } catch (e) { ws.send(e.kind); } // => utf8",
            register: |engine, _| {
                engine.register_fn(
                    "utf8",
                    |data: &mut Blob| match simdutf8::compat::from_utf8(data) {
                        Ok(text) => Ok(text.to_owned()),
                        Err(error) => throw(
                            "utf8",
                            format!("no UTF-8 from byte {} on", error.valid_up_to()),
                        ),
                    },
                );
            },
        },
        Function {
            signatures: &["is_utf8(data: blob) -> bool"],
            about: "Whether these bytes are a text.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${is_utf8(to_blob(\"ü\"))} ${is_utf8(hex_decode(\"ff\"))}`); // => \
                true false",
            register: |engine, _| {
                engine.register_fn("is_utf8", |data: &mut Blob| {
                    simdutf8::basic::from_utf8(data).is_ok()
                });
            },
        },
        Function {
            signatures: &[
                "to_blob(text: string) -> blob",
                "to_blob(bytes: array) -> blob",
            ],
            about: "The UTF-8 of a text, or the bytes of an array of ints; `blob.to_array()` is \
                the way back.",
            throws: &[
                ("type", "for an array with anything but ints from 0 to 255"),
                ("limit", "for more than 16 MiB"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex(to_blob(\"ü\"))); // => c3bc\n\
                      ws.send(to_blob([104, 105]).as_string()); // => hi",
            register: |engine, _| {
                engine.register_fn("to_blob", |text: &str| text.as_bytes().to_vec());
            },
        },
        Function {
            signatures: &["sha1(data: blob | string) -> blob"],
            about: "The SHA-1 of bytes, 20 bytes. It is for old protocols, WebSocket's handshake \
                among them, and secures nothing any more.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex(sha1(message))); // => aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
            register: |engine, _| {
                engine.register_fn("sha1", |data: &mut Dynamic| bytes(data, digest::<Sha1>));
            },
        },
        Function {
            signatures: &["sha256(data: blob | string) -> blob"],
            about: "The SHA-256 of bytes, 32 bytes.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex(sha256(message)).sub_string(0, 16)); // => 2cf24dba5fb0a30e",
            register: |engine, _| {
                engine.register_fn("sha256", |data: &mut Dynamic| bytes(data, digest::<Sha256>));
            },
        },
        Function {
            signatures: &["hmac_sha256(key: blob | string, data: blob | string) -> blob"],
            about: "The HMAC (RFC 2104) of bytes with SHA-256, 32 bytes: a signature with a key \
                that both sides know. Compare it with `same_bytes`.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "let signature = hmac_sha256(\"key\", message);\n\
                      ws.send(hex(signature).sub_string(0, 16)); // => 9307b3b915efb517",
            register: |engine, _| {
                engine.register_fn("hmac_sha256", |key: &mut Dynamic, data: Dynamic| {
                    bytes(key, |key| bytes(&data, |data| hmac_sha256(key, data)))
                });
            },
        },
        Function {
            signatures: &["same_bytes(a: blob | string, b: blob | string) -> bool"],
            about: "Whether two blobs or strings have the same bytes, found out in a time that \
                does not tell where they differ: for passwords, \
                    tokens and signatures.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "let signature = hmac_sha256(\"key\", message);\n\
                      ws.send(`${same_bytes(signature, hmac_sha256(\"key\", \"hello\"))}`); // => \
                      true",
            register: |engine, _| {
                engine.register_fn("same_bytes", |a: &mut Dynamic, b: Dynamic| {
                    bytes(a, |a| bytes(&b, |b| same_bytes(a, b)))
                });
            },
        },
        Function {
            signatures: &["pack(format: string, values: array) -> blob"],
            about: "Numbers and bytes as binary data, like Python's `struct.pack`. The format \
                begins with `>` or `!` (network order, the big end \
                    first) or `<`; then a letter a value: `b` `B` for 1 byte, `h` `H` for 2, `i` \
                    `I` for 4, `q` `Q` for 8, small letters with a \
                    sign; `f` `d` for floats of 4 and 8 bytes; `5s` for a blob or string of 5 \
                    bytes, with zeros behind shorter ones. A count \
                    before other letters repeats them.",
            throws: &[
                (
                    "pack",
                    "for another format, and for values that are too many, too few or do not fit",
                ),
                ("limit", "for more than 16 MiB"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex(pack(\">BH3s\", [1, 1000, \"ab\"]))); // => 0103e8616200",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine.register_fn("pack", move |format: &str, values: Array| {
                    pack::pack(format, &values, most)
                });
            },
        },
        Function {
            signatures: &["unpack(format: string, data: blob) -> array"],
            about: "The values of binary data, by a format as `pack` has it. `s` gives a blob.",
            throws: &[
                (
                    "pack",
                    "for another format, for data of another length, and for a `Q` that an int \
                    cannot hold",
                ),
                ("limit", "for more than 65,536 values"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${unpack(\"<hH\", hex_decode(\"feff0001\"))}`); // => [-2, 256]",
            register: |engine, host| {
                let most = host.settings.limits.list;
                engine.register_fn("unpack", move |format: &str, data: Blob| {
                    pack::unpack(format, &data, most)
                });
            },
        },
        Function {
            signatures: &[
                "deflate(data: blob | string) -> blob",
                "deflate(data: blob | string, level: int) -> blob",
            ],
            about: "Bytes compressed, as raw deflate (RFC 1951), from level 0 (not at all) to 9 \
                (best); 6 if there is none.",
            throws: &[
                ("deflate", "for another level"),
                ("limit", "for a result of more than 16 MiB"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(inflate(deflate(message)).as_string()); // => hello",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine
                    .register_fn("deflate", move |data: &mut Dynamic| {
                        bytes(data, |data| deflate::deflate(data, deflate::LEVEL, most))
                    })
                    .register_fn("deflate", move |data: &mut Dynamic, level: i64| {
                        bytes(data, |data| deflate::deflate(data, level, most))
                    });
            },
        },
        Function {
            signatures: &[
                "inflate(data: blob) -> blob",
                "inflate(data: blob, max: int) -> blob",
            ],
            about: "The bytes of raw deflate, at most `max` and never more than 16 MiB. The last \
                block may be missing, as in permessage-deflate, \
                    whose messages want the bytes 00 00 ff ff behind them.",
            throws: &[(
                "inflate",
                "for broken data, data behind its end, and a result of more bytes",
            )],
            allowed: Allowed::Everywhere,
            example: "let bomb = deflate(blob(100_000));\n\
                      try { inflate(bomb, 1_000) } catch (e) { ws.send(e.kind); } // => inflate",
            register: |engine, host| {
                let most = host.settings.limits.string;
                engine
                    .register_fn("inflate", move |data: &mut Blob| {
                        deflate::inflate(data, most)
                    })
                    .register_fn("inflate", move |data: &mut Blob, max: i64| {
                        deflate::inflate(data, usize::try_from(max).unwrap_or(0).min(most))
                    });
            },
        },
    ],
};

/// ASCII characters to percent-encode: all but those that RFC 3986 leaves as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Works on the bytes of a string or a blob.
fn bytes<T>(value: &Dynamic, work: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return work(text.as_bytes());
    }
    match value.as_blob_ref() {
        Ok(blob) => work(&blob),
        Err(_) => {
            let other = types::name_of(value);
            throw("type", format!("a string or a blob is wanted, not {other}"))
        }
    }
}

/// Bytes that are encoded at a time: a multiple of the 3 that four letters of base64 hold.
const GROUPS: usize = PIECE / 4 * 3;

fn encode(function: &str, encoding: &Encoding, data: &[u8], most: usize) -> Result<String> {
    let length = encoding.encode_len(data.len());
    if length > most {
        return over(function, most, "bytes");
    }
    let mut text = String::with_capacity(length);
    for piece in data.chunks(GROUPS) {
        encoding.encode_append(piece, &mut text);
        meter::pause()?;
    }
    Ok(text)
}

/// Decodes with the first of two encodings, or with the second what lacks padding.
fn decode(kind: &'static str, [padded, bare]: [&Encoding; 2], text: &str) -> Result<Blob> {
    let is_padded = text.len().is_multiple_of(4) || text.ends_with('=');
    let encoding = if is_padded { padded } else { bare };
    let mut data = Blob::new();
    for (place, piece) in text.as_bytes().chunks(PIECE).enumerate() {
        match encoding.decode(piece) {
            Ok(bytes) => data.extend(bytes),
            Err(error) => {
                let position = place * PIECE + error.position;
                return throw(
                    kind,
                    format!("no {kind}: {} at byte {position}", error.kind),
                );
            }
        }
        meter::pause()?;
    }
    Ok(data)
}

fn url_encode(text: &str, most: usize) -> Result<String> {
    let mut encoded = String::new();
    for piece in text.as_bytes().chunks(PIECE / 4) {
        encoded.extend(percent_encode(piece, RESERVED));
        if encoded.len() > most {
            return over("url_encode", most, "bytes");
        }
        meter::pause()?;
    }
    Ok(encoded)
}

fn url_decode(mut text: &str) -> Result<String> {
    let mut decoded = Blob::new();
    while !text.is_empty() {
        let mut end = text.floor_char_boundary(PIECE / 4);
        // No end within `%20`.
        if let Some(escape) = text[..end].rfind('%').filter(|at| at + 2 >= end && *at > 0) {
            end = escape;
        }
        decoded.extend(percent_decode(&text.as_bytes()[..end]));
        text = &text[end..];
        meter::pause()?;
    }
    String::from_utf8(decoded).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        throw(
            "url",
            format!("decoded, it is no UTF-8 from byte {valid} on"),
        )
    })
}

fn digest<D: Digest>(data: &[u8]) -> Result<Blob> {
    let mut digest = D::new();
    for piece in data.chunks(PIECE) {
        digest.update(piece);
        meter::pause()?;
    }
    Ok(digest.finalize().to_vec())
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Result<Blob> {
    // RFC 2104 section 2: a key beyond a block of the hash counts as its digest, which is made in
    // pieces here.
    let long = (key.len() > PIECE).then(|| digest::<Sha256>(key));
    let long = long.transpose()?;
    let key = long.as_deref().unwrap_or(key);
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for piece in data.chunks(PIECE) {
        hmac.update(piece);
        meter::pause()?;
    }
    Ok(hmac.finalize().into_bytes().to_vec())
}

fn same_bytes(a: &[u8], b: &[u8]) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let mut same = ctutils::Choice::TRUE;
    for (a, b) in a.chunks(PIECE).zip(b.chunks(PIECE)) {
        same &= a.ct_eq(b);
        meter::pause()?;
    }
    Ok(same.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: impl AsRef<[u8]>) -> String {
        String::from_utf8(data.as_ref().to_vec()).expect("a text")
    }

    fn hex(data: impl AsRef<[u8]>) -> String {
        HEXLOWER.encode(data.as_ref())
    }

    #[test]
    fn rfc_4648_vectors() {
        for (data, base64, hex) in [
            ("", "", ""),
            ("f", "Zg==", "66"),
            ("fo", "Zm8=", "666f"),
            ("foo", "Zm9v", "666f6f"),
            ("foob", "Zm9vYg==", "666f6f62"),
            ("fooba", "Zm9vYmE=", "666f6f6261"),
            ("foobar", "Zm9vYmFy", "666f6f626172"),
        ] {
            let bare = base64.trim_end_matches('=');
            assert_eq!(encode("", &BASE64, data.as_bytes(), 16).unwrap(), base64);
            assert_eq!(
                encode("", &BASE64URL_NOPAD, data.as_bytes(), 16).unwrap(),
                bare
            );
            assert_eq!(encode("", &HEXLOWER, data.as_bytes(), 16).unwrap(), hex);
            for letters in [base64, bare] {
                for pair in [[&BASE64, &BASE64_NOPAD], [&BASE64URL, &BASE64URL_NOPAD]] {
                    assert_eq!(text(decode("base64", pair, letters).unwrap()), data);
                }
            }
            let upper = hex.to_uppercase();
            for digits in [hex, upper.as_str()] {
                let decoded = decode("hex", [&HEXLOWER_PERMISSIVE; 2], digits).unwrap();
                assert_eq!(text(decoded), data);
            }
        }
    }

    #[test]
    fn what_is_not_encoded_is_refused() {
        for letters in [
            "Zg=", "Zg===", "Z", "Zh==", "Zm 8=", "Zm8=\n", "Zm9-", "====", "Zg==Z",
        ] {
            assert!(
                decode("base64", [&BASE64, &BASE64_NOPAD], letters).is_err(),
                "{letters}"
            );
        }
        for digits in ["6", "6g", " 66", "0x66"] {
            assert!(
                decode("hex", [&HEXLOWER_PERMISSIVE; 2], digits).is_err(),
                "{digits}"
            );
        }
    }

    /// The first of RFC 6234 section 8.5, and the two short ones of RFC 4231.
    #[test]
    fn digests() {
        assert_eq!(
            hex(digest::<Sha1>(b"abc").unwrap()),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(digest::<Sha256>(b"abc").unwrap()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(hmac_sha256(&[0x0b; 20], b"Hi There").unwrap()),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac_sha256(b"Jefe", b"what do ya want for nothing?").unwrap()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac_sha256(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            )
            .unwrap()),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn pieces_do_not_show() {
        let data: Blob = (0..3 * PIECE + 5).map(|at| (at * 31 % 251) as u8).collect();
        let whole = BASE64.encode(&data);
        assert_eq!(encode("", &BASE64, &data, usize::MAX).unwrap(), whole);
        assert_eq!(
            decode("base64", [&BASE64, &BASE64_NOPAD], &whole).unwrap(),
            data
        );
        assert_eq!(
            digest::<Sha256>(&data).unwrap(),
            Sha256::digest(&data).to_vec()
        );
        assert_eq!(
            hmac_sha256(&data, b"long").unwrap(),
            hmac_sha256(&Sha256::digest(&data), b"long").unwrap()
        );
        assert!(same_bytes(&data, &data.clone()).unwrap());
        let mut other = data.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(!same_bytes(&data, &other).unwrap());
        for text in ["aü%", "%%2", "%41"] {
            let text = text.repeat(PIECE / 4);
            let url = url_encode(&text, usize::MAX).unwrap();
            assert_eq!(url_decode(&url).unwrap(), text);
        }
        assert!(url_encode(&"ü".repeat(PIECE), PIECE).is_err());
    }

    #[test]
    fn urls() {
        let encoded = "AZaz09-._~%20%2B%25%26%2F%3F%C3%BC%00";
        assert_eq!(url_encode("AZaz09-._~ +%&/?ü\0", 100).unwrap(), encoded);
        assert_eq!(url_decode(encoded).unwrap(), "AZaz09-._~ +%&/?ü\0");
        assert_eq!(url_decode("a+b%zz%4").unwrap(), "a+b%zz%4");
        assert!(url_decode("%ff").is_err());
    }
}
