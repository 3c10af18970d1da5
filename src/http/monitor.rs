//! The port for whoever watches the server: metrics, and the probes. One request a connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::finish::finish;
use super::head::Head;
use super::health::{Health, Probe};
use super::respond::Refusal;
use super::response::{self, Body, Persistence, Response};
use super::serve::read_head;
use crate::config::limits;
use crate::observe::metrics::{self, Format};

/// How long one request may take, from its connection to its answer's end.
const TIME: Duration = Duration::from_secs(10);

/// Answers the request of a connection; `scrape` makes the text of all metrics.
pub async fn monitor<S>(mut stream: S, health: &Health, scrape: impl AsyncFnOnce(Format) -> String)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answering = async {
        let head = match read_head(&mut stream, Vec::with_capacity(1024), &limits::HEAD).await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(refusal) => return refusal.send(stream, limits::HEAD.linger, false).await,
        };
        let without_body = head.method() == "HEAD";
        match answer(&head, health, scrape).await {
            Ok(response) => send(stream, response, without_body).await,
            Err(refusal) => {
                refusal
                    .send(stream, limits::HEAD.linger, without_body)
                    .await
            }
        }
    };
    // Whoever is slow asks again.
    let _ = tokio::time::timeout(TIME, answering).await;
}

async fn answer(
    head: &Head,
    health: &Health,
    scrape: impl AsyncFnOnce(Format) -> String,
) -> Result<Response, Refusal> {
    if let Some(probe) = Probe::of(head) {
        return Ok(health.answer(probe));
    }
    let is_known = ["/metrics", "/livez", "/readyz"].contains(&head.path());
    match head.method() {
        "GET" | "HEAD" if head.path() == "/metrics" => {
            let format = metrics::negotiate(head.values("accept"));
            let text = scrape(format).await;
            Ok(Response::new(200)
                .header("Content-Type", format.content_type())
                .header("Vary", "Accept")
                .header("Cache-Control", "no-store")
                .with(Body::of(text.into_bytes())))
        }
        _ if is_known => {
            Err(Refusal::new(405, "only GET is answered here").header("Allow", "GET, HEAD"))
        }
        _ => Err(Refusal::new(404, "there are /metrics, /livez and /readyz")),
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    response: Response,
    without_body: bool,
) {
    let mut bytes = response::head(response.status, "", Persistence::Close, &response.headers);
    bytes.push_str(&format!("Content-Length: {}\r\n\r\n", response.body.len()));
    let mut bytes = bytes.into_bytes();
    if !without_body {
        bytes.extend(response.body.into_bytes());
    }
    finish(stream, &bytes, TIME).await;
}
