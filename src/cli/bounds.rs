//! The flags that bound what clients and scripts may use, and the limits that they make.

use clap::Args;

use super::value::{Interval, Seconds, Size, Time};
use crate::config::{Limits, limits};

/// The bounds that can be set, a flag each.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "Limits (a SIZE is 16MiB, 64KiB or bytes; a TIME is 500ms, 20s, 2m or \
        seconds)"
)]
pub(super) struct Bounds {
    /// Connections at once [default: four fifths of the open-file limit]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        env = "WSH_MAX_CONNECTIONS"
    )]
    pub(super) max_connections: Option<u32>,
    /// Connections at once from one address, which is not asked of loopback; 0 is no bound
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::CONNECTIONS.by_address as u32,
        env = "WSH_MAX_CONNECTIONS_PER_ADDRESS"
    )]
    pub(super) max_connections_per_address: u32,
    /// Messages that all connections hold together, unfinished, queued or unsent [default: a
    /// quarter of the memory]
    #[arg(long, value_name = "SIZE", env = "WSH_MAX_BUFFERED")]
    pub(super) max_buffered: Option<Size>,
    /// What hooks that wait have on their stacks, all of them together
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::SCRIPT.frames),
        env = "WSH_MAX_WAITING_SIZE"
    )]
    pub(super) max_waiting_size: Size,
    /// Topics of one handler: those that it was the first to use
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::TOPICS.topics as u32,
        value_parser = clap::value_parser!(u32).range(1..),
        env = "WSH_MAX_TOPICS"
    )]
    pub(super) max_topics: u32,
    /// Topics that a connection subscribes to
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::TOPICS.subscriptions as u32,
        value_parser = clap::value_parser!(u32).range(1..),
        env = "WSH_MAX_SUBSCRIPTIONS"
    )]
    pub(super) max_subscriptions: u32,
    /// Size of a topic's name
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::TOPICS.name),
        env = "WSH_MAX_TOPIC_NAME"
    )]
    pub(super) max_topic_name: Size,
    /// Messages in a topic's history
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::TOPICS.history as u32,
        env = "WSH_MAX_HISTORY"
    )]
    pub(super) max_history: u32,
    /// Time for which a history keeps a message
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::TOPICS.age),
        env = "WSH_MAX_HISTORY_AGE"
    )]
    pub(super) max_history_age: Time,
    /// What the histories of one handler's topics keep together
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::TOPICS.bytes),
        env = "WSH_MAX_HISTORY_SIZE"
    )]
    pub(super) max_history_size: Size,
    /// Publications on their way to one worker's connections, from which publish waits
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::TOPICS.mailbox),
        env = "WSH_MAX_MAILBOX"
    )]
    pub(super) max_mailbox: Size,
    /// Keys in presence of one handler's connections
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::TOPICS.presence as u32,
        env = "WSH_MAX_PRESENCE"
    )]
    pub(super) max_presence: u32,
    /// What a connection says of itself in presence, as JSON
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::TOPICS.info),
        env = "WSH_MAX_PRESENCE_INFO"
    )]
    pub(super) max_presence_info: Size,
    /// Time for which somebody stays present whose last connection was lost
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::TOPICS.grace),
        env = "WSH_PRESENCE_GRACE"
    )]
    pub(super) presence_grace: Time,
    /// Keys that one handler keeps in stores
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::STORES.keys as u32,
        env = "WSH_MAX_KEYS"
    )]
    pub(super) max_keys: u32,
    /// Size of a key, and of the name of a store or a queue
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::STORES.key),
        env = "WSH_MAX_KEY_SIZE"
    )]
    pub(super) max_key_size: Size,
    /// Size of a value in a store or a queue
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::STORES.value),
        env = "WSH_MAX_VALUE_SIZE"
    )]
    pub(super) max_value_size: Size,
    /// What the stores and queues of one handler keep together
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::STORES.bytes),
        env = "WSH_MAX_STORE_SIZE"
    )]
    pub(super) max_store_size: Size,
    /// Queues of one handler: those that it was the first to put into
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::STORES.queues as u32,
        env = "WSH_MAX_QUEUES"
    )]
    pub(super) max_queues: u32,
    /// Entries of a queue, from which put waits
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::STORES.entries as u32,
        value_parser = clap::value_parser!(u32).range(1..),
        env = "WSH_MAX_QUEUE_ENTRIES"
    )]
    pub(super) max_queue_entries: u32,
    /// Size of a queue's entries together, from which put waits
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::STORES.queue),
        env = "WSH_MAX_QUEUE_SIZE"
    )]
    pub(super) max_queue_size: Size,
    /// Time for which a call waits for an engine that is away, before it throws
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::ENGINE.time),
        env = "WSH_ENGINE_TIMEOUT"
    )]
    pub(super) engine_timeout: Time,
    /// Commands on their way to an engine, from which publish waits and stores throw
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::ENGINE.queue),
        env = "WSH_MAX_ENGINE_QUEUE"
    )]
    pub(super) max_engine_queue: Size,
    /// Messages that have come from an engine and are not delivered yet, from which some are missed
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::ENGINE.incoming),
        env = "WSH_MAX_ENGINE_INCOMING"
    )]
    pub(super) max_engine_incoming: Size,
    /// Connections that the scripts of one connection dial
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::EGRESS.dialed as u32,
        env = "WSH_MAX_DIALED"
    )]
    pub(super) max_dialed: u32,
    /// Connections that the scripts of one handler dial
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::EGRESS.by_handler as u32,
        env = "WSH_MAX_DIALED_PER_HANDLER"
    )]
    pub(super) max_dialed_per_handler: u32,
    /// What those hold together: unread, unsent and unfinished messages
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::EGRESS.bytes),
        env = "WSH_MAX_DIALED_SIZE"
    )]
    pub(super) max_dialed_size: Size,
    /// HTTP requests of one handler's scripts under way at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::EGRESS.requests as u32,
        env = "WSH_MAX_REQUESTS_PER_HANDLER"
    )]
    pub(super) max_requests_per_handler: u32,
    /// The body of an answer to them
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::EGRESS.body),
        env = "WSH_MAX_RESPONSE_BODY"
    )]
    pub(super) max_response_body: Size,
    /// Time for a script's request with its answer, and for the handshake of what it dials
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::EGRESS.time),
        env = "WSH_CONNECT_TIMEOUT"
    )]
    pub(super) connect_timeout: Time,
    /// Time for a request's head to arrive
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::HEAD.time),
        env = "WSH_HEADER_TIMEOUT"
    )]
    pub(super) header_timeout: Time,
    /// Time for which a connection waits for another request
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::HEAD.keep_alive),
        env = "WSH_KEEP_ALIVE_TIMEOUT"
    )]
    pub(super) keep_alive_timeout: Time,
    /// Size of a request's body, which on_request reads
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::HEAD.body),
        env = "WSH_MAX_REQUEST_BODY"
    )]
    pub(super) max_request_body: Size,
    /// Size of a request's head
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::HEAD.bytes),
        env = "WSH_MAX_HEADER_SIZE"
    )]
    pub(super) max_header_size: Size,
    /// Size of a request's target, and of one header line
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::HEAD.line),
        env = "WSH_MAX_HEADER_LINE"
    )]
    pub(super) max_header_line: Size,
    /// Header lines of a request
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::HEAD.headers as u16,
        value_parser = clap::value_parser!(u16).range(1..),
        env = "WSH_MAX_HEADERS"
    )]
    pub(super) max_headers: u16,
    /// Size of a message, uncompressed and all fragments together
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::WEBSOCKET.message),
        env = "WSH_MAX_MESSAGE"
    )]
    pub(super) max_message: Size,
    /// Fragments of a message, from which they must have 64 bytes on average
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::WEBSOCKET.fragments,
        env = "WSH_MAX_FRAGMENTS"
    )]
    pub(super) max_fragments: u32,
    /// Time without a byte inside a frame
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Seconds(limits::WEBSOCKET.stall),
        env = "WSH_FRAME_TIMEOUT"
    )]
    pub(super) frame_timeout: Seconds,
    /// Time for a message, from its first byte to its last
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Seconds(limits::WEBSOCKET.assembly),
        env = "WSH_MESSAGE_TIMEOUT"
    )]
    pub(super) message_timeout: Seconds,
    /// Unsent bytes from which send waits
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::WEBSOCKET.send_queue),
        env = "WSH_SEND_QUEUE"
    )]
    pub(super) send_queue: Size,
    /// Time for which a client may take nothing while something waits for it
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Seconds(limits::WEBSOCKET.send),
        env = "WSH_SEND_TIMEOUT"
    )]
    pub(super) send_timeout: Seconds,
    /// Silence after which a client is sent a Ping; 0 sends none, and finds no dead one
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Interval(Some(Seconds(limits::WEBSOCKET.ping))),
        env = "WSH_PING_INTERVAL"
    )]
    pub(super) ping_interval: Interval,
    /// Silence after that Ping, after which the client is taken for dead
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Seconds(limits::WEBSOCKET.pong),
        env = "WSH_PONG_TIMEOUT"
    )]
    pub(super) pong_timeout: Seconds,
    /// Pings and Pongs that a client may send a second, in the long run; 0 is no bound
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::WEBSOCKET.control_rate,
        value_parser = clap::value_parser!(u32).range(..=1_000_000),
        env = "WSH_CONTROL_RATE"
    )]
    pub(super) control_rate: u32,
    /// Pings and Pongs at once beyond that
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::WEBSOCKET.control_burst,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        env = "WSH_CONTROL_BURST"
    )]
    pub(super) control_burst: u32,
    /// Time for a client's Close after ours
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Seconds(limits::WEBSOCKET.close),
        env = "WSH_CLOSE_TIMEOUT"
    )]
    pub(super) close_timeout: Seconds,
    /// Names that a handler counts traffic by; of more, those of the last use
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::TRAFFIC_NAMES as u32,
        value_parser = clap::value_parser!(u32).range(1..),
        env = "WSH_MAX_TRAFFIC_NAMES"
    )]
    pub(super) max_traffic_names: u32,
    /// Time for playing recordings after a save, with --replay
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::REHEARSAL.time),
        env = "WSH_REPLAY_TIMEOUT"
    )]
    pub(super) replay_timeout: Time,
    /// Files of --replay that are read; of more, the newest
    #[arg(
        long,
        value_name = "N",
        default_value_t = limits::REHEARSAL.files as u32,
        value_parser = clap::value_parser!(u32).range(1..),
        env = "WSH_MAX_REPLAY_FILES"
    )]
    pub(super) max_replay_files: u32,
    /// Size of all files of --replay that are held
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = Size(limits::REHEARSAL.bytes),
        env = "WSH_MAX_REPLAY_SIZE"
    )]
    pub(super) max_replay_size: Size,
    /// Time for a shutdown
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = Time(limits::DRAIN),
        env = "WSH_DRAIN_TIMEOUT"
    )]
    pub(super) drain_timeout: Time,
    /// Time before it in which clients are let in, while /readyz says 503; 0 is none
    #[arg(long, value_name = "TIME", default_value_t = Interval(None), env = "WSH_DRAIN_DELAY")]
    pub(super) drain_delay: Interval,
}

