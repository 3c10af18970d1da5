//! Where the server is, how it is reached and what it is offered: part of most scenarios' command
//! lines.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Error, Result};
use clap::Args;
use rustls::ClientConfig;

use crate::{deflate, stream, wire};

/// A `ws://ADDRESS:PORT/PATH` URL. The address is numeric, because no benchmark wants a resolver in
/// its way.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    path: String,
    pub tls: Option<Arc<ClientConfig>>,
    pub offers_deflate: bool,
}

/// A target with everything that may be asked of it.
#[derive(Args)]
pub struct Reach {
    /// The echo path, with a numeric address
    #[arg(long)]
    url: Target,
    /// Speak TLS, and trust this certificate (PEM)
    #[arg(long)]
    tls: Option<PathBuf>,
    /// Offer permessage-deflate as browsers do, and compress
    #[arg(long)]
    deflate: bool,
}

impl Reach {
    pub fn target(&self) -> Result<Target> {
        let certificate = self.tls.as_deref();
        Ok(Target {
            tls: certificate.map(stream::trusting).transpose()?,
            offers_deflate: self.deflate,
            ..self.url.clone()
        })
    }
}

impl Target {
    pub fn with_path(&self, path: &str) -> Target {
        Target {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    pub fn without_deflate(&self) -> Target {
        Target {
            offers_deflate: false,
            ..self.clone()
        }
    }

    pub fn request(&self) -> Vec<u8> {
        let Target { address, path, .. } = self;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let extensions = if self.offers_deflate {
            format!("Sec-WebSocket-Extensions: {}\r\n", deflate::OFFER)
        } else {
            String::new()
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: \
            Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\nOrigin: \
             {scheme}://{address}\r\n{extensions}\r\n",
            wire::KEY
        )
        .into_bytes()
    }
}

impl Display for Target {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "ws://{}{}", self.address, self.path)
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(url: &str) -> Result<Target> {
        let rest = url
            .strip_prefix("ws://")
            .with_context(|| format!("{url}: only ws:// URLs"))?;
        let slash = rest.find('/').unwrap_or(rest.len());
        let (address, path) = rest.split_at(slash);
        let address = address
            .parse()
            .with_context(|| format!("{url}: needs a numeric address and a port"))?;
        Ok(Target {
            address,
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
            tls: None,
            offers_deflate: false,
        })
    }
}
