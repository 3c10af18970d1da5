//! The composition root: everything is bound and wired here, then run, then drained.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::handlers::{Generation, Reconciler, Report};
use crate::http;
use crate::script;
use crate::server::{Listeners, Order, Worker, bind};

/// A server that is bound and has its handlers, and does not answer yet.
#[derive(Debug)]
pub struct App {
    listeners: Listeners,
    reconciler: Reconciler,
    generation: Arc<Generation>,
    config: Config,
}

impl App {
    /// Checks, reads and binds everything that can fail.
    pub fn new(config: Config) -> Result<Self> {
        check_folder(
            &config.handlers.root,
            "the handler folder",
            "--websock-handlers",
        )?;
        if let Some(folder) = &config.handlers.scan_dir {
            check_folder(folder, "the scan folder", "--scan-dir")?;
            let below = folder
                .canonicalize()?
                .starts_with(config.handlers.root.canonicalize()?);
            if !below {
                bail!(
                    "the scan folder {} is not below the handler folder {}: give --scan-dir a folder inside it",
                    folder.display(),
                    config.handlers.root.display()
                );
            }
        }
        if let Some(folder) = &config.document_root {
            check_folder(folder, "the document root", "--document-root")?;
        }
        if let Some(file) = &config.handlers.map_file {
            std::fs::metadata(file).with_context(|| {
                format!(
                    "the map file {} cannot be read: give --websock-handlers-map-file another",
                    file.display()
                )
            })?;
        }
        let mut reconciler = Reconciler::new(config.handlers.clone(), config.script.clone());
        let (generation, report) = reconciler.first().with_context(|| {
            format!(
                "the handler folder {} cannot be read",
                config.handlers.root.display()
            )
        })?;
        let host = config.listen.host.as_deref().unwrap_or("loopback");
        let listeners = bind(&config.listen).with_context(|| {
            format!(
                "cannot listen on {host}, port {}: give --port another, or 0 for a free one",
                config.listen.port
            )
        })?;
        let addresses = listeners.addresses();
        http::check_bind(
            &config.admission,
            addresses.iter().map(|address| address.ip()),
        )?;
        announce(&report, true);
        Ok(Self {
            listeners,
            reconciler,
            generation: Arc::new(generation),
            config,
        })
    }

    /// Serves until `stop` is ready once, then drains: every connection is closed with 1001, within the bound. A second
    /// time cuts that short, and its code is returned.
    pub async fn run(self, mut stop: impl AsyncFnMut() -> ExitCode) -> Result<ExitCode> {
        let Self {
            listeners,
            reconciler,
            generation,
            config,
        } = self;
        let document_root = config
            .document_root
            .as_ref()
            .map(|root| root.canonicalize())
            .transpose()?;
        let site = http::Settings {
            document_root,
            limits: config.limits,
            admission: config.admission.clone(),
            proxy: config.proxy.clone(),
            deflate: config.deflate,
        };
        let workers = (0..config.workers)
            .map(|number| {
                Worker::start(
                    Arc::clone(&generation),
                    &site,
                    &config.script,
                    (number, config.workers),
                )
            })
            .collect::<std::io::Result<Vec<_>>>()
            .context("a worker thread cannot be started")?;
        let told = workers.clone();
        std::thread::Builder::new()
            .name("handlers".into())
            .stack_size(script::STACK)
            .spawn(move || {
                reconciler.run(|generation, report| {
                    let generation = Arc::new(generation);
                    for worker in &told {
                        worker.tell(Order::Generation(Arc::clone(&generation)));
                    }
                    announce(&report, false);
                    true
                });
            })?;
        say_ready(&listeners, &generation, &config);
        tokio::select! {
            result = listeners.accept(&workers) => result.context("accepting connections failed")?,
            _ = stop() => {}
        }
        tokio::select! {
            () = drain(&workers, config.drain) => Ok(ExitCode::SUCCESS),
            code = stop() => Ok(code),
        }
    }
}

fn check_folder(folder: &std::path::Path, what: &str, flag: &str) -> Result<()> {
    match std::fs::metadata(folder) {
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

/// The ready line and what is served. A closed standard output is nobody's loss.
fn say_ready(listeners: &Listeners, generation: &Generation, config: &Config) {
    let urls: Vec<_> = listeners
        .addresses()
        .iter()
        .map(|address| format!("ws://{address}"))
        .collect();
    let count = generation.entries.len();
    let handlers = if count == 1 {
        "1 handler".to_owned()
    } else {
        format!("{count} handlers")
    };
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "ready: {} ({handlers} in {})",
        urls.join(" "),
        config.handlers.root.display()
    );
    let _ = write!(out, "{}", generation.table());
    let _ = out.flush();
}

/// Logs what a look at the folder found. At the start the table says what is served.
fn announce(report: &Report, first: bool) {
    for file in report.added.iter().filter(|_| !first) {
        tracing::info!(file, "handler added");
    }
    for (file, modules) in &report.reloaded {
        let modules = (!modules.is_empty()).then(|| modules.join(", "));
        tracing::info!(file, modules, "handler reloaded");
    }
    for file in &report.removed {
        tracing::info!(file, "handler removed; its open connections go on");
    }
    for (fault, files) in &report.broken {
        let (file, report) = (files.join(", "), format_args!("\n{fault}\n"));
        tracing::error!(file, %report, "handler broken");
    }
    for problem in &report.problems {
        let file = &problem.file;
        if problem.location.is_some() {
            let report = format_args!("\n{problem}\n");
            tracing::warn!(file, %report, "probably a mistake");
        } else {
            tracing::warn!(file, "{}", problem.message);
        }
    }
}

async fn drain(workers: &[Worker], time: Duration) {
    let open = || workers.iter().map(Worker::connections).sum::<usize>();
    tracing::info!(
        connections = open(),
        "draining: closing every connection with 1001"
    );
    for worker in workers {
        worker.tell(Order::Drain);
    }
    let all_closed = async {
        while open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(time, all_closed).await.is_err() {
        tracing::warn!(
            connections = open(),
            "the time for draining is up; the rest are dropped"
        );
    }
}
