//! Messages as scripts have them: a string for text, a blob for binary data.

use std::borrow::Cow;

use rhai::{Dynamic, EvalAltResult, ImmutableString};

use crate::machine::error::throw;
use crate::machine::types;
use crate::websocket::Message;

/// A message's value.
pub fn of_message(message: Message<'_>) -> Dynamic {
    match message {
        Message::Text(text) => Dynamic::from(ImmutableString::from(&*text)),
        Message::Binary(bytes) => Dynamic::from_blob(bytes.into_owned()),
    }
}

/// The message that a value is sent as; throws `type` for what is none.
pub fn to_message<'v>(
    function: &str,
    value: &'v Dynamic,
    send: impl FnOnce(&Message<'_>) + 'v,
) -> Result<(), Box<EvalAltResult>> {
    if let Ok(text) = value.as_immutable_string_ref() {
        send(&Message::Text(Cow::Borrowed(&text)));
        return Ok(());
    }
    if let Ok(blob) = value.as_blob_ref() {
        send(&Message::Binary(Cow::Borrowed(&blob)));
        return Ok(());
    }
    no_message(function, value)
}

/// Throws `type` for what is no message.
pub fn no_message<T>(function: &str, value: &Dynamic) -> Result<T, Box<EvalAltResult>> {
    let found = types::name_of(value);
    // What these are mistaken for is a string, not JSON.
    let advice = match found {
        "()" | "char" | "function" => "",
        _ => ": send_json sends other values",
    };
    throw(
        "type",
        format!("{function} takes a string or a blob, not {found}{advice}"),
    )
}
