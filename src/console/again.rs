//! What caused a fault, done again through the newest version of its handler.

use std::sync::Arc;

use serde_json::{Value, json};

use super::question::{Answer, message};
use super::window::Desk;
use crate::observe::live::{FAULTS, Fault};
use crate::script::{self, Again};
use crate::websocket::Message;
use crate::websocket::frame::Data;

/// Does it again: as it was, or with another message.
pub async fn again(desk: &Desk, question: &Value) -> Answer {
    let number = question["fault"].as_u64().unwrap_or_default();
    let fault = FAULTS
        .get(number)
        .ok_or("this fault is mended, or too old to be known")?;
    let generation = (desk.generation)();
    let entry = generation.entries.get(&fault.handler);
    let source = entry
        .and_then(|entry| entry.source.as_ref())
        .ok_or("its handler is gone")?;
    let is_edited = question.get("text").is_some() || question.get("data").is_some();
    let again = Again {
        message: match is_edited {
            true => Some(whole(message(question)?)?),
            false => as_it_was(&fault)?,
        },
        params: generation
            .find(&fault.path)
            .map_or(Vec::new(), |found| found.params),
        path: fault.path.clone(),
        this: fault.cause.this.map_or(json!({}), |(this, _)| this),
    };
    Ok(script::run_again(&desk.runtime, &Arc::clone(source), again).await)
}

fn whole((kind, bytes): (Data, Vec<u8>)) -> Result<Message<'static>, String> {
    match kind {
        Data::Text => String::from_utf8(bytes)
            .map(|text| Message::Text(text.into()))
            .map_err(|error| error.to_string()),
        _ => Ok(Message::Binary(bytes.into())),
    }
}

fn as_it_was(fault: &Fault) -> Result<Option<Message<'static>>, String> {
    match &fault.cause.message {
        _ if !fault.can_run() => {
            Err("only what transfer_data and on_open were called with is done again".into())
        }
        _ if fault.hook == "on_open" => Ok(None),
        Some(met) => {
            let kind = if met.is_text {
                Data::Text
            } else {
                Data::Binary
            };
            whole((kind, met.bytes.to_vec())).map(Some)
        }
        None => Ok(None),
    }
}
