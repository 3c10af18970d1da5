//! What has arrived and waits for the session: events in order, and bytes that are not decoded yet.
//!
//! An idle connection has an empty one, which is a pointer.

use std::collections::VecDeque;

use super::session::Event;

/// What a queued event counts beside its bytes, so that empty messages are bounded too.
const EVENT_OVERHEAD: usize = 64;

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Inbox(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event<'static>>,
    bytes: usize,
    early: Vec<u8>,
}

impl Inbox {
    /// One with the event that every connection begins with, and the bytes that came with the request head.
    pub fn opened(early: Vec<u8>) -> Self {
        Self(Some(Box::new(Queue {
            events: VecDeque::from([Event::Opened]),
            bytes: 0,
            early,
        })))
    }

    /// Adds an event at the end.
    pub fn push(&mut self, event: Event<'static>) {
        let queue = self.0.get_or_insert_default();
        queue.bytes += weight(&event);
        queue.events.push_back(event);
    }

    /// Takes the oldest event.
    pub fn pop(&mut self) -> Option<Event<'static>> {
        let queue = self.0.as_mut()?;
        let event = queue.events.pop_front();
        queue.bytes -= event.as_ref().map_or(0, weight);
        self.shrink();
        event
    }

    /// Keeps bytes to be decoded later, before any others.
    pub fn hold(&mut self, bytes: &[u8]) {
        self.0.get_or_insert_default().early = bytes.to_vec();
    }

    /// Whether there are bytes to be decoded.
    pub fn holds(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| !queue.early.is_empty())
    }

    /// Takes the bytes that came with the request head, or that were held.
    pub fn take_early(&mut self) -> Vec<u8> {
        let early = self
            .0
            .as_mut()
            .map(|queue| std::mem::take(&mut queue.early))
            .unwrap_or_default();
        self.shrink();
        early
    }

    /// Takes the frames that the session has not seen, one behind the other.
    pub fn take_frames(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        if let Some(queue) = &self.0 {
            for event in &queue.events {
                if let Event::Frame(frame) = event {
                    frames.extend_from_slice(frame);
                }
            }
        }
        self.retain(|event| !matches!(event, Event::Frame(_)));
        frames
    }

    /// Forgets the events that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&Event<'_>) -> bool) {
        if let Some(queue) = &mut self.0 {
            queue.events.retain(|event| keep(event));
            queue.bytes = queue.events.iter().map(weight).sum();
        }
        self.shrink();
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.events.is_empty())
    }

    /// Bytes of messages, and something for each.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes)
    }

    fn shrink(&mut self) {
        if self
            .0
            .as_ref()
            .is_some_and(|queue| queue.events.is_empty() && queue.early.is_empty())
        {
            self.0 = None;
        }
    }
}

fn weight(event: &Event<'_>) -> usize {
    match event {
        Event::Message(message) => message.len() + EVENT_OVERHEAD,
        Event::Ping(bytes) | Event::Pong(bytes) | Event::Frame(bytes) => {
            bytes.len() + EVENT_OVERHEAD
        }
        _ => 0,
    }
}