impl Bounds {
    /// Those of recordings that new versions are played.
    pub(super) fn rehearsal(&self) -> limits::Rehearsal {
        limits::Rehearsal {
            time: self.replay_timeout.0,
            files: self.max_replay_files as usize,
            bytes: self.max_replay_size.0,
        }
    }
}

impl From<Bounds> for Limits {
    fn from(bounds: Bounds) -> Self {
        Self {
            connections: limits::Connections {
                total: bounds.max_connections.map(|number| number as usize),
                by_address: bounds.max_connections_per_address as usize,
            },
            head: limits::Head {
                bytes: bounds.max_header_size.0,
                line: bounds.max_header_line.0,
                headers: bounds.max_headers.into(),
                time: bounds.header_timeout.0,
                keep_alive: bounds.keep_alive_timeout.0,
                body: bounds.max_request_body.0,
                ..limits::HEAD
            },
            websocket: limits::Websocket {
                message: bounds.max_message.0,
                fragments: bounds.max_fragments,
                send_queue: bounds.send_queue.0,
                stall: bounds.frame_timeout.0,
                assembly: bounds.message_timeout.0,
                send: bounds.send_timeout.0,
                ping: bounds
                    .ping_interval
                    .0
                    .map_or(limits::NEVER, |Seconds(seconds)| seconds),
                pong: bounds.pong_timeout.0,
                close: bounds.close_timeout.0,
                control_rate: bounds.control_rate,
                control_burst: bounds.control_burst,
                ..limits::WEBSOCKET
            },
            buffered: bounds.max_buffered.map(|Size(bytes)| bytes),
            topics: limits::Topics {
                topics: bounds.max_topics as usize,
                subscriptions: bounds.max_subscriptions as usize,
                name: bounds.max_topic_name.0,
                history: bounds.max_history as usize,
                age: bounds.max_history_age.0,
                bytes: bounds.max_history_size.0,
                mailbox: bounds.max_mailbox.0,
                presence: bounds.max_presence as usize,
                info: bounds.max_presence_info.0,
                grace: bounds.presence_grace.0,
            },
            stores: limits::Stores {
                keys: bounds.max_keys as usize,
                key: bounds.max_key_size.0,
                value: bounds.max_value_size.0,
                bytes: bounds.max_store_size.0,
                queues: bounds.max_queues as usize,
                entries: bounds.max_queue_entries as usize,
                queue: bounds.max_queue_size.0,
            },
            engine: limits::Engine {
                time: bounds.engine_timeout.0,
                queue: bounds.max_engine_queue.0,
                incoming: bounds.max_engine_incoming.0,
            },
            egress: limits::Egress {
                dialed: bounds.max_dialed as usize,
                by_handler: bounds.max_dialed_per_handler as usize,
                bytes: bounds.max_dialed_size.0,
                requests: bounds.max_requests_per_handler as usize,
                body: bounds.max_response_body.0,
                time: bounds.connect_timeout.0,
            },
            traffic: bounds.max_traffic_names as usize,
        }
    }
}
