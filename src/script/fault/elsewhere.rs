//! Names that other languages and servers have, and what is written here instead.

use crate::script::api::form::OBJECTS;

/// Kind of use of a name that nothing has here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// As a variable, or a function that is called without an object.
    Free,
    /// On `ws` or `request`.
    Connection,
    /// On any other value.
    Value,
}

impl Used {
    /// On a value of this type, or on none.
    pub fn on(of: Option<&str>) -> Self {
        match of {
            None => Self::Free,
            Some(of) if OBJECTS[..2].iter().any(|(ours, _)| *ours == of) => Self::Connection,
            Some(_) => Self::Value,
        }
    }
}

/// Functions that have another name in other languages, too unlike ours to be found by their
/// letters.
const SYNONYMS: &[(&[&str], &str)] = &[
    (&["size", "count", "length"], "len"),
    (
        &[
            "includes",
            "has",
            "hasOwnProperty",
            "has_key",
            "contains_key",
        ],
        "contains",
    ),
    (&["append", "add"], "push"),
    (&["strip"], "trim"),
    (&["unshift", "prepend"], "insert"),
    (&["slice"], "extract"),
    (&["substr", "substring"], "sub_string"),
    (&["toLowerCase", "lower", "downcase"], "to_lower"),
    (&["toUpperCase", "upper", "upcase"], "to_upper"),
    (&["startswith", "startsWith", "HasPrefix"], "starts_with"),
    (&["endswith", "endsWith", "HasSuffix"], "ends_with"),
    (
        &["parseInt", "to_int", "Atoi", "atoi", "Number"],
        "parse_int",
    ),
    (&["parseFloat", "to_float", "ParseFloat"], "parse_float"),
    (&["indexOf", "findIndex"], "index_of"),
    (&["typeof", "isinstance"], "type_of"),
    (&["toString", "String"], "to_string"),
    (
        &[
            "recv",
            "read",
            "read_message",
            "receive_message",
            "ReadMessage",
        ],
        "ws.receive",
    ),
    (
        &[
            "write",
            "write_message",
            "send_message",
            "WriteMessage",
            "sendall",
        ],
        "ws.send",
    ),
    (&["terminate", "destroy", "kill", "drop"], "ws.abort"),
    (&["end", "disconnect", "shutdown"], "ws.close"),
    (
        &["sendJSON", "sendJson", "json", "write_json", "WriteJSON"],
        "ws.send_json",
    ),
    (
        &[
            "ip",
            "address",
            "client_ip",
            "remoteAddress",
            "RemoteAddr",
            "peer_addr",
        ],
        "ws.remote_addr",
    ),
    (&["uuid", "uid", "key"], "ws.id"),
    (
        &["url", "uri", "unparsed_uri", "ws_resource", "original_url"],
        "ws.target",
    ),
    (&["pathname", "location", "route"], "ws.path"),
    (&["bufferedAmount"], "ws.buffered_amount"),
    (
        &[
            "state",
            "readyState",
            "connected",
            "is_open",
            "open",
            "closed",
        ],
        "ws.ready_state",
    ),
    (&["ws_origin"], "ws.origin"),
    (&["ws_protocol", "subprotocol"], "ws.protocol"),
    (
        &["ws_requested_protocols", "subprotocols", "protocols"],
        "ws.requested_protocols",
    ),
    (
        &["searchParams", "query_string", "args", "GET"],
        "ws.query_params",
    ),
    (&["cookie", "get_cookie"], "ws.cookies"),
    (
        &["setHeader", "set_header", "set_cookie", "setCookie"],
        "request.add_header",
    ),
    (&["randint", "randrange", "rand", "Random"], "random"),
    (&["uuid4", "randomUUID"], "uuid"),
    (&["time", "perf_counter", "timestamp"], "now"),
    (&["btoa", "b64encode"], "base64"),
    (&["exit", "quit"], "ws.close"),
];

/// Returns the name that a function of another language has here: of those that are called as this
/// one was.
pub fn synonym(name: &str, used: Used, of: Option<&str>) -> Option<String> {
    let fits = |ours: &str| match used {
        Used::Connection => ours.contains('.'),
        Used::Free | Used::Value => !ours.contains('.'),
    };
    let mut found = SYNONYMS.iter().filter(|(others, _)| others.contains(&name));
    let (_, ours) = found.find(|(_, ours)| fits(ours))?;
    Some(match of {
        // Both have it.
        Some("Request") => ours.replacen("ws.", "request.", 1),
        _ => (*ours).to_owned(),
    })
}

/// Said of what several connections would have in common.
pub const SHARED: &str = "connections reach each other by topics: `ws.subscribe(\"name\")` in \
    `on_open`, and `publish(\"name\", message)` for all";

