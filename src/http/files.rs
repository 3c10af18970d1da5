//! Ordinary files of the document root, by tower-http: ranges, conditional requests, content types.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_http::services::ServeDir;

use super::head::Head;
use super::respond::Refusal;
use crate::config::limits::FILE_TIME;

/// Whether a path may be looked for in the document root: no hidden files, no handler sources, nothing that a link
/// leads out of it.
pub fn check(head: &Head, path: &str, root: &Path) -> Result<(), Refusal> {
    if !matches!(head.method(), "GET" | "HEAD") {
        return Err(Refusal::new(405, "files are read here").header("Allow", "GET, HEAD"));
    }
    let missing = || Refusal::new(404, "nothing has this path");
    let hidden = |part: &str| part.starts_with('.') || part.to_ascii_lowercase().contains(".rhai");
    if path.split('/').any(hidden) {
        return Err(missing());
    }
    let file = root.join(path.trim_start_matches('/'));
    match file.canonicalize() {
        Ok(resolved) if resolved.starts_with(root) => Ok(()),
        _ => Err(missing()),
    }
}

/// Answers one request with a file, and ends the connection.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    head: Head,
    root: std::path::PathBuf,
) {
    let stream = TokioIo::new(Replayed {
        read: head.into_bytes(),
        at: 0,
        stream,
    });
    let service = TowerToHyperService::new(ServeDir::new(root));
    let answering = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(stream, service);
    // The peer's leaving early is its own affair.
    let _ = tokio::time::timeout(FILE_TIME, answering).await;
}

/// A stream whose first bytes have been read already, and are given again.
struct Replayed<S> {
    read: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let left = &self.read[self.at..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
