//! Checks before binding: everything that the configuration names is opened, to find whether a
//! server with it could start.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::{Config, Identity, Interface};
use crate::http;
use crate::server::Certificates;

/// Everything that a server would open, but for its sockets.
pub fn check(config: &Config) -> Result<()> {
    folders(config)?;
    // Those of development are made when they are needed.
    if let Some(tls) = &config.tls
        && matches!(tls.identity, Identity::Files { .. })
    {
        Certificates::new(tls.clone())?;
    }
    let address = match &config.listen.host {
        Interface::Loopback => None,
        Interface::Every => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Interface::Named(name) => name.parse().ok(),
    };
    http::check_bind(&config.admission, address)?;
    if config.dev {
        http::check_dev(&config.admission, address)?;
    }
    for socket in &config.listen.unix {
        let folder = match socket.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        folder_of(
            folder,
            "the folder of the Unix-domain socket",
            "--unix-socket",
        )?;
    }
    Ok(())
}

/// The folders, and the files in them that are read again while the server runs.
pub fn folders(config: &Config) -> Result<()> {
    let root = &config.handlers.root;
    folder_of(root, "the handler folder", "--websock-handlers")?;
    if let Some(folder) = &config.handlers.scan_dir {
        folder_of(folder, "the scan folder", "--scan-dir")?;
        if !folder.canonicalize()?.starts_with(root.canonicalize()?) {
            bail!(
                "the scan folder {} is not below the handler folder {}: give --scan-dir a folder \
                inside it",
                folder.display(),
                root.display()
            );
        }
    }
    if let Some(folder) = &config.document_root {
        folder_of(folder, "the document root", "--document-root")?;
    }
    if let Some(rehearse) = &config.rehearse {
        // One that is recorded to is made.
        let recorded = config.record.as_ref().map(|record| &record.folder);
        if recorded != Some(&rehearse.folder) {
            folder_of(&rehearse.folder, "the folder of recordings", "--replay")?;
        }
    }
    if let Some(file) = &config.handlers.map_file {
        // Opening a named pipe would wait for whoever writes into it.
        let is_file = fs::metadata(file).map(|metadata| metadata.is_file());
        let opened = is_file.and_then(|is_file| is_file.then(|| File::open(file)).transpose());
        opened.with_context(|| {
            format!(
                "the map file {} cannot be read: give --websock-handlers-map-file another",
                file.display()
            )
        })?;
    }
    Ok(())
}

/// A folder that can be looked into.
fn folder_of(folder: &Path, what: &str, flag: &str) -> Result<()> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => bail!(
            "{what} {} is not a folder: give {flag} a folder",
            folder.display()
        ),
        Err(error) => Err(error).with_context(|| {
            format!(
                "{what} {} cannot be used: create it, or give {flag} another",
                folder.display()
            )
        }),
    }
}