const LISTENERS: &str = "there are no listeners, the server calls functions of the file: `fn \
    on_open(ws)`, \
     `fn transfer_data(ws, message)`, `fn on_close(ws, code, reason, was_clean)`";
const TIMERS: &str = "`ws.after(seconds, \"name\")` and `ws.every(seconds, \"name\")` set timers, \
    which call \
     `fn on_timer(ws, name)`";
const EACH: &str = "a loop is written `for item in array { … }`";
const OUTSIDE: &str = "a handler cannot call other servers, read files or run programs";
const CLOCK: &str = "`sleep(seconds)` waits, and `now()` gives the seconds since 1970";
const CASTS: &str = "`parse_int(text)` makes an int of a string, `x.to_int()` of a float";
const TEXTS: &str =
    "`value.to_string()` makes a string, `${value}` is one in a `text` between backticks";
/// Said of patterns.
pub const REGEX: &str =
    "there are no regular expressions: strings have `split`, `contains`, `starts_with`, `index_of`";
const LOG: &str = "`print(…)` and `debug(…)` write to the log";
const WAITS: &str =
    "what waits is called like everything else, and gives its value: `let m = ws.receive();`";
const SIZES: &str = "numbers have methods: `x.sqrt()`, `x.floor()`, `x.abs()`; two have `min(a, \
    b)` and `max(a, b)`";
const RANDOM: &str = "`random()` gives a float from 0 to 1, `random(1, 7)` an int from 1 to 6";
const FORMS: &str = "a text with values in it stands between backticks: `… ${value}`";
const FORMATS: &str = "there are `parse_json(text)` and `to_json(value)`";

