//! What a console can ask and have done, by name: JSON in, JSON out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::again;
use super::lists::{faults, handlers};
use super::question::{Answer, message, text};
use super::stores;
use super::window::Desk;
use crate::hub::{Address, Direct, Draft};
use crate::observe::live::{CONNECTIONS, FAULTS, JOURNAL, Seen, of_bytes};
use crate::store::{Change, Place};
use crate::websocket::Close;
use crate::websocket::frame::Data;

/// In whose name a console uses topics and stores.
const PAYER: &str = "console";
/// Topics that are told.
const TOPICS: usize = 500;
/// Messages of a history, and keys of presence and stores, that are told.
const MOST: usize = 200;
/// Bytes of a value, or of a message of a history, that are told.
const SHOWN: usize = 16 << 10;

/// Does what a question asks for.
pub async fn operate(desk: &Desk, question: &Value) -> Answer {
    let name = question["do"].as_str().unwrap_or_default();
    let console = &desk.console;
    match name {
        "connections" => {
            let filter = question["filter"].as_str().unwrap_or_default();
            let (found, total) = CONNECTIONS.newest(filter, MOST);
            let connections: Vec<_> = found.iter().map(|seen| seen.to_json()).collect();
            Ok(json!({ "connections": connections, "total": total }))
        }
        "inspect" => {
            let seen = connection(question)?;
            let inspected = console.inspect(seen.person.worker, seen.id()).await;
            inspected.ok_or_else(|| "its worker does not answer, or it has just ended".into())
        }
        "send" => {
            let (kind, bytes) = message(question)?;
            direct(desk, question, Direct::Send(kind, bytes)).await
        }
        "close" => {
            let code = question["code"].as_i64().unwrap_or(1000);
            let reason = question["reason"].as_str().unwrap_or_default();
            let close = Close::checked(code, reason)?;
            direct(desk, question, Direct::Close(close)).await
        }
        "publish" => publish(desk, question).await,
        "topics" => Ok(topics(desk)),
        "topic" => topic(desk, text(question, "topic")?),
        "keys" => {
            let (store, prefix) = (text(question, "store")?, question["prefix"].as_str());
            let keys = console
                .shelf
                .keys(store, prefix.unwrap_or_default(), MOST)
                .get()
                .await;
            let keys = keys.map_err(|refused| refused.to_string())?;
            Ok(keys.iter().map(|key| Value::from(&**key)).collect())
        }
        "stores" => stores::stores(desk, question).await,
        "entries" => stores::entries(desk, question).await,
        "get" => get(desk, question).await,
        "set" => set(desk, question).await,
        "queue" => {
            let length = console.shelf.length(text(question, "queue")?).get().await;
            let length = length.map_err(|refused| refused.to_string())?;
            let sizes = console.shelf.sizes();
            Ok(json!({ "length": length, "all": sizes.entries }))
        }
        "faults" => Ok(faults().into()),
        "forget" => {
            let number = question["fault"].as_u64().unwrap_or_default();
            Ok(FAULTS.forget(number).into())
        }
        "again" => again::again(desk, question).await,
        "handlers" => Ok(handlers(&(desk.generation)()).into()),
        "saves" => {
            let saves = JOURNAL.saves();
            let saves = saves.iter().map(|row| serde_json::from_str(row));
            Ok(saves.filter_map(Result::<Value, _>::ok).collect())
        }
        _ => Err(format!("there is no operation {name:?}")),
    }
}

/// The connection of a question.
fn connection(question: &Value) -> Result<Arc<Seen>, String> {
    let id = question["connection"].as_u64();
    let id = id.ok_or("connection is missing: its number")?;
    CONNECTIONS
        .get(id)
        .ok_or_else(|| format!("connection {id} is not open"))
}

/// Hands something to a connection.
async fn direct(desk: &Desk, question: &Value, direct: Direct) -> Answer {
    let (seen, hub) = (connection(question)?, &desk.console.hub);
    let address = Address {
        node: hub.node,
        worker: seen.person.worker,
        connection: seen.id(),
    };
    let answered = hub.direct(&address, direct);
    let done = match answered {
        Some(answered) => answered.await.unwrap_or(false),
        None => false,
    };
    match done {
        true => Ok(Value::Null),
        false => Err("it is closing, or has no room for it".into()),
    }
}

