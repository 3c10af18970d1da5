//! The operations as a table: from it the API knows what it may be asked and how, and is documented
//! as OpenAPI.

use serde_json::{Map, Value, json};

/// Something that can be asked or done.
pub struct Operation {
    /// Its name, which is the end of its path.
    pub name: &'static str,
    /// Whether it changes nothing, and is a GET; else it is a POST.
    pub reads: bool,
    /// What it does and answers, in a sentence.
    pub about: &'static str,
    /// What it is told, as the query of its address has it.
    pub parameters: &'static [Parameter],
}

/// A parameter: its name, its kind, whether it has to be there, and what it is.
pub type Parameter = (&'static str, Kind, bool, &'static str);

/// The kind of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
}

use Kind::{Integer, Number, Text};

const CONNECTION: Parameter = ("connection", Integer, true, "its number");
const TEXT: Parameter = ("text", Text, false, "a text message");
const DATA: Parameter = (
    "data",
    Text,
    false,
    "or the bytes of a binary one, as base64",
);
const TOPIC: Parameter = ("topic", Text, true, "its name");
const STORE: Parameter = (
    "store",
    Text,
    true,
    "its name; a handler's own is `file:` and the handler's file",
);
const FIND: Parameter = ("find", Text, false, "a text that is found in the name");
const KEY: Parameter = ("key", Text, true, "the key");
const FAULT: Parameter = ("fault", Integer, true, "its number");

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "connections",
        reads: true,
        about: "The newest open connections, at most 200, and how many there are of all.",
        parameters: &[(
            "filter",
            Text,
            false,
            "a text that is found in what they are known by",
        )],
    },
    Operation {
        name: "inspect",
        reads: true,
        about: "`this` of a connection, its timers and its topics.",
        parameters: &[CONNECTION],
    },
    Operation {
        name: "send",
        reads: false,
        about: "Sends a message to a connection.",
        parameters: &[CONNECTION, TEXT, DATA],
    },
    Operation {
        name: "close",
        reads: false,
        about: "Closes a connection.",
        parameters: &[
            CONNECTION,
            (
                "code",
                Integer,
                false,
                "the Close code; 1000 unless it is said",
            ),
            ("reason", Text, false, "the reason, at most 123 bytes"),
        ],
    },
    Operation {
        name: "topics",
        reads: true,
        about: "The topics with their subscribers, keys that are present, and history.",
        parameters: &[],
    },
    Operation {
        name: "topic",
        reads: true,
        about: "Who is present in a topic, and its history.",
        parameters: &[TOPIC],
    },
    Operation {
        name: "publish",
        reads: false,
        about: "Publishes to a topic; how many subscribers it has.",
        parameters: &[TOPIC, TEXT, DATA],
    },
    Operation {
        name: "stores",
        reads: true,
        about: "The stores with how many keys each has, and the queues with how many entries can \
            be taken: at most 200 of each.",
        parameters: &[FIND],
    },
    Operation {
        name: "entries",
        reads: true,
        about: "The first keys of a store with the beginnings of their values, at most 200 of the \
            first 1,000.",
        parameters: &[
            STORE,
            (
                "find",
                Text,
                false,
                "a text that is found in the key or the value",
            ),
        ],
    },
    Operation {
        name: "keys",
        reads: true,
        about: "The first keys of a store, at most 200.",
        parameters: &[STORE, ("prefix", Text, false, "what they begin with")],
    },
    Operation {
        name: "get",
        reads: true,
        about: "The value of a key: `text`, which is JSON, or `data`, a blob as base64.",
        parameters: &[STORE, KEY],
    },
    Operation {
        name: "set",
        reads: false,
        about: "Sets a key, or deletes it; whether it did.",
        parameters: &[
            STORE,
            KEY,
            (
                "json",
                Text,
                false,
                "the value as JSON; without it the key is deleted",
            ),
        ],
    },
    Operation {
        name: "queue",
        reads: true,
        about: "How many entries of a queue can be taken.",
        parameters: &[("queue", Text, true, "its name")],
    },
    Operation {
        name: "faults",
        reads: true,
        about: "The faults that are not mended.",
        parameters: &[],
    },
    Operation {
        name: "again",
        reads: false,
        about: "Runs what caused a fault once more, through the newest version of its handler.",
        parameters: &[FAULT, TEXT, DATA],
    },
    Operation {
        name: "forget",
        reads: false,
        about: "Takes a fault off the list.",
        parameters: &[FAULT],
    },
    Operation {
        name: "handlers",
        reads: true,
        about: "The handlers with paths, hooks, versions, and what is wrong with them.",
        parameters: &[],
    },
    Operation {
        name: "saves",
        reads: true,
        about: "What was saved, the oldest first.",
        parameters: &[],
    },
    Operation {
        name: "reset",
        reads: false,
        about: "Empties the journal and the list of faults, and keeps all connections' messages from \
            now on, until nobody has asked for ten minutes.",
        parameters: &[],
    },
    Operation {
        name: "journal",
        reads: true,
        about: "The messages since the reset that match. With `wait`, the answer comes as soon as \
            there are as many as `least` says, or is 404 when the time is over.",
        parameters: &[
            ("connection", Integer, false, "of this connection only"),
            ("path", Text, false, "of connections to this path only"),
            (
                "way",
                Text,
                false,
                "`in` from clients, which is so unless it is said, or `out` to them",
            ),
            ("contains", Text, false, "a text that the message contains"),
            (
                "pointer",
                Text,
                false,
                "a JSON Pointer (RFC 6901) into a message of JSON",
            ),
            ("equals", Text, false, "what stands there: a text, or JSON"),
            (
                "since",
                Integer,
                false,
                "only behind this number, as `last` of the answer before told",
            ),
            (
                "least",
                Integer,
                false,
                "how many are waited for; 1 unless it is said",
            ),
            ("wait", Number, false, "seconds, at most 60"),
        ],
    },
];

/// The table as an OpenAPI document.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let parameters: Vec<_> = operation
            .parameters
            .iter()
            .map(|(name, kind, required, about)| {
                let kind = match kind {
                    Integer => "integer",
                    Number => "number",
                    Text => "string",
                };
                json!({
                    "name": name, "in": "query", "required": required, "description": about,
                    "schema": { "type": kind },
                })
            })
            .collect();
        let method = if operation.reads { "get" } else { "post" };
        let answer = |about| json!({ "description": about, "content": { "application/json": {} } });
        let answers = json!({
            "200": answer("done"), "400": answer("not done; `error` says why"),
        });
        let described = json!({
            "operationId": operation.name, "summary": operation.about, "parameters": parameters,
            "responses": answers,
        });
        paths.insert(
            format!("{}{}", super::page::API, operation.name),
            json!({ method: described }),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "wsh-server: the control API of a developer's seat",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "With --dev, on this machine or behind a password. A request has no body: \
                what it tells is in the query.",
        },
        "paths": paths,
    })
}
