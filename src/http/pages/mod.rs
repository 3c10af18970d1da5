//! Pages of the server's own, for who sits at this machine or develops: what a handler's path is
//! and how to talk to it, and which handlers there are.
//!
//! A console of any other site cannot reach loopback any more, and a page for a file has to be
//! written first.

mod words;

use std::fmt::Write;

use words::Words;

use super::client::Client;
use super::head::Head;
use super::response::{Body, Response};
use super::site::Site;
use crate::config::Authority;
use crate::console::{self, Console};
use crate::handlers::{Entry, Generation};
use crate::observe::one_line;
use crate::script;

/// Nothing else is served below this: files of the document root neither.
const RESERVED: &str = "/_wsh/";

const ASSETS: [(&str, &str, &[u8]); 2] = [
    (
        "page.css",
        "text/css; charset=utf-8",
        include_bytes!("page.css"),
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_bytes!("page.js"),
    ),
];

/// Whether a client may see them: with `--dev`, or from this machine and as directly as can be
/// told. A proxy beside us is of this machine, too, and passes on requests of strangers.
pub fn are_for(site: &Site, head: &Head, client: &Client) -> bool {
    if !matches!(head.method(), "GET" | "HEAD") {
        return false;
    }
    let settings = &site.settings;
    settings.dev
        || is_here(head, client)
            && settings.admission.hosts.is_empty()
            && !settings.proxy.is_declared()
}

/// Whether a client may have the console, which shows and does more: who has shown a password, or
/// sits at this machine; never a page of somewhere else.
pub fn console_is_for(site: &Site, head: &Head, client: &Client) -> bool {
    let has_password = site.settings.admission.credentials.is_some();
    let mut origins = head.values("origin");
    let is_ours = |origin: &str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.zip(head.host())
            .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
    };
    origins.all(is_ours) && (has_password || is_here(head, client))
}

/// Whether a page of somewhere else asks, and be it without an origin, as by an image's address.
pub fn is_foreign(head: &Head) -> bool {
    let mut sites = head.values("sec-fetch-site");
    sites.any(|site| !matches!(site, "same-origin" | "none"))
}

/// Whether a client is of this machine, and as directly as can be told.
fn is_here(head: &Head, client: &Client) -> bool {
    let is_here = client
        .address
        .is_some_and(|address| address.ip().to_canonical().is_loopback());
    let host = head.host().and_then(|host| host.parse::<Authority>().ok());
    let is_named_so = host.is_some_and(|host| host.host.is_loopback());
    let passed_on = [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    ];
    let is_direct = passed_on
        .iter()
        .all(|name| head.values(name).next().is_none());
    is_here && is_named_so && is_direct && head.is_current()
}

/// Returns the response for a path below `/_wsh/`, the list of handlers or an asset of the pages;
/// `Some(None)` if there is none, `None` for other paths.
pub fn asset(head: &Head, path: &str, generation: &Generation) -> Option<Option<Response>> {
    let name = path.strip_prefix(RESERVED)?;
    if name.is_empty() {
        return Some(Some(of_all(head, 200, generation)));
    }
    let found = ASSETS.iter().find(|(known, ..)| *known == name);
    Some(found.map(|(_, kind, bytes)| file(kind, bytes)))
}

/// The response for a path of the console: its page, or a file of it.
pub fn of_console(head: &Head, path: &str, console: &Console) -> Option<Response> {
    if path == console::HOME {
        let editor = console.editor().map(|(address, folder)| {
            let (address, folder) = (escaped(address), escaped(&folder.to_string_lossy()));
            format!("<meta name=\"editor\" content=\"{address}\" data-folder=\"{folder}\">\n")
        });
        let page = console::index(Words::of(head).lang, &editor.unwrap_or_default());
        return Some(html(head, 200, page));
    }
    let (kind, bytes) = console::asset(path)?;
    Some(file(kind, bytes))
}

fn file(kind: &'static str, bytes: &'static [u8]) -> Response {
    Response::new(200)
        .header("Content-Type", kind)
        .header("Cache-Control", "no-cache")
        .header("X-Content-Type-Options", "nosniff")
        .with(Body::of(bytes))
}

