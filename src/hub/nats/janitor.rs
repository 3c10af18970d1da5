//! Streams of topics that nobody uses any more: one node removes them for all.
//!
//! A stream lives until it is removed, and a chat makes one for each of its rooms. It goes when its
//! messages have gone and a day has passed, which is what Redis does with a topic's number.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::broker::NatsBroker;
use crate::hub::wire;
use crate::link::Failed;
use crate::nats::Listed;

/// How often it is looked, about.
const LOOK: Duration = Duration::from_mins(10);
/// How long a topic's number outlives its messages.
const MARGIN: Duration = Duration::from_hours(24);

/// Looks now and then: runs for ever.
pub async fn tidy(broker: Arc<NatsBroker>) {
    loop {
        sleep(LOOK.mul_f64(0.5 + fastrand::f64())).await;
        if broker.is_first() {
            // What cannot be removed now is looked at again.
            let _ = tidy_once(&broker).await;
        }
    }
}

async fn tidy_once(broker: &NatsBroker) -> Result<(), Failed> {
    let subjects = broker.names.kept_all();
    let (mut old, mut offset) = (Vec::new(), 0);
    loop {
        let listed = broker.server.list(&subjects, offset).await?;
        if listed.is_empty() {
            break;
        }
        offset += listed.len();
        let listed = listed.into_iter().flatten();
        old.extend(listed.filter(|stream| is_over(stream, wire::now())));
    }
    for stream in old {
        let topic = broker.names.of(&stream.subject);
        let is_ours = |topic: &String| broker.names.epoch(topic, &stream.name).is_some();
        let Some(topic) = topic.filter(is_ours) else {
            continue;
        };
        // Whoever uses the topic answers; the server says if nobody does.
        let asked = broker
            .server
            .request(broker.names.topic(&topic), wire::nodes::LOOKS.to_vec());
        if asked.await?.is_none() {
            broker.server.remove(&stream.name).await?;
        }
    }
    Ok(())
}

/// Whether a stream has been empty for long enough, by the time in milliseconds since 1970.
fn is_over(stream: &Listed, now: u64) -> bool {
    let margin = stream.age.saturating_add(MARGIN);
    let until = u128::from(stream.used).saturating_add(margin.as_millis());
    stream.messages == 0 && u128::from(now) > until
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_a_day_after_its_last_message() {
        let hour = 3600 * 1000;
        let stream = |messages, used| Listed {
            name: "wsh-0-1".to_owned(),
            subject: "wsh.h.dA".to_owned(),
            messages,
            used,
            age: Duration::from_hours(1),
        };
        let now = 100 * hour;
        assert!(is_over(&stream(0, now - 26 * hour), now));
        assert!(
            !is_over(&stream(0, now - 24 * hour), now),
            "its messages were there until just now"
        );
        assert!(!is_over(&stream(1, 0), now), "it has messages");
        assert!(
            !is_over(&stream(0, now + hour), now),
            "by a clock that is ahead"
        );
        assert!(!is_over(&stream(0, u64::MAX), now));
    }
}
