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
    /// Seconds for an unfinished frame or message. Over it: 1008.
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
}

/// A connection's bounds.
pub const WEBSOCKET: Websocket = Websocket {
    // 16 MiB: what Autobahn asks for, and what Bun allows; browsers' tests send that much.
    message: 16 * 1024 * 1024,
    // 1,024 fragments under 64 bytes on average: Autobahn's 9.3.1 has 65,536 of exactly 64; an attack has smaller ones.
    fragments: 1024,
    mean_fragment: 64,
    // 64 KiB: some hundred small messages, less than the read buffer.
    read_ahead: 64 * 1024,
    // 256 KiB: a round trip's worth at 100 Mbit/s and 20 ms.
    send_queue: 256 * 1024,
    // 30 s each: slower than any honest network, quicker than a human's patience.
    assembly: 30,
    send: 30,
    // Proxies cut connections that are silent for 30 to 60 s; dead ones are found after 40 s.
    ping: 20,
    pong: 20,
    // 5 s: a peer that has not answered a Close by then will not.
    close: 5,
    // 2 s, as web servers linger.
    linger: 2,
};

/// The bounds of scripts, each with its unit.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Computing time of a hook between two waits. Over it: a script fault.
    pub budget: Duration,
    /// Operations of a hook between two waits. Over it: a script fault.
    pub operations: u32,
    /// Containers inside each other in a connection's `this`. Over it: a script fault.
    pub depth: usize,
    /// The computing time of `on_close`, whose peer is gone.
    pub close_budget: Duration,
    /// Hooks that may wait or compute at once on one worker; more wait for their turn.
    pub fibers: usize,
    /// Bytes of a string or blob, which a message must fit.
    pub string: usize,
    /// Entries of an object map.
    pub map: usize,
    /// Calls inside each other.
    pub call_levels: usize,
    /// Variables in scope.
    pub variables: usize,
    /// Functions of one file.
    pub functions: usize,
    /// Bytes of a script file.
    pub source: usize,
}

/// A script's bounds.
pub const SCRIPT: Script = Script {
    // 1 s of computing is a million echo hooks; a script that needs more has a loop without an end.
    budget: Duration::from_secs(1),
    // Data can be nested by 3 operations a level, and a fiber's stack frees a million levels.
    operations: 2_000_000,
    // As deep as Rhai lets expressions be: state is data, and data that deep is a mistake that grows.
    depth: 64,
    // 100 ms: nobody waits for `on_close`, and a shutdown runs it for everyone.
    close_budget: Duration::from_millis(100),
    // Two memory maps each; Linux allows 65,530 to a process, and workers share them.
    fibers: 12_000,
    string: WEBSOCKET.message,
    // Checked by walking, so that each level costs; state of more entries belongs into a store.
    map: 10_000,
    call_levels: 64,
    variables: 1_000,
    functions: 500,
    // Rhai's parser takes time that grows with the square of the source in the worst case: 0.2 s at 64 KiB.
    source: 128 * 1024,
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
}

/// A request head's bounds: those of the careful servers (nginx, Cowboy), with 10 s against drip-fed heads.
pub const HEAD: Head = Head {
    bytes: 16 * 1024,
    line: 8 * 1024,
    headers: 100,
    time: Duration::from_secs(10),
    linger: Duration::from_secs(2),
};

/// How long a file may take to be sent to a client.
pub const FILE_TIME: Duration = Duration::from_secs(120);

/// Connections that wait to be accepted: a burst of reconnecting clients.
pub const BACKLOG: i32 = 1024;

/// How long a shutdown may take.
pub const DRAIN: Duration = Duration::from_secs(5);
