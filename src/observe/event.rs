//! Everything that the server tells of itself: a closed list of events, each with an id, a target,
//! a level and fields that stay when code moves. Log lines are one reader of them, metrics the
//! other.

use std::fmt;

use tracing::field::DisplayValue;

use super::apart;

/// A part of the server, as `--log-level` and log lines name it: a stable list, whatever modules
/// there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The process: start, sockets, TLS, certificates, signals, end.
    Server,
    /// Requests, handshakes, refusals, files.
    Http,
    /// Connections after their handshake.
    Websocket,
    /// The folder of handlers.
    Handlers,
    /// Scripts: their faults, and what they wait for.
    Script,
    /// What scripts print.
    Print,
    /// Opens, closes and answers.
    Access,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Server,
        Self::Http,
        Self::Websocket,
        Self::Handlers,
        Self::Script,
        Self::Print,
        Self::Access,
    ];

    /// The target of its log lines.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Server => "wsh_server::server",
            Self::Http => "wsh_server::http",
            Self::Websocket => "wsh_server::websocket",
            Self::Handlers => "wsh_server::handlers",
            Self::Script => "wsh_server::script",
            Self::Print => "wsh_server::print",
            Self::Access => "wsh_server::access",
        }
    }

    /// The name that a filter knows it by.
    pub fn name(self) -> &'static str {
        short(self.path())
    }
}

/// A log line's target without the program's name.
pub fn short(path: &str) -> &str {
    path.strip_prefix("wsh_server::").unwrap_or(path)
}

/// A field that is what it displays.
pub(crate) type Text<'e> = DisplayValue<&'e dyn fmt::Display>;

/// Makes a field of what displays.
pub(crate) fn text(value: &dyn fmt::Display) -> Text<'_> {
    tracing::field::display(value)
}

/// A part of an event's sentence that is only put into words for who reads it.
pub(crate) type Words<'e> = &'e dyn fmt::Display;

/// What [`Words`] are made by.
pub(crate) struct Lazily<F>(pub F);

impl<F: Fn() -> String> fmt::Display for Lazily<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&(self.0)())
    }
}

/// The side that ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The client's Close was the first.
    Client,
    /// The server's Close was, or the handler or the server has dropped the connection.
    Server,
    /// Neither side: the connection broke.
    Nobody,
}

impl By {
    /// As logs and metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Nobody => "nobody",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// The field that is a report on a script: JSON lines have it as an object.
pub(crate) const REPORT: &str = "report";

/// Whether any reader wants log lines of this target at this level: for what would be costly to
/// tell.
macro_rules! is_wanted {
    ($target:ident, $level:ident) => {
        tracing::enabled!(
            target: $crate::observe::event::Target::$target.path(),
            tracing::Level::$level
        )
    };
}
pub(crate) use is_wanted;

/// What the list says of an event.
#[derive(Debug)]
pub struct Info {
    /// Its name in JSON log lines; it never changes.
    pub id: &'static str,
    /// Its part of the server.
    pub target: Target,
    /// Its level.
    pub level: &'static str,
    /// Its sentence.
    pub message: &'static str,
    /// What goes with it.
    pub fields: &'static [&'static str],
    /// What it tells.
    pub about: &'static [&'static str],
}

macro_rules! events {
    ($(
        $(#[doc = $about:literal])+
        $level:ident $target:ident $id:literal $name:ident
        { $($field:ident: $type:ty),* $(,)? }
        $message:literal
        $(with { $($word:ident: $words:ty),* $(,)? })?;
    )*) => {
        /// An event, with what it tells.
        pub(crate) enum Event<'e> {
            $(
                $(#[doc = $about])+
                $name { $($field: $type,)* $($($word: $words,)*)? },
            )*
        }

        impl Event<'_> {
            /// Tells the log alone: what metrics have counted already.
            #[allow(unused_variables, reason = "some of what is told is for metrics alone")]
            pub(crate) fn log(self) {
                if apart::is_here() {
                    return;
                }
                match self {
                    $(Self::$name { $($field,)* $($($word,)*)? } => tracing::event!(
                        name: $id,
                        target: Target::$target.path(),
                        tracing::Level::$level,
                        $($field = $field,)*
                        $message
                    ),)*
                }
            }
        }

        /// The closed list, by target and in the order of what happens.
        pub const EVENTS: &[Info] = &[$(
            Info {
                id: $id,
                target: Target::$target,
                level: stringify!($level),
                message: $message,
                fields: &[$(stringify!($field)),*],
                about: &[$($about),+],
            },
        )*];
    };
}

