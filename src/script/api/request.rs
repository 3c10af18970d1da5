//! `request`: an opening handshake or another request, and the answer that a script shapes with it.

use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use super::connection::WebSocket;
use super::extensions::{extension, map, wishes};
use super::options::option;
use crate::machine::budget::Stop;
use crate::machine::error::throw;
use crate::machine::host::{Allowed, Function, Package};
use crate::script::request::{Rejection, Request};
use crate::websocket::extensions::{self, Preferences};
use crate::websocket::handshake::{is_field_value, is_token};

/// Headers that the server writes itself, or that would break the framing of its answer.
const RESERVED: [&str; 9] = [
    "connection",
    "upgrade",
    "content-length",
    "content-type",
    "transfer-encoding",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "sec-websocket-version",
];

/// Only in the handshake.
const HANDSHAKE: Allowed = Allowed::Only(&["do_extra_handshake"]);
/// Where a request is answered.
const ANSWER: Allowed = Allowed::Only(&["do_extra_handshake", "on_request"]);

/// `request`: what the client asked for, and what it is answered.
pub const PACKAGE: Package = Package {
    name: "request",
    about: "The client's request, the argument of `do_extra_handshake` and of `on_request`. Its \
        properties and `header(name)` can be asked of `ws` in every later \
            hook, too. They are kept for connections whose handler's text names one when they \
            open; a connection that was open before an edit \
            named the first one throws `gone`.",
    functions: &[
        Function {
            signatures: &["request.path -> string"],
            about: "The path, decoded, without the query.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.path.starts_with(\"/\")}`); // => true",
            register: |engine, _| {
                engine
                    .register_type_with_name::<Rc<Request>>("Request")
                    .register_get("path", |request: &mut Rc<Request>| {
                        ImmutableString::from(&request.path)
                    })
                    .register_get("path", |ws: &mut WebSocket| {
                        ImmutableString::from(ws.0.place.path.as_str())
                    });
            },
        },
        Function {
            signatures: &["request.params -> map"],
            about: "What the `[name]` parts of the handler's path matched: in \
                `room/[id]_wsh.rhai`, `request.params.id`.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.params.len()}`); // => 0",
            register: |engine, _| {
                member(engine, "params", |request| {
                    Dynamic::from_map(map(request
                        .params
                        .iter()
                        .map(|(name, value)| (name.as_str(), value.into()))))
                });
            },
        },
        Function {
            signatures: &["request.query -> string"],
            about: "What stands behind `?`, as it came; `\"\"` if there is nothing.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.query); // => room=blue&user=ada%20l",
            register: |engine, _| member(engine, "query", |request| request.query().into()),
        },
        Function {
            signatures: &["request.query_params -> map"],
            about: "The query's parameters, decoded: an array of values for each name.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.query_params.user[0]); // => ada \
                l\nws.send(`${ws.query_params.missing ?? \"none\"}`); // => none",
            register: |engine, _| member(engine, "query_params", query_params),
        },
        Function {
            signatures: &["request.target -> string"],
            about: "Path and query as they came, not decoded.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.target.ends_with(\"?room=blue&user=ada%20l\")}`); // => true",
            register: |engine, _| {
                member(engine, "target", |request| request.target.as_str().into())
            },
        },
        Function {
            signatures: &["request.method -> string"],
            about: "`\"GET\"` of a handshake, since RFC 6455 knows no other; any in `on_request`, in \
                capitals as it came.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.method); // => GET",
            register: |engine, _| {
                member(engine, "method", |request| request.method.as_str().into())
            },
        },
        Function {
            signatures: &["request.http_version -> string"],
            about: "`\"1.1\"`.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.http_version); // => 1.1",
            register: |engine, _| {
                member(engine, "http_version", |request| {
                    request.http_version.into()
                })
            },
        },
        Function {
            signatures: &["request.secure -> bool"],
            about: "Whether the connection is encrypted (`wss:`), to the server or to a trusted \
                proxy.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.secure}`); // => false",
            register: |engine, _| member(engine, "secure", |request| request.secure.into()),
        },
        Function {
            signatures: &["request.client_subject -> string | ()"],
            about: "The subject of the certificate that the client has shown, as RFC 4514 writes \
                it: `CN=ada,O=Example`. `()` without one. Whoever \
                    shows one that no authority of `--tls-client-ca` vouches for does not come \
                    this far.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.client_subject ?? \"nobody that we know\"); // => nobody that we \
                know",
            register: |engine, _| {
                member(engine, "client_subject", |request| {
                    let subject = request.client_subject.as_deref();
                    subject.map_or(Dynamic::UNIT, Into::into)
                });
            },
        },
        Function {
            signatures: &["request.remote_addr -> string"],
            about: "The client's IP address: the one that a trusted proxy tells \
                (`--trusted-proxy`), else the other end of the connection; `\"\"` on a \
                    Unix-domain socket.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.remote_addr == \"127.0.0.1\" || ws.remote_addr == \"::1\"}`); \
                // => true",
            register: |engine, _| {
                member(engine, "remote_addr", |request| {
                    request
                        .remote_addr
                        .map_or(String::new(), |address| address.ip().to_string())
                        .into()
                });
            },
        },
        Function {
            signatures: &["request.remote_port -> int"],
            about: "The client's port; 0 if a proxy has told only its address.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.remote_port > 0}`); // => true",
            register: |engine, _| {
                member(engine, "remote_port", |request| {
                    i64::from(request.remote_addr.map_or(0, |address| address.port())).into()
                });
            },
        },
        Function {
            signatures: &["request.user -> string | ()"],
            about: "The user whose password the server has checked (`--basic-auth`); `()` if it \
                asks for none.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.user ?? \"nobody\"); // => nobody",
            register: |engine, _| {
                member(engine, "user", |request| {
                    request.user.as_deref().map_or(Dynamic::UNIT, Into::into)
                });
            },
        },
        Function {
            signatures: &["request.origin -> string | ()"],
            about: "The `Origin` header: the page that connects; `()` for a client that is no \
                browser.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.origin); // => http://localhost",
            register: |engine, _| member(engine, "origin", |request| header(request, "origin")),
        },
        Function {
            signatures: &["request.host -> string | ()"],
            about: "The `Host` header.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.host.contains(\":\")}`); // => true",
            register: |engine, _| member(engine, "host", |request| header(request, "host")),
        },
        Function {
            signatures: &["request.header(name: string) -> string | ()"],
            about: "A header's first value, `()` if there is none; the name in any case.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.header(\"COOKIE\")); // => session=42; theme=dark",
            register: |engine, _| {
                engine
                    .register_fn(
                        "header",
                        |request: &mut Rc<Request>, name: ImmutableString| header(request, &name),
                    )
                    .register_fn("header", |ws: &mut WebSocket, name: ImmutableString| {
                        kept(ws).map(|request| header(&request, &name))
                    });
            },
        },
        Function {
            signatures: &["request.headers -> map"],
            about: "All headers: an array of values for each name, which is in lower case.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.headers[\"upgrade\"][0]); // => websocket",
            register: |engine, _| {
                member(engine, "headers", |request| {
                    let pairs = request.headers.iter();
                    gather(pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())))
                });
            },
        },
        Function {
            signatures: &["request.header_list -> array"],
            about: "All headers in their order, each `[name, value]` as it came.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.header_list[0][0]); // => Host",
            register: |engine, _| {
                member(engine, "header_list", |request| {
                    let pair = |(name, value): &(String, String)| {
                        Dynamic::from_array(vec![name.into(), value.into()])
                    };
                    Dynamic::from_array(request.headers.iter().map(pair).collect())
                });
            },
        },
        Function {
            signatures: &["request.cookies -> map"],
            about: "The cookies of the `Cookie` header by name; the first of a name counts.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(ws.cookies.session); // => 42",
            register: |engine, _| member(engine, "cookies", cookies),
        },
        Function {
            signatures: &["request.requested_protocols -> array"],
            about: "The subprotocols that the client offers, in its order of preference.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.requested_protocols}`); // => [\"chat\", \"superchat\"]",
            register: |engine, _| {
                member(engine, "requested_protocols", |request| {
                    let names = request.requested_protocols.iter();
                    Dynamic::from_array(names.map(|name| name.into()).collect())
                });
            },
        },
        Function {
            signatures: &["request.requested_extensions -> array"],
            about: "The extensions that the client offers, each a map of `name` and `params`, in \
                which a parameter without a value is `()`.",
            throws: &[],
            allowed: Allowed::Everywhere,
            example: "ws.send(`${ws.requested_extensions.len}`); // => 0",
            register: |engine, _| {
                member(engine, "requested_extensions", |request| {
                    let values = request.values("sec-websocket-extensions");
                    // A request whose header cannot be read does not come this far.
                    let offers = extensions::parse(values).unwrap_or_default();
                    let offers = offers.iter().map(|offer| {
                        let params = offer.params.iter();
                        extension(
                            offer.name,
                            params.map(|(name, value)| (*name, value.as_deref().map(Into::into))),
                        )
                    });
                    Dynamic::from_array(offers.collect())
                });
            },
        },
        Function {
            signatures: &["request.protocol = string", "request.protocol -> string"],
            about: "Agrees on a subprotocol; without it there is none.",
            throws: &[(
                "protocol",
                "for one that the client does not offer (RFC 6455 section 4.2.2)",
            )],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    if \"chat\" in \
                request.requested_protocols {\n        request.protocol = \"chat\";\n    }\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(ws.protocol); // => chat\n}",
            register: |engine, _| {
                engine
                    .register_get("protocol", |request: &mut Rc<Request>| {
                        let answer = request.answer.borrow();
                        ImmutableString::from(answer.protocol.as_deref().unwrap_or_default())
                    })
                    .register_set("protocol", set_protocol);
            },
        },
        Function {
            signatures: &["request.add_header(name: string, value: string)"],
            about: "Adds a header to the answer, also to a refusal. A name may be added several \
                times. The server writes these itself: `Connection`, \
                    `Upgrade`, `Content-Length`, `Content-Type`, `Transfer-Encoding`, \
                    `Sec-WebSocket-Accept`, `Sec-WebSocket-Protocol`, \
                    `Sec-WebSocket-Extensions` and `Sec-WebSocket-Version`. In `on_request` \
                    `Content-Type` may be added, and stands instead of the usual one.",
            throws: &[(
                "header",
                "for what is no header, or one that the server writes itself",
            )],
            allowed: ANSWER,
            example: "fn do_extra_handshake(request) {\n    \
                request.add_header(\"Set-Cookie\", \"seen=yes; HttpOnly\");\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine.register_fn("add_header", add_header);
            },
        },
        Function {
            signatures: &[
                "request.reject(status: int)",
                "request.reject(status: int, reason: string)",
                "request.reject(status: int, reason: string, body: string)",
            ],
            about: "Refuses the connection, or answers the request, with this status, the words \
                behind it and a body. The hook goes on; the last refusal counts, and what \
                `on_request` gives then does not.",
            throws: &[(
                "reject",
                "for a status outside 300 to 599, or a reason with control characters",
            )],
            allowed: ANSWER,
            example: "fn do_extra_handshake(request) {\n    if request.header(\"Authorization\") \
                == () {\n        \
                      request.add_header(\"WWW-Authenticate\", \"Basic \
                      realm=\\\"chat\\\"\");\n        \
                      request.reject(401, \"Unauthorized\", \"who are you?\");\n    }\n}\n\nfn \
                      transfer_data(ws, message) {}\n// no upgrade",
            register: |engine, _| {
                engine
                    .register_fn("reject", |request: &mut Rc<Request>, status: i64| {
                        reject(request, status, "", "")
                    })
                    .register_fn(
                        "reject",
                        |request: &mut Rc<Request>, status: i64, reason: ImmutableString| {
                            reject(request, status, &reason, "")
                        },
                    )
                    .register_fn(
                        "reject",
                        |request: &mut Rc<Request>,
                         status: i64,
                         reason: ImmutableString,
                         body: ImmutableString| {
                            reject(request, status, &reason, &body)
                        },
                    );
            },
        },
        Function {
            signatures: &["request.abort()", "request.abort(options: map)"],
            about: "Drops the connection without an answer, and ends the hook. What `raw_write` \
                has written arrives; `request.abort(#{reset: true})` \
                    resets TCP at once, and that is lost. A Unix-domain socket knows no reset and \
                    just ends.",
            throws: &[(
                "option",
                "for an option that there is not, or another value than `true` or `false`",
            )],
            allowed: ANSWER,
            example: "fn do_extra_handshake(request) {\n    request.abort();\n}\n\nfn \
                transfer_data(ws, message) {}\n// no upgrade",
            register: |engine, _| {
                engine
                    .register_fn("abort", |request: &mut Rc<Request>| abort(request, false))
                    .register_fn("abort", |request: &mut Rc<Request>, options: Map| {
                        abort(request, option("reset", &options)? == Some(true))
                    });
            },
        },
        Function {
            signatures: &["request.max_message(bytes: int)"],
            about: "The longest message that this connection may send; over it, it is closed with \
                1009.",
            throws: &[(
                "limit",
                "for less than 1 byte or more than the server allows: 16 MiB, or its --max-message",
            )],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    request.max_message(4);\n}\n\nfn \
                transfer_data(ws, message) {}\n// closes 1009",
            register: |engine, host| {
                let most = host.settings.max_message;
                engine.register_fn(
                    "max_message",
                    move |request: &mut Rc<Request>, bytes: i64| {
                        let bounds = 1..=most;
                        match usize::try_from(bytes) {
                            Ok(bytes) if bounds.contains(&bytes) => {
                                request.answer.borrow_mut().max_message = Some(bytes);
                                Ok(())
                            }
                            _ => throw(
                                "limit",
                                format!(
                                    "max_message takes 1 to {} bytes, not {bytes}",
                                    bounds.end()
                                ),
                            ),
                        }
                    },
                );
            },
        },
        Function {
            signatures: &[
                "request.deflate(wanted: bool)",
                "request.deflate(options: map)",
            ],
            about: "How messages of this connection are compressed (permessage-deflate, RFC 7692), \
                if the client offers it and the server is not \
                    told to compress nothing: `false` is not at all, `true` as the server is \
                    configured, and a map names what is to be \
                    different: `threshold` (bytes from which a message is compressed), `level` (1, \
                    quick, to 9, small), \
                    `server_no_context_takeover` and `client_no_context_takeover` (`false` lets \
                    that side refer to earlier messages, which \
                    costs memory for as long as the connection lives; `true` is the default), \
                    `server_max_window_bits` and \
                    `client_max_window_bits` (8 to 15; the client's only where its offer names \
                    it). The last call counts. `ws.extensions` tells \
                    what was agreed on.",
            throws: &[(
                "deflate",
                "for an option that there is not, or a value out of range",
            )],
            allowed: HANDSHAKE,
            example: "fn do_extra_handshake(request) {\n    request.deflate(#{threshold: 100, \
                level: 9, server_max_window_bits: 12});\n}\n\n\
                      fn transfer_data(ws, message) {\n    ws.send(message); // => hello\n}",
            register: |engine, _| {
                engine
                    .register_fn("deflate", |request: &mut Rc<Request>, wanted: bool| {
                        request.answer.borrow_mut().deflate = Preferences {
                            refused: !wanted,
                            ..Preferences::default()
                        };
                    })
                    .register_fn("deflate", |request: &mut Rc<Request>, options: Map| {
                        request.answer.borrow_mut().deflate = wishes(&options)?;
                        Ok::<_, Box<EvalAltResult>>(())
                    });
            },
        },
    ],
};

