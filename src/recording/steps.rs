//! Recorded connections as one list of steps, in the order in which they happened.

use super::{Recording, Side, is_secret};

/// A step of one of the connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its time, in seconds since 1970.
    pub time: f64,
    /// The connection.
    pub recording: usize,
    /// What it is.
    pub what: What,
}

/// What happens; messages by their place among those of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is opened.
    Open,
    /// We send.
    Send(usize),
    /// The server does.
    Receive(usize),
    /// All was said.
    End,
}

/// The steps of these, several connections in their mutual order by time. Within one nothing is
/// moved: times that jump back, or are missing, count as those before.
pub fn of<'r>(recordings: impl Iterator<Item = &'r Recording>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (index, recording) in recordings.enumerate() {
        let mut time = recording.started;
        let first = recording.said.first().map_or(0.0, |said| said.time);
        if time == 0.0 || (first > 0.0 && first < time) {
            time = first;
        }
        let mut add = |time, what| {
            steps.push(Step {
                time,
                recording: index,
                what,
            });
        };
        add(time, What::Open);
        for (number, said) in recording.said.iter().enumerate() {
            time = time.max(said.time);
            add(
                time,
                match said.by {
                    Side::Client => What::Send(number),
                    Side::Server => What::Receive(number),
                },
            );
        }
        add(time, What::End);
    }
    // Stable: what has one time stays in its order.
    steps.sort_by(|one, other| one.time.total_cmp(&other.time));
    steps
}

/// Headers that a connection makes by itself.
const OWN: [&str; 8] = [
    "host",
    "connection",
    "upgrade",
    "content-length",
    "accept-encoding",
    "proxy-connection",
    "keep-alive",
    "user-agent",
];

/// The recorded headers that are sent again: neither those that a connection makes by itself, nor
/// what marks a secret that was taken out.
pub fn headers(recording: &Recording) -> impl Iterator<Item = &(String, String)> {
    let headers = recording.headers.iter();
    headers.filter(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let is_own = OWN.contains(&name.as_str()) || name.starts_with(':');
        let is_protocol = name == "sec-websocket-protocol";
        let is_handshake = name.starts_with("sec-websocket-") && !is_protocol;
        !(is_own || is_handshake || is_secret(&name) && value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Said;
    use crate::websocket::Message;

    fn recording(started: f64, said: &[(Side, f64)]) -> Recording {
        Recording {
            url: String::new(),
            started,
            headers: vec![
                ("Host".into(), "h".into()),
                ("Sec-WebSocket-Key".into(), "k".into()),
                ("Sec-WebSocket-Protocol".into(), "a, b".into()),
                ("Origin".into(), "http://o".into()),
                ("X-A".into(), "1".into()),
            ],
            protocol: None,
            said: said
                .iter()
                .map(|(by, time)| Said {
                    by: *by,
                    time: *time,
                    message: Message::Text("".into()),
                })
                .collect(),
            ending: None,
            ended: 0.0,
            left_out: 0,
        }
    }

    #[test]
    fn connections_keep_their_order() {
        use Side::{Client, Server};
        let one = recording(1.0, &[(Client, 2.0), (Server, 5.0)]);
        let two = recording(3.0, &[(Server, 4.0), (Client, 0.0)]);
        let steps = of([&one, &two].into_iter());
        let found: Vec<_> = steps
            .iter()
            .map(|step| (step.recording, step.what))
            .collect();
        assert_eq!(
            found,
            [
                (0, What::Open),
                (0, What::Send(0)),
                (1, What::Open),
                (1, What::Receive(0)),
                (1, What::Send(1)),
                (1, What::End),
                (0, What::Receive(1)),
                (0, What::End),
            ]
        );
    }

    #[test]
    fn headers_are_sent_again() {
        let recording = recording(0.0, &[]);
        let names: Vec<_> = headers(&recording).map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Sec-WebSocket-Protocol", "Origin", "X-A"]);
    }
}
