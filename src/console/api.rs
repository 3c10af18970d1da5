//! The operations over HTTP: a request for each, with what it tells in the query.

use serde_json::{Map, Value, json};

use super::catalogue::{Kind, OPERATIONS, openapi};
use super::journal;
use super::operations::operate;
use super::page::API;
use super::window::Desk;

/// A request: its method, its path, and its query.
#[derive(Debug)]
pub struct ApiRequest {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, still encoded.
    pub query: String,
}

/// The answer: a status, and JSON.
pub async fn answer(desk: &Desk, request: &ApiRequest) -> (u16, Value) {
    let error = |status, error: String| (status, json!({ "error": error }));
    let name = request.path.strip_prefix(API).unwrap_or_default();
    if name == "openapi.json" {
        return (200, openapi());
    }
    let Some(operation) = OPERATIONS.iter().find(|known| known.name == name) else {
        let known: Vec<_> = OPERATIONS.iter().map(|known| known.name).collect();
        let known = known.join(", ");
        return error(
            404,
            format!("there is no {name:?}; there are openapi.json, {known}"),
        );
    };
    let method = if operation.reads { "GET" } else { "POST" };
    if request.method != method {
        return error(405, format!("{name} is a {method}"));
    }
    let mut question = Map::from_iter([("do".to_owned(), json!(name))]);
    for (key, text) in form_urlencoded::parse(request.query.as_bytes()) {
        let Some((_, kind, ..)) = operation
            .parameters
            .iter()
            .find(|(known, ..)| *known == key)
        else {
            return error(400, format!("{name} has no parameter {key:?}"));
        };
        let value = match kind {
            Kind::Text => Some(json!(text)),
            Kind::Integer => text.parse::<i64>().ok().map(Value::from),
            Kind::Number => text.parse::<f64>().ok().map(Value::from),
        };
        let Some(value) = value else {
            return error(400, format!("{key} is a number, not {text:?}"));
        };
        question.insert(key.into_owned(), value);
    }
    let question = Value::Object(question);
    desk.console.listening.goes_on();
    match name {
        "reset" => {
            journal::reset(&desk.console.listening);
            (200, Value::Null)
        }
        "journal" => journal::find(&question).await,
        _ => match operate(desk, &question).await {
            Ok(value) => (200, value),
            Err(why) => error(400, why),
        },
    }
}