/// Names where more is to be said than another name.
const SAID: &[(Used, &[&str], &str)] = &[
    (
        Used::Free,
        &[
            "broadcast",
            "subscribe",
            "emit",
            "clients",
            "rooms",
            "peers",
            "sockets",
            "connections",
            "channels",
            "sendAll",
            "send_all",
            "sendTo",
            "send_to",
            "to_all",
            "wss",
            "io",
            "server",
            "hub",
            "everyone",
            "sessions",
            "broadcast_all",
            "notify_all",
            "shared",
        ],
        SHARED,
    ),
    (
        Used::Connection,
        &[
            "broadcast",
            "emit",
            "join",
            "leave",
            "clients",
            "rooms",
            "room",
            "to",
            "in",
            "sendAll",
            "send_all",
            "sendTo",
            "send_to",
            "server",
            "peers",
            "connections",
            "sockets",
            "topics",
            "send_to_all",
            "group_send",
        ],
        SHARED,
    ),
    (
        Used::Connection,
        &[
            "on",
            "once",
            "off",
            "addEventListener",
            "removeEventListener",
            "addListener",
            "listen",
            "onMessage",
            "on_message",
            "set_handler",
            "attachEvent",
        ],
        LISTENERS,
    ),
    (
        Used::Free,
        &["on", "addEventListener", "onmessage", "onopen", "onclose"],
        LISTENERS,
    ),
    (
        Used::Free,
        &[
            "setTimeout",
            "setInterval",
            "setImmediate",
            "clearTimeout",
            "clearInterval",
            "Timer",
            "schedule",
        ],
        TIMERS,
    ),
    (
        Used::Connection,
        &["setTimeout", "setInterval", "timer", "schedule"],
        TIMERS,
    ),
    (Used::Value, &["forEach", "foreach", "each"], EACH),
    (
        Used::Value,
        &["join"],
        "it is a method of arrays: `list.join(\", \")`",
    ),
    (
        Used::Value,
        &["concat", "extend"],
        "`list + other` is both, and `list.append(other)` adds the other to the first",
    ),
    (
        Used::Value,
        &["items", "entries", "iteritems"],
        "a loop is written `for key in map.keys() { … map[key] … }`",
    ),
    (
        Used::Value,
        &["toFixed", "toPrecision"],
        "`x.round()` rounds to a whole number",
    ),
    (
        Used::Value,
        &["unwrap", "expect", "unwrap_or", "ok"],
        "what fails throws; `value ?? other` is the other if the value is `()`",
    ),
    (Used::Value, &["test", "exec", "search", "matches"], REGEX),
    (
        Used::Value,
        &["charAt", "char_at", "at"],
        "`text.sub_string(0, 1)` is the first character as a string",
    ),
    (
        Used::Free,
        &["strings", "string"],
        "strings have methods: `text.to_upper()`, `text.split(\", \")`",
    ),
    (
        Used::Free,
        &["db", "redis", "database", "sqlite", "mysql"],
        OUTSIDE,
    ),
    (Used::Value, &["format"], FORMS),
    (
        Used::Value,
        &["encode"],
        "`to_blob(text)` makes a blob of a string",
    ),
    (
        Used::Value,
        &["decode"],
        "`utf8(blob)` makes a string of a blob",
    ),
    (Used::Value, &["then", "catch", "finally", "await"], WAITS),
    (
        Used::Value,
        &["data", "body", "payload", "text", "content"],
        "`message` itself is what came: a string, or a blob for binary data",
    ),
    (Used::Free, &["int", "Int", "Integer"], CASTS),
    (
        Used::Free,
        &["float", "Float"],
        "`parse_float(text)` makes a float of a string, `n.to_float()` of an int",
    ),
    (
        Used::Free,
        &["str", "Str", "String", "itoa", "strconv"],
        TEXTS,
    ),
    (
        Used::Free,
        &[
            "fetch",
            "axios",
            "XMLHttpRequest",
            "requests",
            "urllib",
            "http",
            "https",
            "open",
            "fs",
            "os",
            "readFile",
            "exec",
            "subprocess",
            "socket",
            "net",
            "child_process",
            "system",
        ],
        OUTSIDE,
    ),
    (
        Used::Free,
        &["require", "include", "importScripts"],
        "a module of the handler folder is brought in by `import \"lib/name\" as name;` at the top \
        of the file",
    ),
    (
        Used::Free,
        &["module", "exports"],
        "a file's functions can all be called by who imports it; `export const NAME = …;` shows a \
        constant",
    ),
    (
        Used::Free,
        &[
            "console", "logger", "logging", "fmt", "log", "println", "printf", "alert", "echo",
            "puts",
        ],
        LOG,
    ),
    (
        Used::Connection,
        &["log", "print", "debug", "info", "warn", "error"],
        LOG,
    ),
    (Used::Free, &["JSON", "json"], FORMATS),
    (Used::Free, &["Math", "math", "sqrt"], SIZES),
    (Used::Free, &["random", "randint", "shuffle"], RANDOM),
    (Used::Free, &["self"], "a connection's own state is `this`"),
    (
        Used::Free,
        &["time", "Date", "performance", "datetime"],
        CLOCK,
    ),
    (Used::Free, &["asyncio", "Promise", "async", "await"], WAITS),
    (
        Used::Free,
        &["threading", "Thread", "Worker", "goroutine", "go", "spawn"],
        "there are no threads: while a hook waits, others run",
    ),
    (
        Used::Free,
        &[
            "Object", "Map", "Set", "set", "dict", "HashMap", "make", "Dict",
        ],
        "an object map is `#{ name: value }`, and `map.keys()`, `map.values()` go through it",
    ),
    (
        Used::Free,
        &["Array", "list", "List", "Vec", "vec", "tuple"],
        "an array is `[1, 2, 3]`",
    ),
    (
        Used::Free,
        &[
            "Buffer",
            "Uint8Array",
            "ArrayBuffer",
            "DataView",
            "bytes",
            "bytearray",
            "Blob",
        ],
        "bytes are a blob: `blob(length)`, `to_blob(text)`, and `pack` and `unpack` for numbers in \
        it",
    ),
    (
        Used::Free,
        &["TextEncoder", "TextDecoder"],
        "`to_blob(text)` makes a blob of a string, `utf8(blob)` a string of a blob",
    ),
    (
        Used::Free,
        &["struct"],
        "`pack(format, values)` and `unpack(format, blob)` do it",
    ),
    (
        Used::Free,
        &[
            "Error",
            "Exception",
            "ValueError",
            "panic",
            "raise",
            "errors",
            "assert",
        ],
        "`throw \"text\"` throws, and `try { … } catch (e) { … }` catches",
    ),
    (Used::Free, &["RegExp", "re", "regex"], REGEX),
    (Used::Free, &["sprintf", "format"], FORMS),
    (
        Used::Free,
        &["crypto", "hashlib"],
        "there are `sha256(data)`, `hmac_sha256(key, data)` and `random_bytes(n)`",
    ),
    (
        Used::Free,
        &["process", "env", "environ", "getenv"],
        "`env(\"NAME\")` reads a variable that the server was started with `--allow-env NAME` for",
    ),
    (
        Used::Free,
        &["window", "document", "localStorage", "navigator"],
        "a handler runs in the server, not in the browser",
    ),
    (
        Used::Free,
        &["encodeURIComponent", "quote", "encodeURI", "urlencode"],
        "`url_encode(text)` and `url_decode(text)` do it",
    ),
    (
        Used::Free,
        &["enumerate"],
        "a loop with its index is written `for (item, index) in list { … }`",
    ),
    (
        Used::Free,
        &["isNaN", "isFinite"],
        "floats have `x.is_nan()` and `x.is_finite()`",
    ),
    (
        Used::Free,
        &["input", "readline", "prompt"],
        "`ws.receive()` waits for the client's next message",
    ),
    (
        Used::Free,
        &["WebSocket", "WebSocketServer"],
        "the server has made the connection: it is `ws`, in every hook; `ws.ready_state` is a \
        string, \"open\"",
    ),
    (
        Used::Connection,
        &["request"],
        "what the request said is asked of `ws` itself: `ws.path`",
    ),
    (
        Used::Connection,
        &["ws_stream", "stream"],
        "the connection has it all: `ws.receive()`, `ws.send(message)`",
    ),
    (
        Used::Connection,
        &["headers_in", "get_header", "getHeader", "headers_out"],
        "`header(\"name\")` gives a header, or `()`; `headers` has them all by their names in \
        lower case, an array each",
    ),
    (
        Used::Connection,
        &["extra_headers", "response_headers", "response"],
        "`request.add_header(\"Name\", \"value\")` adds a header to the answer, in \
        `do_extra_handshake`",
    ),
    (
        Used::Connection,
        &[
            "connection",
            "conn",
            "socket",
            "transport",
            "client",
            "_socket",
        ],
        "its address is `remote_addr`; bytes of one's own are written by `raw_write`, with \
        --allow-raw",
    ),
    (
        Used::Connection,
        &[
            "ws_extension_processors",
            "ws_extensions",
            "ws_requested_extensions",
        ],
        "`requested_extensions` has what the client offered, `request.deflate` steers compression, \
        in `do_extra_handshake`",
    ),
    (
        Used::Connection,
        &[
            "ws_close_code",
            "ws_close_reason",
            "close_code",
            "close_reason",
        ],
        "`fn on_close(ws, code, reason, was_clean)` gets both",
    ),
    (
        Used::Connection,
        &["ws_version"],
        "the version is always 13: others do not get as far as a handler",
    ),
    (
        Used::Connection,
        &["accept", "accept_connection", "upgrade"],
        "a connection is accepted by not turning it away; `request.reject(403)` does that",
    ),
    (
        Used::Connection,
        &[
            "deny",
            "refuse",
            "status",
            "set_status",
            "forbid",
            "abort_with",
        ],
        "`request.reject(403)` turns a connection away, in `do_extra_handshake`",
    ),
    (
        Used::Connection,
        &["body", "form", "files"],
        "a WebSocket's request has no body: its query is `query_params`",
    ),
    (
        Used::Connection,
        &["user_agent", "userAgent"],
        "`header(\"user-agent\")` gives it, or `()`",
    ),
];

