//! HTTP requests of scripts: `http_get` and `http_post`.

use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use rhai::{Dynamic, EvalAltResult, ImmutableString, Map, NativeCallContext};
use url::Url;

use super::dial::{BARRED, LATE, OPTION, Outside, UNREACHED, URL, barred, not_opened};
use super::options::{headers, no_option, seconds, text};
use super::request::gather;
use super::trip::{Errand, Trip};
use crate::client::{Egress, Fetched, Kind, NotFetched, Query, fetch};
use crate::machine::Limits;
use crate::machine::error::{duration, throw, thrown};
use crate::machine::host::{Allowed, Function, Host, Package};
use crate::machine::meter;
use crate::machine::packages::json;
use crate::machine::types;
use crate::script::caller::Caller;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Methods of requests.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that belong to the way of a message, and not to it.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// More requests than may be.
const REQUESTS: (&str, &str) = (
    "requests",
    "for one request at once more than a handler may have (`--max-requests-per-handler`)",
);
/// A body that is too long.
const LARGE: (&str, &str) = (
    "large",
    "for an answer with a longer body than `--max-response-body`",
);

/// `http_get`, `http_post`.
pub const PACKAGE: Package = Package {
    name: "http",
    about: "HTTP requests to other servers, where `--allow-connect` lets a script: see [Other \
        servers](#other-servers). The answer is a map: `status`, whatever it is; `headers`, an \
        array of values for each name, which is in lower case; `body`, a blob; and `text`, the same \
        as a string, or `()` if it is no UTF-8. JSON is read by `parse_json(answer.text)`. Up to \
        five redirects are followed, to hosts that a script may connect to.",
    functions: &[
        Function {
            signatures: &[
                "http_get(url: string) -> map",
                "http_get(url: string, options: map) -> map",
            ],
            about: "Asks another server, and waits for its answer. Options are `headers`, a map of \
                strings or of arrays of them; `seconds`, how long it may take; and `method`, if it \
                is another than GET.",
            throws: &[BARRED, UNREACHED, LATE, REQUESTS, LARGE, URL, OPTION],
            allowed: Allowed::Everywhere,
            example: "try {\n    let answer = http_get(\"https://users.example/ada\");\n    \
                      ws.send(parse_json(answer.text).name);\n} catch (e) {\n    \
                      ws.send(e.kind); // => connect\n}",
            register: |engine, host| {
                let (first, second) = (Asker::of(host), Asker::of(host));
                engine
                    .register_fn(
                        "http_get",
                        move |context: NativeCallContext, url: ImmutableString| {
                            first.ask(&context, "http_get", &url, None, &Map::new())
                        },
                    )
                    .register_fn(
                        "http_get",
                        move |context: NativeCallContext, url: ImmutableString, options: Map| {
                            second.ask(&context, "http_get", &url, None, &options)
                        },
                    );
            },
        },
        Function {
            signatures: &[
                "http_post(url: string, body: any) -> map",
                "http_post(url: string, body: any, options: map) -> map",
            ],
            about: "The same with a body: a string as text, a blob as bytes, a map or an array as \
                JSON, each with its `Content-Type` unless the headers have one.",
            throws: &[
                BARRED,
                UNREACHED,
                LATE,
                REQUESTS,
                LARGE,
                URL,
                OPTION,
                ("type", "for another body"),
                ("json", "for what JSON cannot say, see `to_json`"),
            ],
            allowed: Allowed::Everywhere,
            example: "try {\n    let answer = http_post(\"https://users.example/\", #{name: \
                      message});\n    ws.send(`${answer.status}`);\n} catch (e) {\n    \
                      ws.send(e.kind); // => connect\n}",
            register: |engine, host| {
                let (first, second) = (Asker::of(host), Asker::of(host));
                engine
                    .register_fn(
                        "http_post",
                        move |context: NativeCallContext, url: ImmutableString, body: Dynamic| {
                            first.ask(&context, "http_post", &url, Some(&body), &Map::new())
                        },
                    )
                    .register_fn(
                        "http_post",
                        move |context: NativeCallContext,
                              url: ImmutableString,
                              body: Dynamic,
                              options: Map| {
                            second.ask(&context, "http_post", &url, Some(&body), &options)
                        },
                    );
            },
        },
    ],
};

/// Who asks, within which bounds.
struct Asker {
    outside: Outside,
    limits: Limits,
}

impl Asker {
    fn of(host: &Host) -> Self {
        Self {
            outside: Outside::of(host),
            limits: host.settings.limits,
        }
    }

    fn ask(
        &self,
        context: &NativeCallContext<'_>,
        function: &str,
        url: &str,
        body: Option<&Dynamic>,
        options: &Map,
    ) -> Result<Dynamic> {
        let who = self.outside.leave(function)?;
        let url = address(url)?;
        let host = url.host_str().unwrap_or_default();
        let place = format!("{host}:{}", url.port_or_known_default().unwrap_or(0));
        let trip = Trip::begin(Errand::Ask, who.1.file(), place);
        let answer = self.answer(context, function, who, url, body, options);
        trip.ends(&answer);
        answer
    }

    fn answer(
        &self,
        context: &NativeCallContext<'_>,
        function: &str,
        (egress, caller): (&Arc<Egress>, Rc<Caller>),
        url: Url,
        body: Option<&Dynamic>,
        options: &Map,
    ) -> Result<Dynamic> {
        let (mut query, time) = query(url, options)?;
        if let Some(body) = body {
            add_body(&mut query, body, &self.limits)?;
        }
        let time = match time {
            Some(seconds) => duration(function, seconds)?,
            None => egress.limits.time,
        };
        if let Some(stand_in) = &self.outside.stand_in {
            return stand_in.answer(&query, context).map(answered);
        }
        let permit = egress.admit(caller.file(), Kind::Request);
        let permit = permit.map_err(|error| barred(&error))?;
        let (egress, handler) = (Arc::clone(egress), caller.file().to_owned());
        let answer = meter::until(async move {
            let _permit = permit;
            fetch(&egress, &handler, query, time).await
        })?;
        answer.map(answered).map_err(not_fetched)
    }
}

