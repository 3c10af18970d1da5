//! The console of a developer's seat: what happens in the server, told over a WebSocket to a page
//! of the server's own, and what the page may have done.
//!
//! | file | is about |
//! |---|---|
//! | `session` | one console, as a session of the protocol |
//! | `window` | what it has chosen to see, and is told a few times a second |
//! | `operations`, `question` | what can be asked and done, by name, with JSON in and out |
//! | `lists` | what is told and can be asked for |
//! | `again` | what caused a fault, done again |
//! | `workers` | what only a connection's own worker knows |
//! | `page` | the files of the page |
//!
//! A console is a session as any other, and held to the same bounds. It costs nothing while it is
//! closed: connections look at one flag, see [`live`](crate::observe::live).

mod again;
mod lists;
mod operations;
mod page;
mod question;
mod session;
mod window;
mod workers;

pub use page::{HOME, LIVE, asset, index};
pub use session::Session;
pub use window::Desk;
pub use workers::Console;
