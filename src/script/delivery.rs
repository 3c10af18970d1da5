//! A message of a topic on its way through `on_publish`: what the hook sees of it, and what is sent
//! then.

use std::rc::Rc;
use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult};

use super::api::connection::send;
use super::api::topics::message_of;
use super::peer::Peer;
use crate::hub::Publication;
use crate::machine::error::throw;
use crate::machine::packages::json;
use crate::machine::{Limits, types};
use crate::websocket::SendError;
use crate::websocket::frame::Data;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Which argument of the hook the message is.
const MESSAGE: usize = 2;

/// Shows the hook the message that a [`Publication`] among its arguments holds, and does what it
/// says.
pub fn run(
    peer: &Rc<Peer>,
    limits: &Limits,
    arguments: &mut [Dynamic],
    hook: impl FnOnce(&mut [Dynamic]) -> Result<Dynamic>,
) -> Result<Dynamic> {
    let Some(publication) = arguments[MESSAGE].take().try_cast::<Arc<Publication>>() else {
        return hook(arguments);
    };
    arguments[MESSAGE] = match publication.data() {
        Some(data) => json::parse(data, limits)?,
        None => message_of(&publication),
    };
    let verdict = hook(arguments)?;
    match verdict.as_bool() {
        Ok(false) => {}
        Ok(true) => as_it_is(peer, &publication)?,
        Err(_) if verdict.is_unit() => as_it_is(peer, &publication)?,
        Err(_) => instead(peer, &publication, &verdict, limits)?,
    }
    Ok(Dynamic::UNIT)
}

fn as_it_is(peer: &Peer, publication: &Publication) -> Result<()> {
    match publication.send(&peer.handle) {
        Ok(()) | Err(SendError::NotOpen) => Ok(()),
        Err(error @ SendError::InFragments) => throw("fragment", error.to_string()),
    }
}

/// Sends what the hook has given.
fn instead(
    peer: &Rc<Peer>,
    publication: &Publication,
    given: &Dynamic,
    limits: &Limits,
) -> Result<()> {
    let is_enveloped = publication.data().is_some();
    if let Ok(blob) = given.as_blob_ref() {
        return match is_enveloped {
            false => send(peer, Data::Binary, &blob, None),
            true => throw(
                "type",
                "on_publish gave a blob for an envelope, which is JSON, and JSON has no blobs",
            ),
        };
    }
    let is_text = given.is_string();
    if !is_text && !given.is_map() && !given.is_array() {
        let found = types::name_of(given);
        return throw(
            "type",
            format!(
                "on_publish gave {found}: true or () sends the message, false does not, and a \
                string, a blob, a map or an array is sent instead"
            ),
        );
    }
    let text = match given.as_immutable_string_ref() {
        Ok(text) if !is_enveloped => return send(peer, Data::Text, text.as_bytes(), None),
        _ => json::to_json(given, limits)?,
    };
    match publication.holding(&text) {
        Some(enveloped) => send(peer, Data::Text, &enveloped, None),
        None => send(peer, Data::Text, text.as_bytes(), None),
    }
}
