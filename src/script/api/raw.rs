//! The test power: bytes that break the protocol, to see what a client does. Only with
//! `--allow-raw`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use rhai::{Blob, Dynamic, EvalAltResult, ImmutableString, Map};

use super::connection::{WebSocket, queue};
use crate::config::limits::RAW_READ;
use crate::machine::error::{duration, throw};
use crate::machine::host::{Allowed, Function, Package};
use crate::machine::random::Stream;
use crate::machine::wait::Wait;
use crate::machine::{lending, meter};
use crate::script::request::Request;
use crate::websocket::close::code::NO_STATUS;
use crate::websocket::frame::{LengthForm, Raw};
use crate::websocket::handshake::accept_key;

/// Only in the handshake.
const HANDSHAKE: Allowed = Allowed::Only(&["do_extra_handshake"]);
/// Error that every function here throws without the flag: its `kind`, and when.
const NEEDS_FLAG: (&str, &str) = ("raw", "if the server runs without `--allow-raw`");

/// Whether `ws` or `request` has a method or property of this name only with the flag.
pub fn is_method(name: &str) -> bool {
    let mut forms = PACKAGE.functions.iter().flat_map(Function::written);
    forms.any(|form| form.name == name && form.path() != name)
}

/// The `raw` package: bytes, frames and answers that break the protocol, to test clients with.
pub const PACKAGE: Package = Package {
    name: "raw",
    about: "To test clients with: bytes, frames and answers that break the protocol. All of it \
        needs the flag `--allow-raw` and throws `raw` \
            without it.",
    functions: &[
        Function {
            signatures: &[
                "request.raw_write(data: blob)",
                "request.raw_write(text: string)",
            ],
            about: "Writes bytes to the client as they are, before the answer to the handshake, \
                which follows unless the script aborts or says \
                    `answered()`.",
            throws: &[NEEDS_FLAG],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    request.raw_write(\"HTTP/1.1 103 Early \
                Hints\\r\\n\\r\\n\");\n    request.abort();\n}\n\n\
                      fn transfer_data(ws, message) {}\n// no upgrade",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine
                    .register_fn("raw_write", move |request: &mut Rc<Request>, data: Blob| {
                        allow(raw)?;
                        request.write(&data);
                        done()
                    })
                    .register_fn(
                        "raw_write",
                        move |request: &mut Rc<Request>, text: ImmutableString| {
                            allow(raw)?;
                            request.write(text.as_bytes());
                            done()
                        },
                    );
            },
        },
        Function {
            signatures: &[
                "request.raw_read(count: int) -> blob",
                "request.raw_read(count: int, seconds: float | int) -> blob",
            ],
            about: "Reads exactly so many bytes of what the client sends behind its request, fewer \
                only at its end or when the time is up. What \
                    was written before is sent first.",
            throws: &[
                NEEDS_FLAG,
                ("raw", "for less than 1 or more than 65,536 bytes"),
            ],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    let early = request.raw_read(8, \
                0.05);\n    this.early = early.len;\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(`${this.early}`); // => 0\n}",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine
                    .register_fn("raw_read", move |request: &mut Rc<Request>, count: i64| {
                        allow(raw)?;
                        read(request, count, None)
                    })
                    .register_fn(
                        "raw_read",
                        move |request: &mut Rc<Request>, count: i64, seconds: f64| {
                            allow(raw)?;
                            read(request, count, Some(seconds))
                        },
                    )
                    .register_fn(
                        "raw_read",
                        move |request: &mut Rc<Request>, count: i64, seconds: i64| {
                            allow(raw)?;
                            read(request, count, Some(seconds as f64))
                        },
                    );
            },
        },
        Function {
            signatures: &["request.raw_head -> blob"],
            about: "The request head, byte for byte.",
            throws: &[NEEDS_FLAG],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    this.head = request.raw_head;\n}\n\nfn \
                transfer_data(ws, message) {\n    \
                      ws.send(this.head.as_string().sub_string(0, 4)); // => GET \n}",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine.register_get("raw_head", move |request: &mut Rc<Request>| {
                    allow(raw)?;
                    Ok::<_, Box<EvalAltResult>>(request.raw_head.borrow().clone())
                });
            },
        },
        Function {
            signatures: &["request.accept_key -> string"],
            about: "The value of `Sec-WebSocket-Accept` that belongs to the client's key.",
            throws: &[NEEDS_FLAG],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    this.key = \
                request.accept_key;\n}\n\nfn transfer_data(ws, message) {\n    \
                      ws.send(`${this.key.len}`); // => 28\n}",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine.register_get("accept_key", move |request: &mut Rc<Request>| {
                    allow(raw)?;
                    let key = request.header("sec-websocket-key").unwrap_or_default();
                    Ok::<_, Box<EvalAltResult>>(ImmutableString::from(accept_key(key.as_bytes())))
                });
            },
        },
        Function {
            signatures: &["request.answered()"],
            about: "The script has written the whole answer by itself: none is added, and the \
                connection is open.",
            throws: &[NEEDS_FLAG],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    let answer = \"HTTP/1.1 101 Switching \
                Protocols\\r\\nUpgrade: websocket\\r\\n\";\n    \
                      answer += \"Connection: Upgrade\\r\\nSec-WebSocket-Accept: \" + \
                      request.accept_key + \"\\r\\n\\r\\n\";\n    \
                      request.raw_write(answer);\n    request.answered();\n}\n\nfn \
                      transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine.register_fn("answered", move |request: &mut Rc<Request>| {
                    allow(raw)?;
                    request.answer.borrow_mut().is_written = true;
                    done()
                });
            },
        },
        Function {
            signatures: &["request.raw_protocol(text: string)"],
            about: "Answers with this subprotocol, whatever the client offered and whatever \
                characters it has.",
            throws: &[NEEDS_FLAG],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    \
                request.raw_protocol(\"superchat\");\n}\n\nfn transfer_data(ws, message) {\n    \
                      ws.send(ws.protocol); // => superchat\n}",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine.register_fn(
                    "raw_protocol",
                    move |request: &mut Rc<Request>, text: ImmutableString| {
                        allow(raw)?;
                        request.answer.borrow_mut().protocol = Some(text.into());
                        done()
                    },
                );
            },
        },
        Function {
            signatures: &["request.raw_header(name: string, value: string)"],
            about: "Adds a header to the answer without any check: reserved names, line breaks, an \
                extension that was never offered.",
            throws: &[NEEDS_FLAG],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    \
                request.raw_header(\"X-Empty\", \"\");\n}\n\nfn transfer_data(ws, message) {\n    \
                      ws.send(message); // => hello\n}",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine.register_fn(
                    "raw_header",
                    move |request: &mut Rc<Request>,
                          name: ImmutableString,
                          value: ImmutableString| {
                        allow(raw)?;
                        let mut answer = request.answer.borrow_mut();
                        answer.headers.push((name.into(), value.into()));
                        done()
                    },
                );
            },
        },
        Function {
            signatures: &["ws.raw_write(data: blob)", "ws.raw_write(text: string)"],
            about: "Writes bytes between two frames as they are, even after a Close.",
            throws: &[NEEDS_FLAG],
            allowed: Allowed::Open,
            example: "ws.raw_write(hex_decode(\"8105\") + to_blob(message)); // => hello",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                engine
                    .register_fn(
                        "raw_write",
                        lending::at_bytes(move |ws, data| {
                            allow(raw)?;
                            write(ws, data)
                        }),
                    )
                    .register_fn(
                        "raw_write",
                        lending::at_text(move |ws, text| {
                            allow(raw)?;
                            write(ws, text.as_bytes())
                        }),
                    );
            },
        },
        Function {
            signatures: &["ws.frame(frame: map)"],
            about: "Sends one frame, bit by bit. What may be said, and what holds if it is not: \
                `fin` (`true`), `rsv1` `rsv2` `rsv3` (`false`), \
                    `opcode` (1 for a string, 2 for a blob), `payload` (empty), `mask` (`false`; \
                    `true` is a random key, a blob of 4 bytes is that \
                    key), `length` (the payload's; any other is announced instead), `length_form` \
                    (the shortest; 7, 16 or 64 bits). \
                    With opcode 8 the server's Close counts as sent.",
            throws: &[
                NEEDS_FLAG,
                ("frame", "for an unknown property or a value out of range"),
            ],
            allowed: Allowed::Open,
            example: "ws.frame(#{opcode: 1, fin: false, payload: \"hel\"});\nws.frame(#{opcode: 0, \
                payload: \"lo\", length_form: 64}); // => hello",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                let masks = Masks(host.random.stream("frame"));
                engine.register_fn("frame", move |ws: &mut WebSocket, frame: Map| {
                    allow(raw)?;
                    let frame = frame_of(&frame, &masks)?;
                    write(ws, &frame.encode())?;
                    if frame.opcode == 8 {
                        let code = frame
                            .payload
                            .first_chunk()
                            .map_or(NO_STATUS, |code| u16::from_be_bytes(*code));
                        ws.0.handle.queue(|outbox| outbox.close_was_sent(code));
                    }
                    done()
                });
            },
        },
        Function {
            signatures: &["encode_frame(frame: map) -> blob"],
            about: "The bytes that `ws.frame` would send, for `raw_write`.",
            throws: &[
                NEEDS_FLAG,
                ("frame", "for an unknown property or a value out of range"),
            ],
            allowed: Allowed::Everywhere,
            example: "ws.send(hex(encode_frame(#{opcode: 9, payload: \"hi\", rsv1: true}))); // => \
                c9026869",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                let masks = Masks(host.random.stream("encode_frame"));
                engine.register_fn("encode_frame", move |frame: Map| {
                    allow(raw)?;
                    Ok::<Blob, Box<EvalAltResult>>(frame_of(&frame, &masks)?.encode())
                });
            },
        },
        Function {
            signatures: &["ws.keep_open(seconds: float | int)"],
            about: "Has TCP stay open for so long after the close handshake, to see whether the \
                client waits for its end. Fractions are \
                    rounded up to a whole second.",
            throws: &[
                NEEDS_FLAG,
                ("time", "for less than 0 or more than 86,400 seconds"),
            ],
            allowed: Allowed::Open,
            example: "ws.keep_open(1);\nws.close(); // closes 1000",
            register: |engine, host| {
                let raw = host.settings.allow_raw;
                let keep = move |ws: &mut WebSocket, seconds: f64| {
                    allow(raw)?;
                    let time = duration("keep_open", seconds)?;
                    ws.0.handle.keep_open(time.as_secs_f64().ceil() as u32);
                    done()
                };
                engine
                    .register_fn("keep_open", keep)
                    .register_fn("keep_open", move |ws: &mut WebSocket, seconds: i64| {
                        keep(ws, seconds as f64)
                    });
            },
        },
    ],
};

