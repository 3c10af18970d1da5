//! Ordinary files of the document root, by tower-http: ranges, conditional requests, content types.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use mime_guess::Mime;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_http::services::ServeFile;

use super::head::Head;
use super::respond::Refusal;
use crate::config::limits::FILE_TIME;

/// A file of the document root that is open, and so stays what it was checked to be.
#[derive(Debug)]
pub struct Document {
    file: File,
    kind: Mime,
}

/// Finds the file of a decoded path: nothing hidden, no handler source, nothing that a link leads out of the root.
pub fn find(head: &Head, path: &str, root: &Path) -> Result<Document, Refusal> {
    if !matches!(head.method(), "GET" | "HEAD") {
        return Err(Refusal::new(405, "files are read here").header("Allow", "GET, HEAD"));
    }
    let missing = || Refusal::new(404, "nothing has this path");
    if path.split('/').any(is_hidden) {
        return Err(missing());
    }
    let mut wanted = root.join(path.trim_start_matches('/'));
    if wanted.is_dir() {
        if !wanted
            .canonicalize()
            .is_ok_and(|folder| folder.starts_with(root))
        {
            return Err(missing());
        }
        if !path.ends_with('/') {
            return Err(Refusal::new(308, "this is a folder")
                .header("Location", format!("{}/", head.path())));
        }
        wanted.push("index.html");
    }
    let (file, resolved) = open(&wanted).map_err(|_| missing())?;
    let below = resolved.strip_prefix(root).map_err(|_| missing())?;
    if below.iter().any(|part| part.to_str().is_none_or(is_hidden)) {
        return Err(missing());
    }
    Ok(Document {
        file,
        kind: kind(&resolved),
    })
}

/// The content type by the file's name; text here is UTF-8.
fn kind(path: &Path) -> Mime {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let with_charset = format!("{kind}; charset=utf-8").parse();
    if kind.type_() == "text" {
        with_charset.unwrap_or(kind)
    } else {
        kind
    }
}

fn is_hidden(part: &str) -> bool {
    part.starts_with('.') || part.to_ascii_lowercase().contains(".rhai")
}

/// Opens a regular file, and says where it really is: asked of the descriptor, so that no link can be changed between
/// the question and the answer.
fn open(path: &Path) -> io::Result<(File, PathBuf)> {
    // Without waiting for a pipe's other end.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let resolved = std::fs::read_link(descriptor(&file))?;
    Ok((file, resolved))
}

/// The name of an open file that leads to it and nothing else.
fn descriptor(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Answers one request with a file, and ends the connection.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    head: Head,
    document: Document,
) {
    let Document { file, kind } = document;
    let stream = TokioIo::new(Replayed {
        read: head.into_bytes(),
        at: 0,
        stream,
    });
    let service = TowerToHyperService::new(ServeFile::new_with_mime(descriptor(&file), &kind));
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
