//! One line of a package's row, like `ws.send(text: string)`, taken apart: for the reference, the
//! definition files of editors and the hints of errors.

use std::any::TypeId;
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;

use super::connection::WebSocket;
use super::dial::Handle;
use super::people::Other;
use super::queues::Queue;
use super::request;
use super::store::Store;
use crate::machine::host::{Allowed, Function};
use crate::machine::types;
use crate::script::request::Request;

/// A form of calling a function, or of using a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form<'a> {
    /// Object before the dot: `ws`, `request`, `error`; `None` for a function without one.
    receiver: Option<&'a str>,
    /// Name of the function or property, behind the dot if there is one.
    pub name: &'a str,
    kind: Kind<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind<'a> {
    /// Parameters with their types, and the type of the result, if there is one.
    Call(Vec<(&'a str, &'a str)>, Option<&'a str>),
    /// A property of this type that can be read.
    Get(&'a str),
    /// A property of this type that can be set.
    Set(&'a str),
}

impl Function {
    /// The ways to call it, as its row has them.
    pub fn written(&self) -> impl Iterator<Item = Form<'static>> {
        let signatures = self.signatures.iter();
        signatures.filter_map(|text| Form::of(text))
    }

    /// The ways to call it. What `request` can be asked in every hook is asked of `ws` after the
    /// handshake.
    pub fn forms(&self) -> impl Iterator<Item = Form<'static>> {
        let kept = matches!(self.allowed, Allowed::Everywhere);
        self.written().flat_map(move |form| {
            let of_ws = form.of_ws().filter(|_| kept);
            std::iter::once(form).chain(of_ws)
        })
    }
}

impl<'a> Form<'a> {
    /// Reads `sleep(seconds: float)`, `now() -> float`, `ws.send(text: string)`, `request.path ->
    /// string` for a property and `request.protocol = string` for one that can be set; alternatives
    /// of a type stand between `|`.
    pub fn of(text: &'a str) -> Option<Self> {
        let end = text.find(|c: char| !is_name_char(c) && c != '.')?;
        let (path, rest) = text.split_at(end);
        let kind = if let Some(types) = rest.strip_prefix(" -> ") {
            Kind::Get(type_of(types)?)
        } else if let Some(types) = rest.strip_prefix(" = ") {
            Kind::Set(type_of(types)?)
        } else {
            let rest = rest.strip_prefix('(')?;
            let (params, result) = match rest.rsplit_once(") -> ") {
                Some((params, types)) => (params, Some(type_of(types)?)),
                None => (rest.strip_suffix(')')?, None),
            };
            let params = params.split(',').filter(|param| !param.is_empty());
            Kind::Call(params.map(param).collect::<Option<_>>()?, result)
        };
        let (receiver, name) = match path.split_once('.') {
            Some((receiver, name)) => (Some(receiver), name),
            None => (None, path),
        };
        let is_whole = receiver.is_none_or(|receiver| class_of(receiver).is_some())
            && is_name(name)
            && (receiver.is_some() || matches!(kind, Kind::Call(..)));
        is_whole.then_some(Self {
            receiver,
            name,
            kind,
        })
    }

    /// The type that it belongs to, or the types of its first parameter; none if it takes nothing.
    pub fn of_type(&self) -> Option<&'a str> {
        match (self.receiver, &self.kind) {
            (Some(receiver), _) => class_of(receiver),
            (None, Kind::Call(params, _)) => params.first().map(|(_, types)| *types),
            (None, _) => None,
        }
    }

    /// Returns the number of values it takes, the object before the dot included.
    pub fn arity(&self) -> usize {
        let params = match &self.kind {
            Kind::Call(params, _) => params.len(),
            Kind::Get(_) => 0,
            Kind::Set(_) => 1,
        };
        params + usize::from(self.receiver.is_some())
    }

    /// Whether it is used without parentheses.
    pub fn is_property(&self) -> bool {
        !matches!(self.kind, Kind::Call(..))
    }

    /// Returns the dotted name: `sleep`, `ws.send`.
    pub fn path(&self) -> String {
        match self.receiver {
            Some(receiver) => format!("{receiver}.{}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The same of `ws`, for one of `request`.
    pub fn of_ws(&self) -> Option<Self> {
        (self.receiver == Some("request")).then(|| Self {
            receiver: Some("ws"),
            ..self.clone()
        })
    }

    /// A line of a definition file, where a method's object is its first parameter.
    pub fn definition(&self) -> String {
        let object = self.receiver.and_then(|name| Some((name, class_of(name)?)));
        let (accessor, params, result) = match &self.kind {
            Kind::Call(params, result) => ("", params.clone(), result.unwrap_or("()")),
            Kind::Get(types) => ("get ", vec![], *types),
            Kind::Set(types) => ("set ", vec![("value", *types)], "()"),
        };
        let params = object.into_iter().chain(params);
        let params: Vec<_> = params
            .map(|(name, types)| format!("{name}: {}", defined(types)))
            .collect();
        let name = self.name;
        format!(
            "fn {accessor}{name}({}) -> {};",
            params.join(", "),
            defined(result)
        )
    }

    /// Returns its registration in an engine: the type that it belongs to, its name and the number
    /// of its parameters.
    #[cfg(test)]
    pub fn registered(&self) -> (Option<&'static str>, String, usize) {
        let accessor = match &self.kind {
            Kind::Call(..) => "",
            Kind::Get(_) => "get$",
            Kind::Set(_) => "set$",
        };
        let name = format!("{accessor}{}", self.name);
        (self.receiver.and_then(class_of), name, self.arity())
    }
}

impl fmt::Display for Form<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        match &self.kind {
            Kind::Call(params, result) => {
                let params: Vec<_> = params
                    .iter()
                    .map(|(name, types)| format!("{name}: {types}"))
                    .collect();
                write!(out, "{path}({})", params.join(", "))?;
                result.map_or(Ok(()), |types| write!(out, " -> {types}"))
            }
            Kind::Get(types) => write!(out, "{path} -> {types}"),
            Kind::Set(types) => write!(out, "{path} = {types}"),
        }
    }
}

