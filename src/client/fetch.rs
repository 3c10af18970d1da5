//! An HTTP request and its answer, for scripts: HTTP/1.1, which follows redirects to where scripts
//! may connect.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::Url;

use super::address::Address;
use super::connection::Stream;
use super::dial::{NotOpened, Timing, reach_encrypted};
use super::egress::{Barred, Egress};
use super::pool::{Kept, Key};

/// Bytes of an answer's head.
const HEAD: usize = 64 * 1024;
/// Headers of it.
const HEADERS: usize = 100;
/// Redirects that are followed: as many as a site that moved has, and no circle.
const REDIRECTS: usize = 5;
/// Headers that are for the first host alone.
const SECRETS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A request.
#[derive(Debug, Clone)]
pub struct Query {
    /// GET or POST.
    pub method: Method,
    /// Where to: `http://…` or `https://…`.
    pub url: Url,
    /// Header fields beside those that are made.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub struct Fetched {
    /// The status, whatever it is.
    pub status: u16,
    /// Its header fields in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotFetched {
    /// The host may not be asked.
    #[error(transparent)]
    Barred(#[from] Barred),
    /// The URL is none that can be asked.
    #[error("{0:?} is no http:// or https:// URL")]
    Url(String),
    /// Nobody was reached.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// The answer is none.
    #[error("{0} has given no answer: {1}")]
    Broken(String, String),
    /// Its body is too long.
    #[error("the answer of {0} is longer than {1} bytes (--max-response-body)")]
    Large(String, usize),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// Asks for a handler, and gives the answer within this time.
pub async fn fetch(
    egress: &Egress,
    handler: &str,
    query: Query,
    time: Duration,
) -> Result<Fetched, NotFetched> {
    let following = Box::pin(follow(egress, handler, query));
    match timeout(time, following).await {
        Ok(fetched) => fetched,
        Err(_) => Err(NotFetched::Late(time)),
    }
}

async fn follow(egress: &Egress, handler: &str, mut query: Query) -> Result<Fetched, NotFetched> {
    for _ in 0..REDIRECTS {
        let fetched = ask(egress, handler, &query).await?;
        match redirected(&fetched, &query) {
            Some(next) => query = next?,
            None => return Ok(fetched),
        }
    }
    ask(egress, handler, &query).await
}

/// The request that an answer leads to, as the Fetch standard has it: what is posted is posted
/// again where the status says so, and else asked for.
fn redirected(fetched: &Fetched, query: &Query) -> Option<Result<Query, NotFetched>> {
    let posts_again = match fetched.status {
        301..=303 => false,
        307 | 308 => true,
        _ => return None,
    };
    let mut headers = fetched.headers.iter();
    let (_, location) = headers.find(|(name, _)| name == "location")?;
    let Ok(mut url) = query.url.join(location) else {
        return Some(Err(NotFetched::Url(location.clone())));
    };
    url.set_fragment(None);
    // What was to be read by nobody between is not sent in the open.
    if query.url.scheme() == "https" && url.scheme() != "https" {
        let why = format!("it leads to {url}, which is not encrypted");
        return Some(Err(NotFetched::Broken(query.url.to_string(), why)));
    }
    let mut next = Query {
        url,
        ..query.clone()
    };
    if !posts_again {
        next.method = Method::GET;
        next.body = Bytes::new();
        next.headers
            .retain(|(name, _)| name != http::header::CONTENT_TYPE);
    }
    if next.url.origin() != query.url.origin() {
        let is_secret = |name: &HeaderName| SECRETS.contains(&name.as_str()) || name == "host";
        next.headers.retain(|(name, _)| !is_secret(name));
    }
    Some(Ok(next))
}

/// One request, one answer.
async fn ask(egress: &Egress, handler: &str, query: &Query) -> Result<Fetched, NotFetched> {
    let url = query.url.as_str();
    if !matches!(query.url.scheme(), "http" | "https") {
        return Err(NotFetched::Url(url.to_owned()));
    }
    let address = Address::parse(url).map_err(|_| NotFetched::Url(url.to_owned()))?;
    egress.check(&address)?;
    let key = Key::new(handler, &address);
    // One after another: each that was ended meanwhile is gone then.
    while let Some(kept) = egress
        .pool
        .take(&key, |place| egress.admits(&address.host, place))
    {
        match exchange(kept, egress, &key, &address, query).await {
            Err(Failed::Unanswered(_)) => {}
            Err(Failed::For(error)) => return Err(error),
            Ok(fetched) => return Ok(fetched),
        }
    }
    let admits = |host: &str, place| egress.admits(host, place);
    let mut timing = Timing::default();
    let stream = reach_encrypted(&address, egress.way(&admits), &mut timing).await?;
    let kept = open(stream, &address).await?;
    match exchange(kept, egress, &key, &address, query).await {
        Ok(fetched) => Ok(fetched),
        Err(Failed::Unanswered(error) | Failed::For(error)) => Err(error),
    }
}

/// Why a connection has given no answer.
enum Failed {
    /// It has ended before, so that nothing was lost: another may be asked.
    Unanswered(NotFetched),
    /// For good.
    For(NotFetched),
}

/// A connection that asks over a stream.
async fn open(stream: Stream, address: &Address) -> Result<Kept, NotFetched> {
    let place = stream.place();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| NotFetched::Broken(address.authority(), told(&error)))?;
    // It ends with what asks over it, and says by the answer how it has ended.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(Kept { sender, place })
}

async fn exchange(
    mut kept: Kept,
    egress: &Egress,
    key: &Key,
    address: &Address,
    query: &Query,
) -> Result<Fetched, Failed> {
    let broken = |why: String| NotFetched::Broken(address.authority(), why);
    let request =
        request(address, query).map_err(|error| Failed::For(broken(error.to_string())))?;
    let ready = kept.sender.ready().await;
    ready.map_err(|error| Failed::Unanswered(broken(told(&error))))?;
    let answer = kept.sender.try_send_request(request).await;
    let answer = answer.map_err(|mut error| {
        let is_unsent = error.take_message().is_some();
        let error = broken(told(error.error()));
        // What has left may have been done, and may be asked for again where that makes no
        // difference: RFC 9110 section 9.2.2.
        match is_unsent || query.method.is_idempotent() {
            true => Failed::Unanswered(error),
            false => Failed::For(error),
        }
    })?;
    let fetched = read(answer, address, egress.limits.body).await;
    let fetched = fetched.map_err(Failed::For)?;
    egress.pool.put(key.clone(), kept);
    Ok(fetched)
}

fn request(address: &Address, query: &Query) -> http::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(&query.method)
        .uri(&address.target);
    let has = |name: &str| query.headers.iter().any(|(known, _)| known == name);
    let own = [
        ("host", address.authority()),
        (
            "user-agent",
            concat!("wsh-server/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("accept", "*/*".to_owned()),
    ];
    for (name, value) in own {
        if !has(name) {
            request = request.header(name, value);
        }
    }
    if let Some(user) = &address.user
        && !has("authorization")
    {
        let user = data_encoding::BASE64.encode(user.as_bytes());
        request = request.header("authorization", format!("Basic {user}"));
    }
    for (name, value) in &query.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(query.body.clone()))
}

async fn read(
    answer: http::Response<Incoming>,
    address: &Address,
    most: usize,
) -> Result<Fetched, NotFetched> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => NotFetched::Large(address.authority(), most),
        Err(error) => NotFetched::Broken(address.authority(), told(&*error)),
    })?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter();
    Ok(Fetched {
        status: StatusCode::as_u16(&head.status),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: body.to_bytes().into(),
    })
}

/// An error with what caused it.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(method: Method, url: &str) -> Query {
        let header = |name: &'static str| (HeaderName::from_static(name), "x".parse().expect("x"));
        Query {
            method,
            url: url.parse().expect("a URL"),
            headers: vec![
                header("authorization"),
                header("content-type"),
                header("x-own"),
            ],
            body: "body".into(),
        }
    }

    fn answer(status: u16, location: &str) -> Fetched {
        Fetched {
            status,
            headers: vec![("location".to_owned(), location.to_owned())],
            body: Vec::new(),
        }
    }

    fn names(query: &Query) -> Vec<&str> {
        let names = query.headers.iter();
        names.map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_redirect_is_followed_as_its_status_says() {
        let asked = query(Method::POST, "http://a.example/x/y");
        let next = redirected(&answer(303, "../z#there"), &asked)
            .expect("one")
            .expect("fine");
        assert_eq!(
            (next.method.as_str(), next.url.as_str()),
            ("GET", "http://a.example/z")
        );
        assert_eq!(
            (names(&next), next.body.len()),
            (vec!["authorization", "x-own"], 0)
        );

        let next = redirected(&answer(308, "http://b.example/"), &asked)
            .expect("one")
            .expect("fine");
        assert_eq!((next.method.as_str(), next.body.len()), ("POST", 4));
        assert_eq!(
            names(&next),
            ["content-type", "x-own"],
            "secrets stay with their host"
        );

        assert!(redirected(&answer(200, "/"), &asked).is_none());
        assert!(redirected(&answer(304, "/"), &asked).is_none());
        let secure = query(Method::GET, "https://a.example/");
        assert!(
            redirected(&answer(302, "http://a.example/"), &secure)
                .expect("one")
                .is_err()
        );
    }
}
