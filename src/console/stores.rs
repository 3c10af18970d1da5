//! What stores and queues there are, and what is in them: so much of each as somebody can look at.

use std::sync::Arc;

use serde_json::{Value, json};

use super::question::{Answer, text};
use super::window::Desk;
use crate::observe::live::of_bytes;
use crate::store::Place;

/// Stores, queues and entries that are told.
const MOST: usize = 200;
/// Keys of a store that are looked at.
const LOOKED: usize = 1_000;
/// Values that are asked for at once.
const AT_ONCE: usize = 50;
/// Bytes of a value that are told.
const FRONT: usize = 160;
/// The first byte of a blob; JSON has no such.
const BLOB: u8 = 0;

/// The stores and queues in whose name a text is found.
pub async fn stores(desk: &Desk, question: &Value) -> Answer {
    let find = question["find"].as_str().unwrap_or_default();
    let names = desk.console.shelf.names(find, MOST).get().await;
    let names = names.map_err(|refused| refused.to_string())?;
    let stores = names
        .stores
        .iter()
        .map(|named| json!({ "store": &*named.name, "keys": named.count, "is_all": named.is_all }));
    let queues = names
        .queues
        .iter()
        .map(|named| json!({ "queue": &*named.name, "length": named.count }));
    Ok(json!({
        "stores": stores.collect::<Value>(), "queues": queues.collect::<Value>(),
        "is_all": names.is_all,
    }))
}

/// The entries of a store in whose key or value a text is found.
pub async fn entries(desk: &Desk, question: &Value) -> Answer {
    let (store, shelf) = (text(question, "store")?, &desk.console.shelf);
    let find = question["find"].as_str().unwrap_or_default().to_lowercase();
    let keys = shelf.keys(store, "", LOOKED + 1).get().await;
    let keys = keys.map_err(|refused| refused.to_string())?;
    let mut is_all = keys.len() <= LOOKED;
    let mut entries = Vec::new();
    'all: for keys in keys[..keys.len().min(LOOKED)].chunks(AT_ONCE) {
        let asked: Vec<_> = keys
            .iter()
            .map(|key| {
                let at = Place {
                    store: store.into(),
                    key: Arc::clone(key),
                };
                shelf.get(&at)
            })
            .collect();
        for (key, value) in keys.iter().zip(asked) {
            let value = value.get().await.map_err(|refused| refused.to_string())?;
            // It may be gone by now.
            let Some(value) = value else { continue };
            if !find.is_empty() && !contains(key, &find) && !is_in(&value, &find) {
                continue;
            }
            if entries.len() == MOST {
                is_all = false;
                break 'all;
            }
            let mut entry = shown(&value, FRONT);
            entry["key"] = json!(&**key);
            entries.push(entry);
        }
    }
    Ok(json!({ "store": store, "entries": entries, "is_all": is_all }))
}

fn contains(text: &str, find: &str) -> bool {
    text.to_lowercase().contains(find)
}

/// Whether a text is found in a value that is one.
fn is_in(value: &[u8], find: &str) -> bool {
    value.first() != Some(&BLOB) && contains(&String::from_utf8_lossy(value), find)
}

/// A value as it is told: `text`, which is JSON, or the bytes of a blob.
pub fn shown(value: &[u8], most: usize) -> Value {
    match value {
        [BLOB, blob @ ..] => of_bytes(blob, false, most),
        json => of_bytes(json, true, most),
    }
}
