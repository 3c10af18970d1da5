//! The exit code of `connect`: how the conversation has ended, for scripts.

use std::process::ExitCode;

use crate::client::NotOpened;

/// How a conversation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As we wanted it to.
    Done,
    /// By the user, twice.
    Interrupted,
    /// By the server, with this code; 1006 is without a Close.
    Closed(u16),
    /// The server has refused the handshake, with this status.
    Refused(u16),
    /// There was nobody to talk to.
    Unreached,
}

impl Verdict {
    /// What is to be thought of a connection that was not opened.
    pub fn of(error: &NotOpened) -> Self {
        match error {
            NotOpened::Refused(answer, _) => Self::Refused(answer.status),
            _ => Self::Unreached,
        }
    }

    /// The table is in docs/connect.md.
    fn number(self) -> u8 {
        match self {
            Self::Done | Self::Closed(1000 | 1001 | 1005) => 0,
            Self::Refused(_) => 1,
            Self::Unreached => 2,
            Self::Closed(1006) => 3,
            Self::Closed(code @ 1002..=1015) => (code - 990) as u8,
            Self::Closed(3000..=3999) => 30,
            Self::Closed(code @ 4000..=4039) => (code - 3940) as u8,
            Self::Closed(_) => 40,
            // As shells have it for SIGINT.
            Self::Interrupted => 130,
        }
    }

    /// The exit code.
    pub fn code(self) -> ExitCode {
        self.number().into()
    }

    /// Whether the next try may go better: the network, or a server that goes down or is full.
    pub fn is_worth_another(self) -> bool {
        match self {
            Self::Done | Self::Interrupted => false,
            Self::Unreached => true,
            Self::Refused(status) => status >= 500 || matches!(status, 408 | 429),
            Self::Closed(code) => !matches!(code, 1000 | 1002 | 1003 | 1007 | 1008 | 1009),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (verdict, number) in [
            (Verdict::Done, 0),
            (Verdict::Closed(1000), 0),
            (Verdict::Closed(1001), 0),
            (Verdict::Refused(403), 1),
            (Verdict::Unreached, 2),
            (Verdict::Closed(1006), 3),
            (Verdict::Closed(1002), 12),
            (Verdict::Closed(1008), 18),
            (Verdict::Closed(1011), 21),
            (Verdict::Closed(1013), 23),
            (Verdict::Closed(3000), 30),
            (Verdict::Closed(4000), 60),
            (Verdict::Closed(4039), 99),
            (Verdict::Closed(4040), 40),
            (Verdict::Closed(4999), 40),
        ] {
            assert_eq!(verdict.number(), number, "{verdict:?}");
        }
    }
}