/// Registers a property that `request` has, and that `ws` keeps.
fn member(engine: &mut Engine, name: &str, look: fn(&Request) -> Dynamic) {
    engine
        .register_get(name, move |request: &mut Rc<Request>| look(request))
        .register_get(name, move |ws: &mut WebSocket| {
            kept(ws).map(|request| look(&request))
        });
}

fn kept(ws: &WebSocket) -> Result<Rc<Request>, Box<EvalAltResult>> {
    match ws.0.request() {
        Some(request) => Ok(request),
        None => throw(
            "gone",
            "this connection's request was not kept, since the handler did not ask for it when it \
            opened; it is for new ones",
        ),
    }
}

fn header(request: &Request, name: &str) -> Dynamic {
    request.header(name).map_or(Dynamic::UNIT, Into::into)
}

/// An array of values for each name.
pub(super) fn gather(pairs: impl Iterator<Item = (String, String)>) -> Dynamic {
    let mut gathered = Map::new();
    for (name, value) in pairs {
        let values = gathered
            .entry(name.into())
            .or_insert_with(|| Dynamic::from_array(Array::new()));
        if let Some(mut values) = values.write_lock::<Array>() {
            values.push(value.into());
        }
    }
    Dynamic::from_map(gathered)
}

fn query_params(request: &Request) -> Dynamic {
    let pairs = form_urlencoded::parse(request.query().as_bytes());
    gather(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())))
}