/// Throws `raw` where the flag is not given.
fn allow(raw: bool) -> Result<(), Box<EvalAltResult>> {
    if raw {
        return Ok(());
    }
    throw(
        "raw",
        "this breaks the protocol, and the server allows that only with --allow-raw",
    )
}

fn done() -> Result<(), Box<EvalAltResult>> {
    Ok(())
}

fn write(ws: &WebSocket, bytes: &[u8]) -> Result<(), Box<EvalAltResult>> {
    queue(&ws.0, |outbox| {
        outbox.raw(bytes);
        Ok(())
    })
}

fn read(
    request: &Rc<Request>,
    count: i64,
    seconds: Option<f64>,
) -> Result<Blob, Box<EvalAltResult>> {
    let Some(count) = usize::try_from(count)
        .ok()
        .filter(|count| (1..=RAW_READ).contains(count))
    else {
        return throw(
            "raw",
            format!("raw_read reads 1 to {RAW_READ} bytes, not {count}"),
        );
    };
    let timeout = seconds
        .map(|seconds| duration("raw_read", seconds))
        .transpose()?;
    let asked = Rc::clone(request);
    let come = poll_fn(move |_| match asked.has(count) {
        true => Poll::Ready(()),
        // Whoever owns the stream asks again whenever bytes have come.
        false => Poll::Pending,
    });
    meter::wait(Wait::Until(match timeout {
        Some(timeout) => Box::pin(async move {
            let _ = tokio::time::timeout(timeout, come).await;
        }),
        None => Box::pin(come),
    }))
    .map(drop)?;
    Ok(request.take(count))
}

