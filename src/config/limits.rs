//! Every bound of the server: value, unit and reason, in one place.

use std::time::Duration;

/// The bounds of one connection, each with its unit.
#[derive(Debug, Clone, Copy)]
pub struct Websocket {
    /// Bytes of one message, all fragments together. Over it: 1009.
    pub message: usize,
    /// Fragments of one message from which their mean size counts.
    pub fragments: u32,
    /// Bytes that fragments must have on average beyond that count. Below it: 1008.
    pub mean_fragment: usize,
    /// Bytes of messages held while a hook runs; beyond it the socket is not read.
    pub read_ahead: usize,
    /// Bytes waiting to be sent from which `send` waits and the socket is not read.
    pub send_queue: usize,
    /// Seconds without a byte inside a frame. Over it: 1008.
    pub stall: u32,
    /// Seconds for a message, from its first byte to its last. Over it: 1008.
    pub assembly: u32,
    /// Seconds without a byte accepted by the peer while bytes wait: the connection is dropped.
    pub send: u32,
    /// Seconds of silence after which a Ping is sent.
    pub ping: u32,
    /// Seconds after that Ping without any byte: the peer is taken for dead.
    pub pong: u32,
    /// Seconds for the peer's Close after ours, and for hooks to finish after the peer's.
    pub close: u32,
    /// Seconds to read on after our last byte, so that the peer gets it before a reset.
    pub linger: u32,
    /// Pings and Pongs a second, in the long run. Over it: 1008. 0 is no bound.
    pub control_rate: u32,
    /// Pings and Pongs at once beyond that.
    pub control_burst: u32,
}

/// A connection's bounds.
pub const WEBSOCKET: Websocket = Websocket {
    // 16 MiB: what Autobahn asks for, and what Bun allows; browsers' tests send that much.
    message: 16 * 1024 * 1024,
    // 1,024 fragments under 64 bytes on average: Autobahn's 9.3.1 has 65,536 of exactly 64; an
    // attack has smaller ones.
    fragments: 1024,
    mean_fragment: 64,
    // 64 KiB: some hundred small messages, less than the read buffer.
    read_ahead: 64 * 1024,
    // 256 KiB: a round trip's worth at 100 Mbit/s and 20 ms.
    send_queue: 256 * 1024,
    // 30 s each: slower than any honest network, quicker than a human's patience.
    stall: 30,
    // 2 minutes: the largest message at 1.1 Mbit/s.
    assembly: 120,
    send: 30,
    // Proxies cut connections that are silent for 30 to 60 s; dead ones are found after 40 s.
    ping: 20,
    pong: 20,
    // 5 s: a peer that has not answered a Close by then will not.
    close: 5,
    // 2 s, as web servers linger.
    linger: 2,
    // 50 a second, 100 at once: no client has a use for more, and each is an answer to write.
    control_rate: 50,
    control_burst: 100,
};

/// Seconds that nobody lives to see, and that can be added up: what a setting that is off waits
/// for.
pub const NEVER: u32 = u32::MAX / 4;

