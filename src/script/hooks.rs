//! The closed table of hooks: what a handler may define, and with which arguments.

/// A hook, in the order of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before the 101.
    DoExtraHandshake,
    /// Once after it.
    OnOpen,
    /// A data message, one call each.
    TransferData,
    /// Once, a loop over all messages.
    TransferLoop,
    /// A Ping frame from the peer.
    OnPing,
    /// A Pong frame from the peer.
    OnPong,
    /// A timer of the connection.
    OnTimer,
    /// A message of a topic, before it is sent.
    OnPublish,
    /// Who came to a topic and who left it.
    OnPresence,
    /// Messages of a topic may have been missed.
    OnGap,
    /// A message of a connection that was dialed.
    OnDialed,
    /// The end of one.
    OnDialedClose,
    /// A new version begins to serve the connection.
    OnReload,
    /// A frame, before the protocol sees it.
    OnFrame,
    /// The peer's Close.
    PassiveClosingHandshake,
    /// The end of the connection, however it came.
    OnClose,
    /// The handler begins to serve, without a connection.
    OnLoad,
    /// A timer of the handler.
    OnInterval,
    /// A request that is no handshake.
    OnRequest,
}

/// Row of the hook table.
#[derive(Debug)]
pub struct HookInfo {
    /// Hook that the row describes.
    pub hook: Hook,
    /// The function's name in a script.
    pub name: &'static str,
    /// Its parameters, as the documentation names them.
    pub params: &'static [&'static str],
    /// Occasion on which it is called, as the reference says it.
    pub when: &'static str,
    /// Use made of its result, as the reference says it.
    pub result: &'static str,
}

/// Table of all hooks, in the order of the enum.
pub const HOOKS: [HookInfo; 19] = [
    HookInfo {
        hook: Hook::DoExtraHandshake,
        name: "do_extra_handshake",
        params: &["request"],
        when: "before the connection is accepted",
        result: "ignored: `request.reject(…)` refuses the connection, `throw` refuses it with 403, \
            a fault with 500, \
                 `request.abort()` drops it without an answer",
    },
    HookInfo {
        hook: Hook::OnOpen,
        name: "on_open",
        params: &["ws"],
        when: "once, after the handshake: the place to speak first and to set timers",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::TransferData,
        name: "transfer_data",
        params: &["ws", "message"],
        when: "for every message: a string when the client sent text, a blob when it sent binary \
            data",
        result: "ignored: only `ws.send` sends",
    },
    HookInfo {
        hook: Hook::TransferLoop,
        name: "transfer_data",
        params: &["ws"],
        when: "instead of the former, once after `on_open`: it owns the connection and asks for \
            messages with `ws.receive()`",
        result: "ignored: its return closes the connection with 1000",
    },
    HookInfo {
        hook: Hook::OnPing,
        name: "on_ping",
        params: &["ws", "payload"],
        when: "for every Ping, with its payload as a blob",
        result: "ignored: with this hook there is no automatic Pong, `ws.pong(payload)` answers",
    },
    HookInfo {
        hook: Hook::OnPong,
        name: "on_pong",
        params: &["ws", "payload"],
        when: "for every Pong, asked for or not, with its payload as a blob",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnTimer,
        name: "on_timer",
        params: &["ws", "name"],
        when: "when a timer of this connection is due: `ws.after(seconds, name)`, \
            `ws.every(seconds, name)`",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnPublish,
        name: "on_publish",
        params: &["ws", "topic", "message"],
        when: "for every message of a topic that this connection subscribes to, before it is sent: \
            a string or a blob as it would be sent; in a topic with envelopes what they hold, as \
            `parse_json` gives it",
        result: "`true` or `()` sends it, `false` does not; a string, a blob, or a map or an array \
            as JSON, is sent instead, in the same envelope; anything else is a fault. The last \
            call of a function gives its result: end with `true`",
    },
    HookInfo {
        hook: Hook::OnPresence,
        name: "on_presence",
        params: &["ws", "topic", "joined", "left"],
        when: "when somebody came to a topic that this connection subscribes to, or left it, at \
            most once a second: arrays of `#{key, info}`; who came and left in between is not \
            told, and in a topic of more than 1,000 keys nobody is",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnGap,
        name: "on_gap",
        params: &["ws", "topic"],
        when: "when messages of a topic that this connection subscribes to may have been missed: \
            the broker was away, or has lost what the topic kept. It has its place between the \
            messages: the place to send the client the state anew, or to close",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnDialed,
        name: "on_dialed",
        params: &["ws", "dialed", "message"],
        when: "for every message of a connection that this one has dialed: a string or a blob, \
            unless a hook waits for it in `dialed.receive()`",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnDialedClose,
        name: "on_dialed_close",
        params: &["ws", "dialed", "code", "reason"],
        when: "once, when a connection that this one has dialed has ended, and all its messages \
            were taken; `code` is 1005 for a Close without one, 1006 for an end without a Close",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnReload,
        name: "on_reload",
        params: &["ws"],
        when: "once, when a new version of the file first serves this connection, right before its \
            next hook: the place to add to `this` \
               what `on_open` would have set",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnFrame,
        name: "on_frame",
        params: &["ws", "frame"],
        when: "for every frame as it came, before the protocol looks at it; only with \
            `--allow-raw`",
        result: "`false` hides the frame from the protocol, anything else lets it pass",
    },
    HookInfo {
        hook: Hook::PassiveClosingHandshake,
        name: "passive_closing_handshake",
        params: &["ws", "code", "reason"],
        when: "the client closes, and what it sent before has been handled; `code` is 1005 if it \
            gave none",
        result: "what goes back: `code`, `[code, reason]`, or an empty Close for `()` and for code \
            1005; so a hook that only prints sends an empty one, \
                 and ends with `code` to send the client's. Without this hook the client's code \
                 goes back, without its reason",
    },
    HookInfo {
        hook: Hook::OnClose,
        name: "on_close",
        params: &["ws", "code", "reason", "was_clean"],
        when: "last, once after `on_open`, however the connection ended",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnLoad,
        name: "on_load",
        params: &[],
        when: "when this version of the handler begins to serve, once in the process and without a \
            connection; the first connections wait for it, a second at the most",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnInterval,
        name: "on_interval",
        params: &["name"],
        when: "when a timer of the handler is due: `every(seconds, name)` in `on_load`",
        result: "ignored",
    },
    HookInfo {
        hook: Hook::OnRequest,
        name: "on_request",
        params: &["request"],
        when: "for every HTTP request on the handler's path that is no handshake, whatever its \
            method: a page, a form, a login, a JSON API, a poll that waits. `this` is empty, and \
            ends with the answer",
        result: "the body of the answer: a string as text, a blob as bytes, a map or an array as \
            JSON, `()` for none; anything else is a fault. `request.status`, \
            `request.add_header` and `request.reject` say the rest; a fault is answered with 500",
    },
];