/// Parses a parameter with its type: `seconds: float`.
fn param(text: &str) -> Option<(&str, &str)> {
    let (name, types) = text.trim().split_once(": ")?;
    is_name(name).then_some((name, type_of(types)?))
}

/// The alternatives of a type, all of which there must be.
fn type_of(text: &str) -> Option<&str> {
    let known = |name: &str| types().any(|(known, _)| known == name.trim());
    text.split('|').all(known).then_some(text)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The types that scripts have, ours among them.
pub fn types() -> impl Iterator<Item = (&'static str, TypeId)> {
    let ours = [
        ("WebSocket", TypeId::of::<WebSocket>()),
        ("Request", TypeId::of::<Rc<Request>>()),
        ("Connection", TypeId::of::<Other>()),
        ("Store", TypeId::of::<Store>()),
        ("Queue", TypeId::of::<Queue>()),
        ("Dialed", TypeId::of::<Handle>()),
    ];
    types::TYPES.into_iter().chain(ours)
}

/// Our own types, and what the documentation calls a value of them.
pub const OBJECTS: [(&str, &str); 7] = [
    ("WebSocket", "ws"),
    ("Request", "request"),
    ("Error", "error"),
    ("Store", "store"),
    ("Queue", "queue"),
    ("Connection", "connection"),
    ("Dialed", "dialed"),
];

/// A type as Rhai's own definition files call it.
fn defined(types: &str) -> String {
    let named = |name| match name {
        "any" => "?",
        "function" => "Fn",
        name => name,
    };
    let types = types.split('|').map(str::trim).map(named);
    types.collect::<Vec<_>>().join(" | ")
}

/// The type of what stands before a dot.
fn class_of(receiver: &str) -> Option<&'static str> {
    let object = OBJECTS.iter().find(|(_, object)| *object == receiver);
    object.map(|(class, _)| *class)
}

/// Whether a handler's text names anything that a request must be kept for.
pub fn is_asked_for(text: &str) -> bool {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let members = request::PACKAGE
            .functions
            .iter()
            .filter(|row| matches!(row.allowed, Allowed::Everywhere))
            .flat_map(Function::written)
            .map(|form| form.name);
        // The path is known for every connection.
        members.filter(|name| *name != "path").collect()
    });
    NAMES.iter().any(|name| text.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_its_definition() {
        for (text, definition, name, params) in [
            ("now() -> float", "fn now() -> float;", "now", 0),
            (
                "sleep(seconds: float)",
                "fn sleep(seconds: float) -> ();",
                "sleep",
                1,
            ),
            (
                "ws.close(code: int, reason: string)",
                "fn close(ws: WebSocket, code: int, reason: string) -> ();",
                "close",
                3,
            ),
            (
                "ws.close(no_code: ())",
                "fn close(ws: WebSocket, no_code: ()) -> ();",
                "close",
                2,
            ),
            (
                "hex(data: blob | string) -> string",
                "fn hex(data: blob | string) -> string;",
                "hex",
                1,
            ),
            (
                "request.origin -> string | ()",
                "fn get origin(request: Request) -> string | ();",
                "get$origin",
                1,
            ),
            (
                "request.protocol = string",
                "fn set protocol(request: Request, value: string) -> ();",
                "set$protocol",
                2,
            ),
        ] {
            let form = Form::of(text).expect(text);
            assert_eq!(form.definition(), definition);
            let (_, registered, count) = form.registered();
            assert_eq!((&*registered, count), (name, params));
            assert_eq!(form.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_signature() {
        for text in [
            "",
            "now",
            "now() float",
            "sleep(seconds)",
            "sleep(seconds: floats)",
            "sleep(seconds: float",
            "socket.send(text: string)",
            "path -> string",
            "ws.send(text: string[, more: int])",
        ] {
            assert_eq!(Form::of(text), None, "{text}");
        }
    }

    #[test]
    fn each_form_is_of_a_type() {
        for (text, of, arity, is_property) in [
            ("now() -> float", None, 0, false),
            (
                "hex(data: blob | string) -> string",
                Some("blob | string"),
                1,
                false,
            ),
            ("ws.send(text: string)", Some("WebSocket"), 2, false),
            ("error.kind -> string", Some("Error"), 1, true),
            ("request.protocol = string", Some("Request"), 2, true),
        ] {
            let form = Form::of(text).expect(text);
            let is = (form.of_type(), form.arity(), form.is_property());
            assert_eq!(is, (of, arity, is_property), "{text}");
        }
    }
}