/// The bounds of scripts, each with its unit.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Computing time of a hook between two waits. Over it: a script fault.
    pub budget: Duration,
    /// Operations of a hook between two waits. Over it: a script fault.
    pub operations: u32,
    /// Bytes that a hook may come to hold, from its call on, and 1,024 for each block of them. Over
    /// it: a script fault.
    pub memory: usize,
    /// Containers inside each other in a connection's `this`, over it: a script fault; and in what
    /// is made JSON of, read from JSON, printed or compared.
    pub depth: usize,
    /// Bytes of strings and blobs in a connection's `this`. Over it: a script fault.
    pub state: usize,
    /// The computing time of `on_close`, whose peer is gone.
    pub close_budget: Duration,
    /// Hooks that may wait or compute at once on one worker; more wait for their turn.
    pub fibers: usize,
    /// Stacks that they have; more hooks share them, and those of hooks that wait are put away.
    pub stacks: usize,
    /// Of those hooks, ones that wait for time, bytes or their peer. Over it: 1013.
    pub waiting: usize,
    /// Of those, hooks that wait in `receive`, as a loop over all messages does for as long as its
    /// connection lives. Over it: 1013.
    pub receiving: usize,
    /// Bytes that hooks which wait have on their stacks, all of them together. Over it: 1013.
    pub frames: usize,
    /// Bytes of a string or blob that a function of ours makes: a message must fit.
    pub string: usize,
    /// Bytes of a text that shows an array, a map or a blob; what lies beyond is cut off.
    pub shown: usize,
    /// Elements of an array that a native function makes at once.
    pub list: usize,
    /// Calls inside each other.
    pub call_levels: usize,
    /// Expressions inside each other, at a file's top level and in a function.
    pub expressions: (usize, usize),
    /// Variables in scope.
    pub variables: usize,
    /// Functions of one file.
    pub functions: usize,
    /// Bytes of a script file.
    pub source: usize,
    /// Modules that a handler imports, directly or through others.
    pub modules: usize,
}

/// A script's bounds.
pub const SCRIPT: Script = Script {
    // 1 s of computing is a million echo hooks; a script that needs more has a loop without an end.
    budget: Duration::from_secs(1),
    // About a second's worth on a fast machine, so that a budget holds where the clock stands
    // still, too.
    operations: 10_000_000,
    // 64 MiB: some copies of the largest message. It bounds how deep data can be nested, too: see
    // `machine::stack`.
    memory: 64 * 1024 * 1024,
    // As deep as Rhai lets expressions be: state is data, and data that deep is a mistake that
    // grows.
    depth: 64,
    // 16 MiB: the longest message, kept. A thousand connections with that much are a machine's
    // memory.
    state: 16 * 1024 * 1024,
    // 100 ms: nobody waits for `on_close`, and a shutdown runs it for everyone.
    close_budget: Duration::from_millis(100),
    // What memory allows: one that waits takes some 8 KiB, so that all of them take 1.2 GiB.
    fibers: 150_000,
    // Two memory maps each; Linux allows 65,530 to a process. Hooks that are busy at once find
    // their frames where they were.
    stacks: 4_096,
    // The rest is for hooks that do not wait, so that they find a fiber whatever the others do.
    waiting: 140_000,
    // The other third is for hooks that come and go, so that loops do not take the last place of
    // the other handlers.
    receiving: 100_000,
    // 2 GiB: 140,000 that wait in a loop of few calls have 1.6 GB, of which memory is a third,
    // since what is put away of many is mostly the same. Deep calls have a hundred times as much.
    frames: 2 * 1024 * 1024 * 1024,
    string: WEBSOCKET.message,
    // 1 MiB: more than anybody reads.
    shown: 1024 * 1024,
    // 65,536 small strings take about 5 ms and 4 MiB.
    list: 65_536,
    call_levels: 64,
    // Rhai's defaults of release builds, set so that debug builds and tests agree with them.
    expressions: (64, 32),
    variables: 1_000,
    functions: 500,
    // Rhai's parser takes time that grows with the square of the source in the worst case: 0.2 s at
    // 64 KiB.
    source: 128 * 1024,
    // More than a program of scripts has, and few enough to compile all of them again when one is
    // edited.
    modules: 64,
};

/// Bytes of one `raw_read` in a handshake, and of what is read ahead for it.
pub const RAW_READ: usize = 64 * 1024;

/// Bytes of a line that a script logs: what a human reads, and what log collectors take for one
/// line.
pub const LOG_LINE: usize = 8 * 1024;

/// Bytes of one direction of a link that are under way at once, as the buffers of a network are
/// bounded: from there on the sender waits. 256 KiB, as `send_queue`.
pub const LINK: usize = 256 * 1024;

/// Lines that the scripts of one file log in a second on one worker, and their bytes. What is
/// beyond is counted, not logged: nobody reads as fast, and disks are finite.
pub const LOG_RATE: (u32, usize) = (2_000, 1024 * 1024);