fn not_fetched(error: NotFetched) -> Box<EvalAltResult> {
    let kind = match error {
        NotFetched::Barred(error) => return barred(&error),
        NotFetched::NotOpened(error) => return not_opened(&error),
        NotFetched::Large(..) => "large",
        NotFetched::Late(_) => "late",
        NotFetched::Url(_) | NotFetched::Broken(..) => "unreached",
    };
    thrown(kind, error.to_string())
}

fn add_body(query: &mut Query, body: &Dynamic, limits: &Limits) -> Result<()> {
    let (kind, bytes) = body_of("the body of a request", body, limits)?;
    if !query.headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
        let kind = HeaderValue::from_static(kind);
        query.headers.push((CONTENT_TYPE, kind));
    }
    query.body = bytes.into();
    if query.method == Method::GET {
        query.method = Method::POST;
    }
    Ok(())
}

/// The address, as scripts have to write it.
fn address(url: &str) -> Result<Url> {
    match Url::parse(url) {
        Ok(mut found) if matches!(found.scheme(), "http" | "https") && found.has_host() => {
            found.set_fragment(None);
            Ok(found)
        }
        _ => throw(
            "url",
            format!("{url:?} is no such URL: write http://HOST/PATH or https://HOST/PATH"),
        ),
    }
}

/// A request without its body, and how long it may take.
fn query(url: Url, options: &Map) -> Result<(Query, Option<f64>)> {
    const KNOWN: [&str; 3] = ["headers", "seconds", "method"];
    let (mut fields, mut time, mut method) = (Vec::new(), None, Method::GET);
    for (name, value) in options {
        match name.as_str() {
            "headers" => {
                for (name, value) in headers(value)? {
                    fields.push(header(&name, &value)?);
                }
            }
            "seconds" => time = Some(seconds(name, value)?),
            "method" => {
                let wanted = text(name, value)?;
                let known = METHODS.contains(&wanted.as_str());
                method = match Method::from_bytes(wanted.as_bytes()) {
                    Ok(method) if known => method,
                    _ => {
                        let all = METHODS.join(", ");
                        return throw("option", format!("method is one of {all}, not {wanted:?}"));
                    }
                };
            }
            _ => return throw("option", no_option(name, &KNOWN)),
        }
    }
    let query = Query {
        method,
        url,
        headers: fields,
        body: Vec::new().into(),
    };
    Ok((query, time))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
    match parsed.zip(HeaderValue::from_str(value).ok()) {
        Some((name, _)) if RESERVED.contains(&name.as_str()) => throw(
            "option",
            format!("{name} is a header that the request makes by itself"),
        ),
        Some(field) => Ok(field),
        None => throw("option", format!("\"{name}: {value}\" is no header")),
    }
}

/// A value as a body, and its type.
pub(crate) fn body_of(
    what: &str,
    body: &Dynamic,
    limits: &Limits,
) -> Result<(&'static str, Vec<u8>)> {
    if let Ok(text) = body.as_immutable_string_ref() {
        return Ok(("text/plain; charset=utf-8", text.as_bytes().to_vec()));
    }
    if let Ok(blob) = body.as_blob_ref() {
        return Ok(("application/octet-stream", blob.to_vec()));
    }
    if body.is_map() || body.is_array() {
        let text = json::to_json(body, limits)?;
        return Ok(("application/json", text.as_bytes().to_vec()));
    }
    throw(
        "type",
        format!(
            "{what} is a string, a blob, a map or an array, not {}",
            types::name_of(body)
        ),
    )
}

fn answered(fetched: Fetched) -> Dynamic {
    let text = match std::str::from_utf8(&fetched.body) {
        Ok(text) => text.into(),
        Err(_) => Dynamic::UNIT,
    };
    let answer: [(&str, Dynamic); 4] = [
        ("status", i64::from(fetched.status).into()),
        ("headers", gather(fetched.headers.into_iter())),
        ("text", text),
        ("body", Dynamic::from_blob(fetched.body)),
    ];
    let answer = answer.map(|(name, value)| (name.into(), value));
    Dynamic::from_map(Map::from_iter(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_by_http_is_asked() {
        for url in [
            "",
            "x",
            "/x",
            "ftp://h/",
            "ws://h/",
            "http:///",
            "javascript:1",
        ] {
            assert!(address(url).is_err(), "{url}");
        }
        let url = address("HTTPS://h:81/a?b#c").expect("a URL");
        assert_eq!(url.as_str(), "https://h:81/a?b");
    }

    #[test]
    fn headers_of_the_way_are_not_written_by_hand() {
        assert!(header("X-Own", "a").is_ok());
        for (name, value) in [
            ("Content-Length", "1"),
            ("transfer-encoding", "chunked"),
            ("a b", "c"),
            ("a", "b\r\nc: d"),
        ] {
            assert!(header(name, value).is_err(), "{name}: {value}");
        }
        let method = Map::from([("method".into(), "TRACE".into())]);
        assert!(query(address("http://h/").expect("a URL"), &method).is_err());
        assert!(
            body_of(
                "it",
                &Dynamic::from_array(vec![]),
                &crate::config::limits::SCRIPT
            )
            .is_ok()
        );
    }
}
