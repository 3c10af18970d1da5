//! Tests of handlers: a file of tests to what came of each.
//!
//! | file | is about |
//! |---|---|
//! | `world` | what a test has to itself: hub, store, clock, chance, and handlers that serve |
//! | `client` | a virtual client: a stream in memory, with the handshake and frames of a real one |
//! | `fetch` | an ordinary request, and its answer |
//! | `package` | what tests may call |
//! | `elsewhere`, `mocks` | what tests may say of other servers, and what they have said |
//! | `compare` | whether two values are the same, and where they are not |
//! | `conversation` | recorded connections, played to a world's handlers |
//! | `library` | the recordings of a folder, and which of them belong together |
//! | `rehearsal` | what new versions of handlers are played before they serve |
//!
//! A test's clock stands still while anybody has something to do, and jumps to the next time that
//! somebody waits for when nobody has. So an hour takes as long as what happens in it, and what is
//! in time does not depend on how fast the machine is. It is tokio's paused clock: `now()`,
//! `monotonic()`, timers and time-outs all ask it. What a script may compute is measured by the
//! real one.

mod client;
mod compare;
mod conversation;
mod elsewhere;
mod fetch;
mod library;
mod mocks;
mod package;
mod rehearsal;
#[cfg(test)]
mod tests;
mod world;

pub use elsewhere::mocking;
pub use package::Testing;
pub use rehearsal::Rehearsal;
pub use world::{BEGIN, Outcome, Plan, run};