/// Bytes of log lines that wait to be written, while the disk or the reader is slow. Beyond it they
/// are dropped and counted.
pub const LOG_QUEUE: usize = 1024 * 1024;

/// Upper bounds on open connections.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// In total; `None` follows from the open-file limit. Over it: 503.
    pub total: Option<usize>,
    /// From one address, which is not asked of loopback; 0 is no bound. Over it: 503.
    pub by_address: usize,
}

/// The default bounds on open connections.
pub const CONNECTIONS: Connections = Connections {
    total: None,
    // 512: a large office behind one address.
    by_address: 512,
};

/// Connections in total, however many files may be open: a million fit into 24 GiB. Beyond that,
/// memory is the bound, and whoever has it says so.
pub const MOST_CONNECTIONS: usize = 1_000_000;

/// Divisor of the available memory for the bound on messages that all connections hold together: a
/// quarter, because a message that is gathered in a growing buffer is there twice for a moment, and
/// scripts and the kernel need theirs.
pub const BUFFERED_SHARE: usize = 4;

/// However little memory there is, a longest message can come and go: with its answer, for two
/// clients.
pub const BUFFERED_LEAST: usize = 4 * WEBSOCKET.message;

/// Address space besides the stacks of hooks: the program, its threads, the allocator's arenas.
pub const ADDRESSES: usize = 2 * 1024 * 1024 * 1024;

/// Stacks beside one for each worker, below which a limit of address space is warned of.
pub const FEW_STACKS: usize = 22;

/// The open-file limit where it cannot be asked: the smallest that systems come with.
pub const OPEN_FILES: u64 = 256;

/// The bounds of topics.
#[derive(Debug, Clone, Copy)]
pub struct Topics {
    /// Topics of one handler: those that it was the first to use. Over it: the call throws
    /// `topics`.
    pub topics: usize,
    /// Topics that one connection subscribes to. Over it: the call throws `subscriptions`.
    pub subscriptions: usize,
    /// Bytes of a topic's name. Over it: the call throws `topic`.
    pub name: usize,
    /// Messages in a topic's history,
    pub history: usize,
    /// and how long they are kept. Over either: the call throws `history`.
    pub age: Duration,
    /// Bytes that the histories of one handler's topics keep. Over it: older messages go.
    pub bytes: usize,
    /// Bytes of publications on their way to one worker. Over it: `publish` waits.
    pub mailbox: usize,
    /// Keys in presence of one handler's connections. Over it: the call throws `presence`.
    pub presence: usize,
    /// Bytes of JSON that are said of a key. Over it: the call throws `info`.
    pub info: usize,
    /// Time for which a key stays whose last connection was lost.
    pub grace: Duration,
}

/// The bounds of topics.
pub const TOPICS: Topics = Topics {
    // 100,000: a topic for each of so many users; an idle one takes some 400 bytes.
    topics: 100_000,
    // 100: rooms of one client; each takes some 100 bytes.
    subscriptions: 100,
    // 256 bytes: a path with an identifier or two.
    name: 256,
    // 10,000: more than a client that comes back reads.
    history: 10_000,
    // A day: whoever is away for longer asks a store.
    age: Duration::from_secs(86_400),
    bytes: 64 * 1024 * 1024,
    // 16 MiB: some hundred milliseconds of a worker's deliveries, and a longest message.
    mailbox: 16 * 1024 * 1024,
    // 100,000: a key for each connection of a busy process; each takes some 300 bytes.
    presence: 100_000,
    // 1 KiB: a name, a picture's address, a state.
    info: 1024,
    // 15 s: a page that is loaded anew, a change of the network.
    grace: Duration::from_secs(15),
};