/// Returns the hint for a name that nothing has here, if there is one.
pub fn said(name: &str, used: Used) -> Option<&'static str> {
    let mut found = SAID
        .iter()
        .filter(|(place, names, _)| *place == used && names.contains(&name));
    found.next().map(|(_, _, hint)| *hint)
}

/// Names of a hook's parameter elsewhere, and its name here.
const PARAMETERS: &[(&[&str], &str)] = &[
    (
        &[
            "event", "evt", "ev", "e", "msg", "data", "payload", "text", "m", "body", "line",
        ],
        "message",
    ),
    (
        &[
            "socket",
            "sock",
            "conn",
            "connection",
            "client",
            "websocket",
            "session",
            "res",
            "response",
            "peer",
            "c",
            "stream",
        ],
        "ws",
    ),
    (
        &["req", "r", "environ", "ctx", "context", "handshake"],
        "request",
    ),
];

/// Returns the name here of a hook's parameter with this name elsewhere.
pub fn parameter(name: &str) -> Option<&'static str> {
    let found = PARAMETERS.iter().find(|(others, _)| others.contains(&name));
    found.map(|(_, ours)| *ours)
}

/// Methods that change the value before the dot and give nothing, whatever it is.
const IN_PLACE: &[&str] = &[
    "clear", "truncate", "pad", "push", "append", "insert", "chop", "mixin",
];

/// Whether a method changes the value before the dot and gives nothing.
pub fn is_in_place(method: &str) -> bool {
    IN_PLACE.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_said_twice() {
        for (place, names, _) in SAID {
            for name in *names {
                let same = |(other, names, _): &&(Used, &[&str], &str)| {
                    other == place && names.contains(name)
                };
                assert_eq!(SAID.iter().filter(same).count(), 1, "{name}");
            }
        }
    }
}
