//! The console of a developer's seat: what happens in the server, told over a WebSocket to a page
//! of the server's own, and what the page may have done.
//!
//! | file | is about |
//! |---|---|
//! | `session` | one console, as a session of the protocol |
//! | `window` | what it has chosen to see, and is told a few times a second |
//! | `operations`, `question` | what can be asked and done, by name, with JSON in and out |
//! | `api`, `catalogue` | the same over HTTP, and as a table |
//! | `journal` | what clients have sent, for tests of clients |
//! | `lists` | what is told and can be asked for |
//! | `again` | what caused a fault, done again |
//! | `clients` | clients side by side, which run in the server |
//! | `stores` | what stores and queues there are, and what is in them |
//! | `workers` | what only a connection's own worker knows |
//! | `page` | the files of the page |
//! | `preview`, `served` | a page that is being developed, and the files that it may be made of |
//!
//! A console is a session as any other, and held to the same bounds. It costs nothing while it is
//! closed: connections look at one flag, see [`live`](crate::observe::live).

mod again;
mod api;
mod catalogue;
mod clients;
mod journal;
mod lists;
mod operations;
mod page;
mod preview;
mod question;
mod served;
mod session;
mod stores;
mod window;
mod workers;

pub use api::{ApiRequest, answer};
pub use clients::Door;
pub use page::{API, HOME, LIVE, PREVIEW, asset, index};
pub use preview::Preview;
pub use served::SERVED;
pub use session::Session;
pub use window::Desk;
pub use workers::Console;