/// The bounds of stores and queues.
#[derive(Debug, Clone, Copy)]
pub struct Stores {
    /// Keys of one handler: those that it was the last to write. Over it: the call throws `keys`.
    pub keys: usize,
    /// Bytes of a key, and of the name of a store or a queue. Over it: the call throws `key`.
    pub key: usize,
    /// Bytes of a value. Over it: the call throws `value`.
    pub value: usize,
    /// Bytes that the stores and queues of one handler keep, 64 for each key and entry among them.
    /// Over it: the call throws `full`.
    pub bytes: usize,
    /// Queues of one handler: those that it was the first to put into. Over it: the call throws
    /// `queues`.
    pub queues: usize,
    /// Entries of a queue, those on lease among them,
    pub entries: usize,
    /// and their bytes. Over either: `put` waits.
    pub queue: usize,
}

/// The bounds of stores and queues.
pub const STORES: Stores = Stores {
    // 100,000: a key for each of so many users.
    keys: 100_000,
    // 256 bytes: a path with an identifier or two.
    key: 256,
    // 1 MiB: a document, and not a file.
    value: 1024 * 1024,
    // 64 MiB, as the histories of topics: one handler does not fill a small machine.
    bytes: 64 * 1024 * 1024,
    // 1,000: a queue for each kind of work, or for each of some hundred workers.
    queues: 1_000,
    // 10,000: minutes of work; a queue that is longer is one that nobody empties.
    entries: 10_000,
    queue: 16 * 1024 * 1024,
};

/// The bounds of an engine in another process.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// Time for which a call waits for an engine that is away. Over it: the call throws `engine`.
    pub time: Duration,
    /// Bytes of commands on their way to it. Over it: whoever publishes waits, and
    /// a store throws `engine`.
    pub queue: usize,
    /// Bytes of what has come from it and is not with the workers yet. Over it: messages are
    /// dropped, and filled in or told of as a gap.
    pub incoming: usize,
}

/// The bounds of an engine in another process.
pub const ENGINE: Engine = Engine {
    // 5 s: a restart of Redis, or a failover; a hook that waits for longer is of no use to anybody.
    time: Duration::from_secs(5),
    // 16 MiB each: a longest message, or some tenths of a second on a fast network.
    queue: 16 * 1024 * 1024,
    // 64 MiB: Redis cuts off whoever is 32 MiB behind, so that this is not what drops first.
    incoming: 64 * 1024 * 1024,
};

/// The bounds of what scripts open and ask for outside: `dial`, `http_get`, `http_post`.
#[derive(Debug, Clone, Copy)]
pub struct Egress {
    /// Connections that one connection has dialed. Over it: the call throws `dials`.
    pub dialed: usize,
    /// Connections that the connections of one handler have dialed. Over it: the call throws
    /// `dials`.
    pub by_handler: usize,
    /// Bytes that they hold together, unread, unsent and unfinished. Over it: the one that comes
    /// across it ends.
    pub bytes: usize,
    /// HTTP requests of one handler under way at once. Over it: the call throws `requests`.
    pub requests: usize,
    /// Bytes of an answer's body. Over it: the call throws `large`.
    pub body: usize,
    /// Time for a handshake, and for a request with its whole answer. Over it: the call throws
    /// `late`.
    pub time: Duration,
}

/// The bounds of what scripts open and ask for outside.
pub const EGRESS: Egress = Egress {
    // 16: a backend or two for a client, and room for one that collects from several.
    dialed: 16,
    // 1,000 descriptors: what is left to the clients of a process that may open a few thousand.
    by_handler: 1_000,
    // 64 MiB, as the histories and stores of one handler: it does not fill a small machine.
    bytes: 64 * 1024 * 1024,
    // 100: what a login service that is slow has waiting, and 100 MiB of answers.
    requests: 100,
    // 1 MiB, as the requests that the server takes: a document of JSON.
    body: 1024 * 1024,
    // 10 s, as a client's own head: whoever waits for longer has been forgotten.
    time: Duration::from_secs(10),
};

/// The bounds of recorded conversations.
#[derive(Debug, Clone, Copy)]
pub struct Recordings {
    /// Messages of one file; more are counted only.
    pub messages: u64,
    /// Bytes of a file's messages, as JSON has them; beyond it they are counted only.
    pub bytes: usize,
    /// Connections that are recorded at once; others are counted only.
    pub connections: usize,
    /// Bytes of messages that wait for the disk; beyond it they are counted only.
    pub waiting: usize,
}

