//! What has arrived and waits for the session: events in order, how the connection ended, and bytes
//! that are not decoded yet.
//!
//! An idle connection has an empty one, which is a pointer.

use std::collections::VecDeque;

use super::session::Event;

/// Bytes that a queued event counts beside its own, so that empty messages are bounded too.
const EVENT_OVERHEAD: usize = 64;

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Inbox(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event<'static>>,
    bytes: usize,
    early: Vec<u8>,
    end: Option<End>,
}

/// End of a connection, as [`Event::Closed`] tells it.
#[derive(Debug)]
pub struct End {
    /// The close code.
    pub code: u16,
    /// The reason that came with it, or what went wrong.
    pub reason: Box<str>,
    /// Whether both sides sent a Close.
    pub was_clean: bool,
}

impl Inbox {
    /// One with the event that every connection begins with, and the bytes that came with the
    /// request head.
    pub fn opened(early: Vec<u8>) -> Self {
        Self(Some(Box::new(Queue {
            events: VecDeque::from([Event::Opened]),
            bytes: 0,
            early,
            end: None,
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

    /// Keeps how the connection ended, for after all events.
    pub fn end(&mut self, end: End) {
        self.0.get_or_insert_default().end = Some(end);
    }

    /// Takes that.
    pub fn take_end(&mut self) -> Option<End> {
        let end = self.0.as_mut()?.end.take();
        self.shrink();
        end
    }

    /// The handshake of the end is cut short.
    pub fn end_abruptly(&mut self) {
        let queue = self.0.as_mut();
        if let Some(end) = queue.and_then(|queue| queue.end.as_mut()) {
            end.was_clean = false;
        }
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
        let is_empty = |queue: &Queue| {
            queue.events.is_empty() && queue.early.is_empty() && queue.end.is_none()
        };
        if self.0.as_deref().is_some_and(is_empty) {
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