/// Random keys that a frame is masked with.
struct Masks(Stream);

impl Masks {
    fn key(&self) -> Result<[u8; 4], Box<EvalAltResult>> {
        let mut key = [0; 4];
        match self.0.fill(&mut key) {
            Ok(()) => Ok(key),
            Err(error) => throw("raw", format!("the system has no random bytes: {error}")),
        }
    }
}

/// A frame from its description.
fn frame_of(frame: &Map, masks: &Masks) -> Result<Raw, Box<EvalAltResult>> {
    let mut raw = Raw {
        fin: true,
        rsv: [false; 3],
        opcode: 1,
        mask: None,
        length: None,
        form: None,
        payload: Vec::new(),
    };
    if let Some(payload) = frame.get("payload") {
        if let Ok(text) = payload.as_immutable_string_ref() {
            raw.payload = text.as_bytes().to_vec();
        } else if let Ok(blob) = payload.as_blob_ref() {
            raw.payload = blob.clone();
            raw.opcode = 2;
        } else {
            return wrong("payload", payload, "a string or a blob");
        }
    }
    for (name, value) in frame {
        match name.as_str() {
            "payload" => {}
            "fin" => raw.fin = bit(name, value)?,
            "rsv1" => raw.rsv[0] = bit(name, value)?,
            "rsv2" => raw.rsv[1] = bit(name, value)?,
            "rsv3" => raw.rsv[2] = bit(name, value)?,
            "opcode" => match value.as_int() {
                Ok(opcode @ 0..=15) => raw.opcode = opcode as u8,
                _ => return wrong(name, value, "0 to 15"),
            },
            "mask" => {
                let key = value
                    .as_blob_ref()
                    .ok()
                    .and_then(|key| key[..].try_into().ok());
                raw.mask = match (key, value.as_bool()) {
                    (Some(key), _) => Some(key),
                    (None, Ok(true)) => Some(masks.key()?),
                    (None, Ok(false)) => None,
                    _ => return wrong(name, value, "true, false or a blob of 4 bytes"),
                };
            }
            "length" => match value.as_int() {
                Ok(length) => raw.length = Some(length as u64),
                Err(_) => return wrong(name, value, "a number of bytes"),
            },
            "length_form" => {
                raw.form = Some(match value.as_int() {
                    Ok(7) => LengthForm::Bits7,
                    Ok(16) => LengthForm::Bits16,
                    Ok(64) => LengthForm::Bits64,
                    _ => return wrong(name, value, "7, 16 or 64"),
                });
            }
            _ => {
                return throw(
                    "frame",
                    format!(
                        "a frame has fin, rsv1, rsv2, rsv3, opcode, mask, length, length_form and \
                        payload, but no {name}"
                    ),
                );
            }
        }
    }
    Ok(raw)
}

fn bit(name: &str, value: &Dynamic) -> Result<bool, Box<EvalAltResult>> {
    value
        .as_bool()
        .or_else(|_| wrong(name, value, "true or false"))
}

fn wrong<T>(name: &str, value: &Dynamic, wanted: &str) -> Result<T, Box<EvalAltResult>> {
    throw(
        "frame",
        format!("a frame's {name} is {wanted}, not {value}"),
    )
}

/// A frame as `on_frame` sees it.
pub fn frame_map(raw: Raw) -> Dynamic {
    let [rsv1, rsv2, rsv3] = raw.rsv;
    let entries: [(&str, Dynamic); 7] = [
        ("fin", raw.fin.into()),
        ("rsv1", rsv1.into()),
        ("rsv2", rsv2.into()),
        ("rsv3", rsv3.into()),
        ("opcode", i64::from(raw.opcode).into()),
        ("masked", raw.mask.is_some().into()),
        ("payload", Dynamic::from_blob(raw.payload)),
    ];
    let map: Map = entries
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect();
    Dynamic::from_map(map)
}
