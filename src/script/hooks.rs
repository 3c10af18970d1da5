//! The closed table of hooks: what a handler may define, and with which arguments.

use super::Limits;
use super::meter::Budget;

/// A hook, in the order of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before the 101.
    DoExtraHandshake,
    /// Once after it.
    OnOpen,
    /// Every message.
    TransferData,
    /// The peer's Close.
    PassiveClosingHandshake,
    /// The end.
    OnClose,
}

/// What the table says of one hook.
#[derive(Debug)]
pub struct HookInfo {
    /// Which hook it is.
    pub hook: Hook,
    /// The function's name in a script.
    pub name: &'static str,
    /// Its parameters, as the documentation names them.
    pub params: &'static [&'static str],
}

/// Every hook.
pub const HOOKS: [HookInfo; 5] = [
    HookInfo {
        hook: Hook::DoExtraHandshake,
        name: "do_extra_handshake",
        params: &["request"],
    },
    HookInfo {
        hook: Hook::OnOpen,
        name: "on_open",
        params: &["ws"],
    },
    HookInfo {
        hook: Hook::TransferData,
        name: "transfer_data",
        params: &["ws", "message"],
    },
    HookInfo {
        hook: Hook::PassiveClosingHandshake,
        name: "passive_closing_handshake",
        params: &["ws", "code", "reason"],
    },
    HookInfo {
        hook: Hook::OnClose,
        name: "on_close",
        params: &["ws", "code", "reason", "was_clean"],
    },
];

impl Hook {
    /// Its row of the table.
    pub fn info(self) -> &'static HookInfo {
        &HOOKS[self as usize]
    }

    /// Its function's name.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// What it may use up between two waits.
    pub(super) fn budget(self, limits: &Limits) -> Budget {
        let time = if self == Self::OnClose {
            limits.close_budget
        } else {
            limits.budget
        };
        Budget {
            time,
            operations: limits.operations,
        }
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
