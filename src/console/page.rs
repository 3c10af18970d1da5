//! The files of the console's page: modules as browsers load them, with nothing to be built.

/// Where the page is.
pub const HOME: &str = "/_wsh/";
/// Where its WebSocket is.
pub const LIVE: &str = "/_wsh/live";

/// Below it, the operations over HTTP.
pub const API: &str = "/_wsh/api/";
/// The WebSocket of a page that is being developed.
pub const PREVIEW: &str = "/_wsh/preview";

/// A file: its name, its type, and its bytes.
type File = (&'static str, &'static str, &'static [u8]);

macro_rules! files {
    ($($name:literal $kind:literal),* $(,)?) => {
        [$(($name, $kind, include_bytes!(concat!("page/", $name)).as_slice())),*]
    };
}

const FILES: &[File] = &files![
    "console.css" "text/css; charset=utf-8",
    "clients.js" "text/javascript; charset=utf-8",
    "connections.js" "text/javascript; charset=utf-8",
    "console.js" "text/javascript; charset=utf-8",
    "dev.js" "text/javascript; charset=utf-8",
    "dom.js" "text/javascript; charset=utf-8",
    "editor.js" "text/javascript; charset=utf-8",
    "faults.js" "text/javascript; charset=utf-8",
    "form.js" "text/javascript; charset=utf-8",
    "handlers.js" "text/javascript; charset=utf-8",
    "har.js" "text/javascript; charset=utf-8",
    "numbers.js" "text/javascript; charset=utf-8",
    "plot.js" "text/javascript; charset=utf-8",
    "store.js" "text/javascript; charset=utf-8",
    "topics.js" "text/javascript; charset=utf-8",
    "lane.js" "text/javascript; charset=utf-8",
    "live.js" "text/javascript; charset=utf-8",
    "log.js" "text/javascript; charset=utf-8",
    "messages.js" "text/javascript; charset=utf-8",
    "one.js" "text/javascript; charset=utf-8",
    "saved.js" "text/javascript; charset=utf-8",
    "words.js" "text/javascript; charset=utf-8",
];

/// A file of the page, by its path: its type and its bytes.
pub fn asset(path: &str) -> Option<(&'static str, &'static [u8])> {
    let name = path.strip_prefix(HOME)?.strip_prefix("console/")?;
    let file = FILES.iter().find(|(known, ..)| *known == name);
    file.map(|(_, kind, bytes)| (*kind, *bytes))
}

/// The page, in a language, with more elements in its head.
pub fn index(language: &str, head: &str) -> String {
    include_str!("page/index.html")
        .replacen("{language}", language, 1)
        .replacen("{head}", head, 1)
}