/// Where metrics have the faults of what stands outside of functions, behind all hooks.
pub const LOAD: usize = HOOKS.len();

/// The names by which metrics know hooks, in the order of their numbers.
pub fn metered() -> impl Iterator<Item = &'static str> {
    HOOKS.iter().map(|hook| hook.name).chain(["top_level"])
}

impl Hook {
    /// Its row of the table.
    pub fn info(self) -> &'static HookInfo {
        &HOOKS[self as usize]
    }

    /// Its function's name.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Whether a connection can go on as if it had not been called.
    pub(super) fn is_passed_over(self) -> bool {
        matches!(
            self,
            Self::OnOpen
                | Self::TransferData
                | Self::OnPing
                | Self::OnPong
                | Self::OnTimer
                | Self::OnPublish
                | Self::OnPresence
                | Self::OnGap
                | Self::OnDialed
                | Self::OnDialedClose
                | Self::OnFrame
        )
    }

    /// Whether it is called of a connection that an older version may have served.
    pub(super) fn follows_reloads(self) -> bool {
        !matches!(
            self,
            Self::DoExtraHandshake
                | Self::OnOpen
                | Self::OnLoad
                | Self::OnInterval
                | Self::OnRequest
        )
    }
}

/// Some of the hooks.
#[derive(Debug, Clone, Copy, Default)]
pub struct HookSet(u32);

impl HookSet {
    /// Whether this one is among them.
    #[inline]
    pub fn has(self, hook: Hook) -> bool {
        self.0 & 1 << hook as u32 != 0
    }
}

impl FromIterator<Hook> for HookSet {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        let bits = hooks.into_iter().map(|hook| 1 << hook as u32);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

impl HookInfo {
    /// Returns the hook's definition in a script, as `fn name(parameters)`.
    pub fn definition(&self) -> String {
        format!("fn {}({})", self.name, self.params.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::HOOKS;

    /// `Hook::info` indexes the table by the enum's order.
    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        assert!(
            HOOKS
                .iter()
                .enumerate()
                .all(|(place, info)| info.hook as usize == place)
        );
    }
}