async fn publish(desk: &Desk, question: &Value) -> Answer {
    let (topic, (kind, bytes)) = (text(question, "topic")?, message(question)?);
    let hub = &desk.console.hub;
    if hub.full(topic).is_some() {
        return Err("its subscribers are behind: try again".into());
    }
    let settings = hub.settings(topic);
    let draft = match (settings.envelope, kind) {
        (true, Data::Text) => {
            let text = String::from_utf8_lossy(&bytes);
            // As a handler would: maps and arrays are JSON already.
            let is_json = serde_json::from_str::<Value>(&text)
                .is_ok_and(|value| value.is_object() || value.is_array());
            match is_json {
                true => Draft::enveloped(topic, &text),
                false => Draft::enveloped(topic, &Value::from(&*text).to_string()),
            }
        }
        (true, _) => return Err("the topic has envelopes, which are JSON: publish text".into()),
        (false, kind) => Draft::plain(kind, bytes),
    };
    let sending = hub.send(topic, settings, &draft);
    let reached = match sending.map_err(|refused| refused.to_string())? {
        Some(sending) => {
            sending.await.map_err(|failed| failed.to_string())?;
            hub.subscribers(topic)
        }
        None => {
            let reached = hub.publish(topic, PAYER, settings, draft);
            reached.map_err(|refused| refused.to_string())?
        }
    };
    Ok(json!({ "subscribers": reached }))
}

fn topics(desk: &Desk) -> Value {
    let hub = &desk.console.hub;
    let topics = hub.topics(TOPICS);
    let topics = topics.iter().map(|topic| {
        let settings = hub.settings(topic);
        json!({
            "topic": &**topic, "subscribers": hub.subscribers(topic),
            "present": hub.present_count(topic), "history": settings.history,
        })
    });
    topics.collect()
}

fn topic(desk: &Desk, topic: &str) -> Answer {
    let hub = &desk.console.hub;
    let present: Vec<_> = hub
        .present(topic, MOST)
        .into_iter()
        .map(|present| {
            let info = present.info.as_deref();
            let info = info.and_then(|info| serde_json::from_str::<Value>(info).ok());
            json!({
                "key": &*present.key, "info": info, "connections": present.connections,
                "since": present.since,
            })
        })
        .collect();
    let is_known = hub.topics(usize::MAX).iter().any(|known| &**known == topic);
    // Asking for the history of a topic that there is not would make it one.
    let past = is_known.then(|| hub.history(topic, PAYER, None));
    let past = past.transpose().map_err(|refused| refused.to_string())?;
    let position = past.as_ref().and_then(|past| past.position);
    let messages = past.map_or(Vec::new(), |past| past.messages);
    let from = messages.len().saturating_sub(MOST);
    let messages: Vec<_> = messages[from..]
        .iter()
        .map(|(position, publication)| {
            let is_text = publication.kind == Data::Text;
            let mut value = of_bytes(publication.payload(), is_text, SHOWN);
            value["position"] = json!(position.to_string());
            value
        })
        .collect();
    Ok(json!({
        "topic": topic, "subscribers": hub.subscribers(topic), "presence": present,
        "position": position.map(|position| position.to_string()), "history": messages,
    }))
}

fn place(question: &Value) -> Result<Place, String> {
    Ok(Place {
        store: text(question, "store")?.into(),
        key: text(question, "key")?.into(),
    })
}

async fn get(desk: &Desk, question: &Value) -> Answer {
    let value = desk.console.shelf.get(&place(question)?).get().await;
    let value = value.map_err(|refused| refused.to_string())?;
    Ok(match value.as_deref() {
        None => Value::Null,
        Some(value) => stores::shown(value, SHOWN),
    })
}

/// Sets a key to a JSON text, or deletes it.
async fn set(desk: &Desk, question: &Value) -> Answer {
    let (place, shelf) = (place(question)?, &desk.console.shelf);
    let payer: Arc<str> = PAYER.into();
    let done = match question["json"].as_str() {
        None => shelf.change(&place, Change::Delete, &payer).get().await,
        Some(json) => {
            let value: Value =
                serde_json::from_str(json).map_err(|error| format!("it is no JSON: {error}"))?;
            let bytes = value.to_string().into_bytes();
            let set = shelf.set(&place, bytes.into(), None, false, &payer);
            set.get().await.map(i64::from)
        }
    };
    let done = done.map_err(|refused| refused.to_string())?;
    Ok((done > 0).into())
}