events! {
    /// The process starts; the first line of a log.
    INFO Server "start" Start { version: &'e str, addresses: &'e str, handlers: usize }
        "wsh-server starts";
    /// Connections are answered from now on.
    INFO Server "ready" Ready {} "ready";
    /// Something in the configuration sets nothing, or is probably not meant.
    WARN Server "configuration" Configuration {} "{warning}" with { warning: Words<'e> };
    /// The server cannot start, or cannot go on.
    ERROR Server "failure" Failure {} "{error}" with { error: Words<'e> };
    /// Code of the server itself panicked, and what it was for has ended.
    ERROR Server "panic" Panic { thread: &'e str } "the server panicked: {what}; please report this"
        with { what: Words<'e> };
    /// A signal asked for a look at handlers and certificates.
    INFO Server "reload-asked" ReloadAsked {}
        "looking at handlers and certificates, and the log file is opened anew, as SIGHUP asks";
    /// A signal had the log file opened anew.
    INFO Server "log-reopened" LogReopened {} "the log file is opened anew, as SIGUSR1 asks";
    /// The log file cannot be opened anew.
    WARN Server "log-not-reopened" LogNotReopened {}
        "the log file cannot be opened again, and goes on where it is: {error}"
        with { error: Words<'e> };
    /// A signal without a meaning.
    INFO Server "signal-ignored" SignalIgnored {} "{name} means nothing \
        here" with { name: &'e str };
    /// The service manager cannot be told.
    WARN Server "notify-failed" NotifyFailed {} "the service manager cannot be told {state}: \
        {error}"
        with { state: Words<'e>, error: Words<'e> };
    /// A certificate was renewed.
    INFO Server "certificate-read" CertificateRead { file: Text<'e>, until: Option<Text<'e>> }
        "certificate read again: new connections get it";
    /// A file of TLS that was wrong is right again.
    INFO Server "certificate-usable" CertificateUsable {} "{flag} {file} can be used again"
        with { flag: &'e str, file: Words<'e> };
    /// A file of TLS is wrong.
    ERROR Server "certificate-unusable" CertificateUnusable {}
        "{error}; the certificate read before goes on serving" with { error: Words<'e> };
    /// The certificate ends before long.
    WARN Server "certificate-ends" CertificateEnds { file: Text<'e>, until: Text<'e> }
        "the certificate ends soon: renew it, and it is read again";
    /// The certificate has ended.
    WARN Server "certificate-ended" CertificateEnded { file: Text<'e>, until: Text<'e> }
        "the certificate has ended: clients will refuse it; renew it, and it is read again";
    /// The authority of `--tls-dev` is made anew.
    WARN Server "development-authority" DevelopmentAuthority { file: Text<'e> }
        "the development authority is made anew, and is to be trusted anew: {why}"
        with { why: Words<'e> };
    /// The certificate of `--tls-dev` is made anew.
    WARN Server "development-certificate" DevelopmentCertificate { file: Text<'e> }
        "the development certificate is made anew: {why}" with { why: Words<'e> };
    /// Connections were turned away as they arrived: at most a line every ten seconds, with how
    /// many there were.
    WARN Server "connections-refused" ConnectionsRefused
        { refusal: &'static str, limit: usize, count: u64 } "{why}" with { why: Words<'e> };
    /// The system gave no descriptor or memory for a connection.
    ERROR Server "open-files" OpenFiles { refusal: &'static str, count: u64 } "{why}"
        with { why: Words<'e> };
    /// A TLS handshake failed.
    DEBUG Server "tls-handshake" NoTlsHandshake { client: Text<'e>, refusal: &'static str }
        "no TLS handshake: {why}" with { why: Words<'e> };
    /// Metrics and probes are answered at these addresses.
    INFO Server "metrics" Metrics { addresses: &'e str } "metrics are served";
    /// The store's file cannot be written or read, as on a full disk. What was answered is kept.
    ERROR Server "store-failed" StoreFailed { error: &'e str }
        "the store cannot be written: calls throw `store` until it can; what was answered is kept";
    /// It can be again.
    INFO Server "store-usable" StoreUsable {} "the store can be written again";
    /// A connection is not recorded, or not to its end.
    WARN Server "recording-failed" RecordingFailed { file: Text<'e> }
        "the recording cannot be written: {error}" with { error: Words<'e> };
    /// The disk was too slow for a recording.
    WARN Server "recording-lacks" RecordingLacks { file: Text<'e>, messages: u64 }
        "the recording lacks messages: they came faster than the disk takes them";
    /// No more connections are recorded at once. Said again when half of them have ended.
    WARN Server "recordings-full" RecordingsFull { limit: usize }
        "as many connections are recorded as can be at once; others are served without";
    /// A shutdown is ahead: load balancers are told to send nobody any more, and have this time to
    /// hear of it.
    INFO Server "unready" Unready { seconds: u64 } "shutting down after a while: /readyz says 503";
    /// The shutdown begins.
    INFO Server "drain" Drain { connections: usize } "draining: closing every connection with 1001";
    /// The shutdown took too long.
    WARN Server "drain-over" DrainOver { connections: usize }
        "the time for draining is up; the rest are dropped";
    /// An engine is there: for the first time, or again after so many seconds.
    INFO Server "engine-up" EngineUp { engine: &'static str, server: &'e str, seconds: Option<f64> }
        "connected to the engine";
    /// An engine cannot be reached.
    WARN Server "engine-away" EngineAway { engine: &'static str, server: &'e str }
        "the engine is away, and tried again and again: {error}" with { error: Words<'e> };
    /// An engine does not do what it is asked to.
    WARN Server "engine-refuses" EngineRefuses { engine: &'static str, what: &'static str }
        "the engine refuses: {error}" with { error: Words<'e> };
    /// A message under our names that no server of this kind has made: it is passed over.
    WARN Server "engine-foreign" EngineForeign { engine: &'static str, name: &'e str }
        "passed over what no wsh-server of this version has made: somebody else writes under this \
        prefix";
    /// So many more in a second.
    WARN Server "engine-foreign-more" EngineForeignMore { engine: &'static str, more: u64 }
        "passed over {more} more";
    /// More has come from an engine than could be delivered, so that some was dropped.
    WARN Server "engine-overflow" EngineOverflow { engine: &'static str, topics: usize }
        "more comes from the engine than is delivered: messages were dropped; those of topics with \
        history are read again";
    /// The end; the last line of a log.
    INFO Server "stop" Stop {} "stopped";

    /// Somebody may not come in.
    WARN Http "refused" Refused { refusal: &'static str, client: Text<'e>, path: Option<&'e str> }
        "refused: {why}" with { why: &'e str };
    /// A request was refused.
    INFO Http "request-refused" RequestRefused
        { refusal: &'static str, status: u16, client: Text<'e> } "{why}" with { why: Words<'e> };
    /// A request was refused that has a line of its own, or that browsers make by themselves.
    DEBUG Http "refusal-answered" RefusalAnswered
        { connection: u64, refusal: &'static str, status: u16, client: Text<'e> } "{why}"
        with { why: Words<'e>, is_counted: bool };
    /// So many more were refused in a second.
    WARN Http "refused-more" RefusedMore { refusal: &'static str, more: u64 } "refused {more} more";
    /// What a trusted proxy says of its client makes no sense.
    DEBUG Http "forwarded-ignored" ForwardedIgnored { client: Text<'e> }
        "ignored what a proxy says: {why}" with { why: Words<'e> };
    /// The first page without an origin.
    INFO Http "null-origin" NullOrigin {}
        "a page without an origin (Origin: null) has been let in: one that was opened from the \
        disk, or one in a sandboxed frame of any site, which look the same; --allow-origin \
        loopback refuses them and goes on to let in this machine's pages";
    /// A handler picks none of the subprotocols that are offered, so that browsers give up.
    WARN Http "no-subprotocol" NoSubprotocol { handler: &'e str, offered: &'e str }
        "the client offers subprotocols and the handler picks none, so that browsers give up: in \
        do_extra_handshake(request), `request.protocol = request.requested_protocols[0];` picks \
        the first";
    /// A handler had a handshake's connection reset.
    DEBUG Http "handshake-reset" HandshakeReset { connection: u64, client: Text<'e> }
        "handshake reset";
    /// A handshake's connection ended without an answer.
    DEBUG Http "handshake-dropped" HandshakeDropped { connection: u64, client: Text<'e> }
        "handshake dropped";
    /// A request that a handler was to answer ended without an answer.
    DEBUG Http "request-dropped" RequestDropped { connection: u64, client: Text<'e> }
        "request dropped";
    /// A handshake was refused, by whom and why its request's line says.
    DEBUG Http "handshake-refused" HandshakeRefused
        { connection: u64, client: Text<'e>, result: &'static str } "handshake refused";
    /// A handshake is done.
    DEBUG Http "connection-opened" ConnectionOpened
        { connection: u64, client: Text<'e>, handler: &'e str } "connection opened";
    /// A line of a request's head, or of its answer's.
    TRACE Http "head" Head { connection: u64 } "{way}: {line}" with { way: &'e str, line: &'e str };

    /// A peer broke the protocol, or a bound.
    INFO Websocket "peer-fault" PeerFault
        { connection: u64, path: &'e str, refusal: &'static str, code: u16 } "closed: {why}"
        with { why: Words<'e> };
    /// So many more did in a second.
    INFO Websocket "peer-fault-more" PeerFaultMore { refusal: &'static str, more: u64 }
        "closed {more} more";
    /// A connection was dropped without a Close that could reach anybody.
    DEBUG Websocket "connection-dropped" ConnectionDropped
        { connection: u64, refusal: &'static str } "connection dropped: \
            {why}" with { why: &'e str };
    /// A connection was closed to make room.
    DEBUG Websocket "connection-shed" ConnectionShed { connection: u64, refusal: &'static str }
        "connection closed: {why}" with { why: &'e str };
    /// All connections together held too much.
    WARN Websocket "too-much-held" TooMuchHeld { refusal: &'static str, connections: u64 }
        "all connections together held more than {bound} bytes of messages: those that held most \
        are closed with 1013; raise --max-buffered if there is memory for more"
        with { bound: usize };
    /// A subscriber was closed: it takes less than is published.
    INFO Websocket "slow-subscriber" SlowSubscriber
        { connection: u64, topic: &'e str, refusal: &'static str }
        "closed with 1013: it takes less than is published, and has --send-queue bytes unsent";
    /// So many more were in a second.
    INFO Websocket "slow-subscriber-more" SlowSubscriberMore { refusal: &'static str, more: u64 }
        "closed {more} more";
    /// A connection has ended.
    DEBUG Websocket "connection-closed" ConnectionClosed
        { connection: u64, code: u16, reason: &'e str, was_clean: bool, by: Text<'e> }
        "connection closed" with { side: By };
    /// A frame.
    TRACE Websocket "frame" Frame { connection: u64 } "{way}: {frame}"
        with { way: &'e str, frame: Words<'e> };

    /// A new file serves.
    INFO Handlers "handler-added" HandlerAdded { file: &'e str } "handler added";
    /// A new version of a file, or of modules of its, serves.
    INFO Handlers "handler-reloaded" HandlerReloaded { file: &'e str, modules: Option<&'e str> }
        "handler reloaded";
    /// Loops go on with a version that was replaced.
    INFO Handlers "loops-stay" LoopsStay { file: &'e str }
        "{connections} in a loop of version {version}, and stay on it until it ends"
        with { connections: &'e str, version: u64 };
    /// A file is gone.
    INFO Handlers "handler-removed" HandlerRemoved { file: &'e str }
        "handler removed; its open connections go on";
    /// A new version does not compile; the one before goes on serving.
    ERROR Handlers "handler-broken" HandlerBroken { file: &'e str, report: Text<'e> }
        "handler broken" with { files: &'e [String], plain: Words<'e> };
    /// A new version was played recordings, and answers as it was recorded.
    INFO Handlers "rehearsed" Rehearsed
        { file: &'e str, version: u64, connections: usize, messages: usize }
        "answers as recorded";
    /// A new version answers otherwise than it was recorded.
    WARN Handlers "rehearsal-differs" RehearsalDiffers
        { file: &'e str, version: u64, differences: usize, report: Text<'e> }
        "answers otherwise than recorded" with { plain: Words<'e> };
    /// A recording cannot be played.
    WARN Handlers "rehearsal-problem" RehearsalProblem { file: &'e str } "not played: {problem}"
        with { problem: Words<'e> };
    /// Something in a file is probably not meant.
    WARN Handlers "handler-doubt" HandlerDoubt { file: &'e str, report: Text<'e> }
        "probably a mistake" with { plain: Words<'e> };
    /// Something about a file, an alias or a folder is wrong.
    WARN Handlers "handler-problem" HandlerProblem { file: &'e str } "{problem}"
        with { problem: &'e str };
    /// Two handlers say different things of a topic.
    WARN Handlers "topic-disputed" TopicDisputed { file: &'e str, topic: &'e str }
        "{other} says something else of this topic: what the first of the two files says holds"
        with { other: &'e str };
    /// A problem is over.
    INFO Handlers "problem-over" ProblemOver { file: &'e str } "{what}" with { what: &'e str };
    /// Changes are found by looking, and not by events.
    WARN Handlers "no-file-events" NoFileEvents {}
        "no file events ({error}): changes are found by looking every {seconds} s; raise \
        fs.inotify.max_user_watches and max_user_instances for quicker reloads"
        with { error: Words<'e>, seconds: u64 };

    /// A hook failed.
    ERROR Script "script-fault" ScriptFault
        {
            hook: &'static str, connection: Option<u64>, handler: &'e str, version: u64,
            report: Text<'e>,
        }
        "script fault";
    /// It failed more often in a second.
    ERROR Script "script-fault-more" ScriptFaultMore
        { hook: &'static str, handler: &'e str, line: usize, column: usize }
        "script fault, repeated {times} times" with { times: u64 };
    /// What stands outside of functions failed when a version was to serve.
    ERROR Script "load-fault" LoadFault { file: &'e str, report: Text<'e> } "script fault"
        with { plain: Words<'e> };
    /// A function of the server's own panicked in a hook.
    ERROR Script "host-panic" HostPanic { hook: &'static str, connection: Option<u64> }
        "a host function panicked; please report this";
    /// A handler refused a handshake by throwing.
    DEBUG Script "handshake-thrown" HandshakeThrown
        { handler: &'e str, connection: Option<u64> }
        "handshake refused: {thrown}" with { thrown: &'e str };
    /// A script has dialed a connection, or has none: the kind of the error that was thrown.
    DEBUG Script "dialed" Dialed
        { handler: &'e str, host: Text<'e>, result: &'static str, seconds: f64 }
        "a script has dialed";
    /// The same of an HTTP request, whatever the status of its answer.
    DEBUG Script "asked" Asked
        { handler: &'e str, host: Text<'e>, result: &'static str, seconds: f64 }
        "a script has asked another server";
    /// The system has no memory for a hook.
    ERROR Script "no-stack" NoStack {}
        "no memory for a script's stack: {error}; a limit of address space is too low, see ulimit -v"
        with { error: Words<'e> };
    /// Too many hooks wait.
    WARN Script "hooks-wait" HooksWait {}
        "{live} hooks wait on this worker: those that would wait, too, are ended and their \
        connections closed with 1013, so that others go on"
        with { live: usize };
    /// Too many loops wait for messages.
    WARN Script "loops-wait" LoopsWait {}
        "{receiving} hooks wait in receive() on this worker, and another loop is refused with \
        1013: fn transfer_data(ws, message) takes no place while it waits for a message"
        with { receiving: usize };
    /// Hooks that wait have too much on their stacks.
    WARN Script "frames-wait" FramesWait {}
        "hooks that wait on this worker have {bytes} bytes on their stacks, and one more that would \
        wait is ended and its connection closed with 1013: let hooks wait in few calls inside each \
        other, or raise --max-waiting-size"
        with { bytes: usize };
    /// A part of a function is not translated, but left to Rhai, which is slower.
    DEBUG Script "left-to-rhai" LeftToRhai { handler: &'e str, function: &'e str, line: u64 }
        "left to Rhai: {what}" with { what: &'e str };
    /// So many more in a second.
    WARN Script "hooks-wait-more" HooksWaitMore {} "{more} more hooks could not {what}"
        with { more: u64, what: &'e str };

    /// A line of a script, by `error`.
    ERROR Print "printed" PrintedError
        { handler: Option<&'e str>, hook: Option<&'static str>, connection: Option<u64> }
        "{line}" with { line: &'e str };
    /// A line of a script, by `warn`.
    WARN Print "printed" PrintedWarning
        { handler: Option<&'e str>, hook: Option<&'static str>, connection: Option<u64> }
        "{line}" with { line: &'e str };
    /// A line of a script, by `info` or `print`.
    INFO Print "printed" PrintedInfo
        { handler: Option<&'e str>, hook: Option<&'static str>, connection: Option<u64> }
        "{line}" with { line: &'e str };
    /// A line of a script, by `debug`.
    DEBUG Print "printed" PrintedDebug
        { handler: Option<&'e str>, hook: Option<&'static str>, connection: Option<u64> }
        "{line}" with { line: &'e str };
    /// A script printed more in a second than anybody reads.
    WARN Print "printed-more" PrintedMore { handler: &'e str } "{lines} lines suppressed in a \
        second"
        with { lines: u64 };

    /// A connection is open.
    INFO Access "opened" Opened {
        connection: u64, path: &'e str, client: &'e str, handler: &'e str, version: u64,
        protocol: Option<&'e str>,
    } "opened";
    /// A connection has ended.
    INFO Access "closed" Closed {
        connection: u64, path: &'e str, client: &'e str, code: u16, reason: Option<&'e str>,
        by: Text<'e>, seconds: f64, messages_in: u64, bytes_in: u64, messages_out: u64,
        bytes_out: u64,
    } "closed";
    /// A request was answered.
    INFO Access "answered" Answered {
        connection: u64, method: &'e str, path: &'e str, client: &'e str, status: u16, bytes: u64,
    } "answered";
    /// What a terminal shows in the place of those three.
    INFO Access "access" Access {} "{line}" with { line: Words<'e> };
}

/// The list as a table of Markdown.
pub fn markdown() -> String {
    use fmt::Write;
    let mut out = String::new();
    for target in Target::ALL {
        let _ = write!(
            out,
            "### `{}`\n\n| event | level | what it tells | fields | its sentence \
            |\n|---|---|---|---|---|\n",
            target.name()
        );
        for event in EVENTS.iter().filter(|event| event.target == target) {
            let about: Vec<_> = event.about.iter().map(|line| line.trim()).collect();
            let fields: Vec<_> = event
                .fields
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} |",
                event.id,
                event.level.to_ascii_lowercase(),
                about.join(" "),
                fields.join(", "),
                event.message.replace(['{', '}'], "*"),
            );
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        let mut known = std::collections::BTreeSet::new();
        for event in EVENTS {
            assert!(known.insert((event.id, event.level)), "{} twice", event.id);
            let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(event.id.chars().all(is_word), "{}", event.id);
            // What a JSON line has of every event.
            for field in ["time", "level", "target", "event", "message"] {
                assert!(!event.fields.contains(&field), "{}: {field}", event.id);
            }
            assert!(event.about.iter().all(|line| line.starts_with(' ')));
        }
        assert!(
            Target::ALL
                .iter()
                .all(|target| { EVENTS.iter().any(|event| event.target == *target) })
        );
    }
}
