//! What questions are made of.

use data_encoding::BASE64;
use serde_json::Value;

use crate::websocket::frame::Data;

/// What comes of a question.
pub type Answer = Result<Value, String>;

/// A text of a question.
pub fn text<'q>(question: &'q Value, name: &str) -> Result<&'q str, String> {
    let text = question[name].as_str();
    text.ok_or_else(|| format!("{name} is missing: a text"))
}

/// The message of a question: `text`, or `data` as base64.
pub fn message(question: &Value) -> Result<(Data, Vec<u8>), String> {
    match (question["text"].as_str(), question["data"].as_str()) {
        (Some(text), None) => Ok((Data::Text, text.as_bytes().to_vec())),
        (None, Some(data)) => match BASE64.decode(data.as_bytes()) {
            Ok(bytes) => Ok((Data::Binary, bytes)),
            Err(_) => Err("data is no base64".into()),
        },
        _ => Err("a message is text, or data as base64".into()),
    }
}
