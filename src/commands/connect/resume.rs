//! Where a conversation was when it was lost: the positions of the topics whose envelopes have
//! come, `{"position":…,"topic":…,"data":…}`, for a server that sends what was missed since.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use crate::client::Address;
use crate::websocket::Message;

/// Topics that are remembered.
const TOPICS: usize = 1_000;
/// Bytes of a topic or of a position.
const LONGEST: usize = 1_024;
/// The parameter of an address that says where to go on, unless it has a place for that.
const SINCE: &str = "since";
/// What stands for a position, in front of what ends it.
const PLACE: &str = "{position";
/// The same in an address.
const PLACE_IN_ADDRESS: &str = "%7Bposition";

/// What an address must not have as it is in the value of a parameter.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The positions of topics.
#[derive(Debug, Default)]
pub struct Positions {
    by_topic: BTreeMap<String, String>,
    /// The topic whose envelope was the last to come.
    last: String,
}

/// An envelope. Its data are of no interest here, but have to be there.
#[derive(Deserialize)]
struct Envelope {
    position: String,
    topic: String,
    #[serde(rename = "data")]
    _data: serde::de::IgnoredAny,
}

impl Positions {
    /// Takes note of a message that has come.
    pub fn hear(&mut self, message: &Message<'_>) {
        let Message::Text(text) = message else { return };
        if !text.starts_with('{') || !text.contains("\"position\"") {
            return;
        }
        let Ok(Envelope {
            position, topic, ..
        }) = serde_json::from_str(text)
        else {
            return;
        };
        let is_short = position.len() <= LONGEST && topic.len() <= LONGEST;
        let has_room = self.by_topic.len() < TOPICS || self.by_topic.contains_key(&topic);
        if is_short && has_room {
            self.last.clone_from(&topic);
            self.by_topic.insert(topic, position);
        }
    }

    /// The position of a topic; of the last one without a name, and nothing of one that is not
    /// known.
    fn of(&self, topic: Option<&str>) -> &str {
        let position = self.by_topic.get(topic.unwrap_or(&self.last));
        position.map_or("", String::as_str)
    }

    /// Topics of which more than one is known, if the address has no place for them: nobody knows
    /// then which of them `since` would be of.
    pub fn are_several_for(&self, address: &Address) -> bool {
        self.by_topic.len() > 1 && !address.target.contains(PLACE_IN_ADDRESS)
    }

    /// The address with what says where to go on: in its places, or as `since`.
    pub fn address(&self, address: &Address) -> Address {
        let encoded = |position: &str| utf8_percent_encode(position, ESCAPED).to_string();
        let mut address = address.clone();
        if address.target.contains(PLACE_IN_ADDRESS) {
            address.target = fill(&address.target, PLACE_IN_ADDRESS, "%7D", |topic| {
                let topic = topic.map(|topic| percent_decode_str(topic).decode_utf8_lossy());
                encoded(self.of(topic.as_deref()))
            });
        } else if self.by_topic.len() == 1 {
            let (path, query) = address
                .target
                .split_once('?')
                .unwrap_or((&address.target, ""));
            let is_other = |pair: &&str| {
                let name = pair.split('=').next().unwrap_or_default();
                !pair.is_empty() && name != SINCE
            };
            let mut pairs: Vec<_> = query.split('&').filter(is_other).collect();
            let since = format!("{SINCE}={}", encoded(self.of(None)));
            pairs.push(&since);
            address.target = format!("{path}?{}", pairs.join("&"));
        }
        address
    }

    /// A message with the positions in their places: within a text of JSON.
    pub fn message(&self, text: &str) -> String {
        fill(text, PLACE, "}", |topic| {
            let quoted = serde_json::Value::from(self.of(topic)).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        })
    }
}

/// A text with something in its places, each of which begins and ends so, and may name a topic.
fn fill(text: &str, begin: &str, end: &str, position: impl Fn(Option<&str>) -> String) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once(begin) {
        filled += before;
        let found = behind.split_once(end);
        let topic = found.and_then(|(inside, after)| match inside.strip_prefix(':') {
            Some(topic) => Some((Some(topic), after)),
            None => inside.is_empty().then_some((None, after)),
        });
        match topic {
            Some((topic, after)) => {
                filled += &position(topic);
                rest = after;
            }
            // It only looks like one.
            None => {
                filled += begin;
                rest = behind;
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(messages: &[&str]) -> Positions {
        let mut positions = Positions::default();
        for message in messages {
            positions.hear(&Message::Text((*message).into()));
        }
        positions
    }

    fn target(positions: &Positions, url: &str) -> String {
        let address = Address::parse(url).expect("an address");
        positions.address(&address).target
    }

    #[test]
    fn an_address_says_where_to_go_on() {
        let none = heard(&[
            "hello",
            "{\"position\": 7, \"topic\": \"a\", \"data\": 1}",
            "{\"position\": \"7\", \"topic\": \"a\"}",
        ]);
        assert_eq!(target(&none, "/chat?a=1"), "/chat?a=1");
        assert_eq!(target(&none, "/chat?from={position}"), "/chat?from=");

        let one = heard(&[
            "{\"position\":\"x-1\",\"topic\":\"a b\",\"data\":{}}",
            "{\"data\":null,\"topic\":\"a b\",\"position\":\"x&2\"}",
        ]);
        for (url, wanted) in [
            ("/chat", "/chat?since=x%262"),
            ("/chat?since=0&a=1", "/chat?a=1&since=x%262"),
            ("/chat?from={position}&a", "/chat?from=x%262&a"),
            ("/chat?{position:a b}{position:c}", "/chat?x%262"),
            ("/chat?{positions}", "/chat?%7Bpositions%7D"),
        ] {
            assert_eq!(target(&one, url), wanted, "{url}");
        }

        let several = heard(&[
            "{\"position\":\"1\",\"topic\":\"a\",\"data\":1}",
            "{\"position\":\"2\",\"topic\":\"b\",\"data\":1}",
        ]);
        let address = Address::parse("/chat").expect("an address");
        assert!(several.are_several_for(&address));
        assert_eq!(target(&several, "/chat"), "/chat");
        assert_eq!(
            target(&several, "/chat?a={position:a}&b={position}"),
            "/chat?a=1&b=2"
        );
    }

    #[test]
    fn a_message_says_where_to_go_on() {
        let positions = heard(&["{\"position\":\"a\\\"1\",\"topic\":\"room\",\"data\":1}"]);
        for (text, wanted) in [
            ("{\"since\":\"{position}\"}", "{\"since\":\"a\\\"1\"}"),
            ("{position:room} {position:hall}", "a\\\"1 "),
            ("{position", "{position"),
            ("{positions} {position}", "{positions} a\\\"1"),
        ] {
            assert_eq!(positions.message(text), wanted);
        }
    }
}