// By hand: the crate `cookie` leaves out those without a name, and keeps the quotes around a value.
fn cookies(request: &Request) -> Dynamic {
    let mut cookies = Map::new();
    for cookie in request.values("cookie").flat_map(|line| line.split(';')) {
        if let Some((name, value)) = cookie.split_once('=') {
            let value = value.trim().trim_matches('"');
            cookies
                .entry(name.trim().into())
                .or_insert_with(|| value.into());
        }
    }
    Dynamic::from_map(cookies)
}

fn set_protocol(
    request: &mut Rc<Request>,
    name: ImmutableString,
) -> Result<(), Box<EvalAltResult>> {
    let offered = &request.requested_protocols;
    if !offered.iter().any(|protocol| *protocol == *name) {
        return throw(
            "protocol",
            format!("the client offers {offered:?}, not {:?}", name.as_str()),
        );
    }
    request.answer.borrow_mut().protocol = Some(name.into());
    Ok(())
}

fn add_header(
    request: &mut Rc<Request>,
    name: ImmutableString,
    value: ImmutableString,
) -> Result<(), Box<EvalAltResult>> {
    if !is_token(&name) {
        return throw(
            "header",
            format!("{:?} is no name of a header", name.as_str()),
        );
    }
    let is_free = request.body.is_some() && name.eq_ignore_ascii_case("content-type");
    let mut reserved = RESERVED.iter();
    if !is_free && reserved.any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        let text = format!("the server writes {name} itself: a handler may not add it");
        return throw("header", text);
    }
    if !is_field_value(&value) {
        return throw(
            "header",
            format!("the value of {name} has a line break or another control character"),
        );
    }
    let mut answer = request.answer.borrow_mut();
    answer.headers.push((name.into(), value.into()));
    Ok(())
}

fn abort(request: &mut Rc<Request>, reset: bool) -> Result<(), Box<EvalAltResult>> {
    let mut answer = request.answer.borrow_mut();
    answer.is_aborted = true;
    answer.is_reset = reset;
    Err(Stop::Cancelled.into())
}

fn reject(
    request: &mut Rc<Request>,
    status: i64,
    reason: &str,
    body: &str,
) -> Result<(), Box<EvalAltResult>> {
    let Some(status) = u16::try_from(status)
        .ok()
        .filter(|status| (300..600).contains(status))
    else {
        return throw(
            "reject",
            format!("a refusal has a status from 300 to 599, not {status}"),
        );
    };
    if !is_field_value(reason) {
        return throw(
            "reject",
            "the reason has a line break or another control character",
        );
    }
    request.answer.borrow_mut().rejection = Some(Rejection {
        status,
        reason: reason.into(),
        body: body.into(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_that_the_server_writes_itself_are_documented() {
        let functions = PACKAGE.functions.iter();
        let about: String = functions
            .filter(|function| function.signatures[0].starts_with("request.add_header"))
            .map(|function| function.about.to_lowercase())
            .collect();
        for name in RESERVED {
            assert!(about.contains(&format!("`{name}`")), "{name}");
        }
    }
}