/// The page of a handler's path.
pub fn of_handler(head: &Head, path: &str, file: &str, entry: &Entry) -> Response {
    let words = Words::of(head);
    let mut main = String::new();
    let path = escaped(&one_line(path));
    let _ = write!(
        main,
        "<h1><code>{path}</code></h1>\n<p>{}</p>\n<dl>\n",
        match entry.source {
            Some(_) => words.about,
            None => words.about_broken,
        }
    );
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(main, "<dt>{name}</dt><dd>{value}</dd>");
    };
    fact(
        words.file,
        &format!("<code>{}</code>", escaped(&one_line(file))),
    );
    let hooks: Vec<_> = entry.hooks.iter().map(|hook| hook.name()).collect();
    if !hooks.is_empty() {
        let hooks = format!("<code>{}</code>", hooks.join("</code> <code>"));
        fact(words.hooks, &hooks);
    }
    match &entry.source {
        Some(source) => fact(
            words.serves,
            &format!("{} {}", words.version, source.version),
        ),
        None => fact(
            words.serves,
            &format!("<span class=\"bad\">{}</span>", words.nothing_serves),
        ),
    }
    main.push_str("</dl>\n");
    if let Some(fault) = &entry.fault {
        report(&mut main, words.broken, &fault.to_string());
    }
    if let Some(source) = &entry.source
        && let Some(last) = script::last_incident(source)
    {
        report(&mut main, words.fault, &last);
    }
    let Words {
        console,
        message,
        send,
        open,
        log,
        ..
    } = words;
    let _ = write!(
        main,
        "<h2>{console}</h2>\n\
         <form id=\"form\" autocomplete=\"off\">\n\
         <label for=\"message\">{message}<input id=\"message\" name=\"message\" class=\"code\" \
         disabled></label>\n\
         <button id=\"send\" disabled>{send}</button>\n\
         <button id=\"toggle\" type=\"button\">{open}</button>\n\
         </form>\n\
         <p><output id=\"state\" for=\"form\"></output></p>\n\
         <ol id=\"list\" role=\"log\" aria-label=\"{log}\" tabindex=\"0\"></ol>\n\
         <p><a href=\"/_wsh/\">{}</a></p>\n",
        words.handlers
    );
    page(head, 200, words, &path, &main, Some(entry.source.is_some()))
}

/// The page that lists the handlers: in place of what is not there, with its status.
pub fn of_all(head: &Head, status: u16, generation: &Generation) -> Response {
    let words = Words::of(head);
    let mut main = format!("<h1>{}</h1>\n", words.handlers);
    if status == 404 {
        let _ = writeln!(main, "<p>{}</p>", words.nothing_here);
    }
    let routes = generation.routes();
    if routes.is_empty() {
        let _ = writeln!(main, "<p>{}</p>", words.no_handlers);
    } else {
        let Words {
            path, file, hooks, ..
        } = words;
        let _ = writeln!(
            main,
            "<table>\n<tr><th>{path}</th><th>{file}</th><th><span \
            class=\"wide\">{hooks}</span></th></tr>"
        );
        for (path, file) in routes {
            let entry = &generation.entries[file];
            let text = escaped(&one_line(&path));
            // A path with parameters is many, and none of them is known.
            let cell = match path.contains('[') {
                true => format!("<code>{text}</code>"),
                false => format!("<a href=\"{}\"><code>{text}</code></a>", href(&path)),
            };
            let hooks: Vec<_> = entry.hooks.iter().map(|hook| hook.name()).collect();
            let hooks = match &entry.fault {
                Some(_) => format!("<span class=\"bad\">{}</span>", words.broken),
                None => format!("<code class=\"wide\">{}</code>", hooks.join(" ")),
            };
            let file = escaped(&one_line(file));
            let _ = writeln!(
                main,
                "<tr><td>{cell}</td><td><code>{file}</code></td><td>{hooks}</td></tr>"
            );
        }
        main.push_str("</table>\n");
    }
    page(head, status, words, words.handlers, &main, None)
}

fn report(main: &mut String, title: &str, text: &str) {
    let _ = write!(
        main,
        "<h2 class=\"bad\">{title}</h2>\n<pre tabindex=\"0\">{}</pre>\n",
        escaped(text)
    );
}

/// A whole page; `connects`: it has a console, which opens a connection at once or not.
fn page(
    head: &Head,
    status: u16,
    words: &Words,
    title: &str,
    main: &str,
    connects: Option<bool>,
) -> Response {
    let mut body = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} – wsh-server</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/_wsh/page.css\">\n",
        words.lang
    );
    match connects {
        Some(at_once) => {
            let said = escaped(&words.of_script().to_string());
            let at_once = if at_once { " data-connect=\"yes\"" } else { "" };
            let _ = write!(
                body,
                "<script src=\"/_wsh/page.js\" defer></script>\n</head>\n<body \
                data-words=\"{said}\"{at_once}>\n"
            );
        }
        None => body.push_str("</head>\n<body>\n"),
    }
    let _ = write!(body, "<main>\n{main}</main>\n</body>\n</html>\n");
    html(head, status, body)
}

/// A page with its policy.
fn html(head: &Head, status: u16, body: String) -> Response {
    // Older browsers do not take `self` for the same place over ws.
    let host = head.host().and_then(|host| host.parse::<Authority>().ok());
    let own = host.map_or(String::new(), |host| format!(" ws://{host} wss://{host}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{own}; img-src \
        data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Response::new(status)
        .header("Content-Type", "text/html; charset=utf-8")
        .header("Cache-Control", "no-store")
        .header("Vary", "Accept, Accept-Language")
        .header("Content-Security-Policy", policy)
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "no-referrer")
        .with(Body::of(body.into_bytes()))
}

/// A path as an address.
fn href(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SET: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    utf8_percent_encode(path, SET).to_string()
}

/// Text as HTML has it, in elements and in quoted attributes.
fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                c => out.push(c),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escaped("<b a=\"1\" c='2'>&amp;"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;"
        );
        assert_eq!(href("/a b/\u{7a7a}?\"<"), "/a%20b/%E7%A9%BA%3F%22%3C");
    }
}