/// The bounds of recorded conversations.
pub const RECORDINGS: Recordings = Recordings {
    // 100,000 and 64 MiB: what a browser's panel still shows.
    messages: 100_000,
    bytes: 64 * 1024 * 1024,
    // Each is an open file.
    connections: 200,
    // 32 MiB: some of the longest messages, or a second of a disk that is slow.
    waiting: 32 * 1024 * 1024,
};

/// The bounds of recordings that new versions of handlers are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsal {
    /// Time for all that one save has to be played. Over it: the rest is said not to be played, and
    /// what must be does not serve.
    pub time: Duration,
    /// Files that are read; of more, the newest.
    pub files: usize,
    /// Bytes of the files that are held; the rest is not played.
    pub bytes: usize,
}

/// The bounds of recordings that new versions of handlers are played.
pub const REHEARSAL: Rehearsal = Rehearsal {
    // 5 s: some hundred recordings, and as long as somebody who has just saved looks on.
    time: Duration::from_secs(5),
    // 500: each has a server of its own, which takes some milliseconds to begin.
    files: 500,
    // 64 MiB: as much as one recording has at most.
    bytes: 64 * 1024 * 1024,
};

/// A request head's bounds.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Bytes of the whole head. Over it: 431.
    pub bytes: usize,
    /// Bytes of the target and of one header line. Over it: 414 and 431.
    pub line: usize,
    /// Header lines. Over it: 431.
    pub headers: usize,
    /// Time from the connection to the end of its head.
    pub time: Duration,
    /// Time to read on after a refusal, so that the peer gets it before a reset.
    pub linger: Duration,
    /// Time that a connection may wait for another request.
    pub keep_alive: Duration,
    /// Requests of one connection.
    pub requests: u32,
    /// Bytes of a request's body, which only a handler's `on_request` reads. Over it: 413.
    pub body: usize,
}

/// A request head's bounds: those of the careful servers (nginx, Cowboy), with 10 s against
/// drip-fed heads.
pub const HEAD: Head = Head {
    bytes: 16 * 1024,
    line: 8 * 1024,
    headers: 100,
    time: Duration::from_secs(10),
    linger: Duration::from_secs(2),
    // 15 s: a page and what it loads, and the next click of somebody who reads quickly.
    keep_alive: Duration::from_secs(15),
    // 1,000, as nginx has it: what a connection leaves behind in anybody's memory goes some day.
    requests: 1_000,
    // 1 MiB, as nginx has it: a form or a document of JSON.
    body: 1024 * 1024,
};

/// The bounds of files on their way to a client.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// Bytes that are read and written at once, and so held for a client that takes nothing.
    pub chunk: usize,
    /// Files that a worker reads and writes at once; the others wait for their turn.
    pub at_once: usize,
    /// Time limit of any response,
    pub time: Duration,
    /// and how many bytes a second one must be taken at beyond that.
    pub rate: u64,
}

/// The bounds of files on their way to a client.
pub const FILES: Files = Files {
    // 64 KiB: about 30 us of a worker's time, which is what an echo may have to wait for.
    chunk: 64 * 1024,
    // 4: threads that wait for the disk, and chunks that a worker writes before it looks at its
    // other connections.
    at_once: 4,
    // 2 minutes, and 16 KiB a second: the slowest line that anybody still has.
    time: Duration::from_secs(120),
    rate: 16 * 1024,
};

/// Names of one handler that traffic is counted by. Over it: the one that was used the longest ago
/// is forgotten, or `traffic` is thrown. 1,000: those who are there at one time; each takes some
/// hundred bytes.
pub const TRAFFIC_NAMES: usize = 1_000;

/// Connections that wait to be accepted: a burst of reconnecting clients.
pub const BACKLOG: i32 = 1024;

/// Default timeout of a TLS handshake.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Default time limit of the drain at a shutdown.
pub const DRAIN: Duration = Duration::from_secs(5);
