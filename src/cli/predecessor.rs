//! Flags of pywebsocket's `standalone.py` that have nothing to set here: taken, so that old command
//! lines go on working, with a line that says what is used instead.

use clap::Args;

/// All of them. Each is hidden from the help.
#[derive(Debug, Args)]
pub struct Predecessor {
    #[arg(long, alias = "validation_host", hide = true, value_name = "HOST")]
    validation_host: Option<String>,
    #[arg(
        short = 'P',
        long,
        alias = "validation_port",
        hide = true,
        value_name = "PORT"
    )]
    validation_port: Option<String>,
    #[arg(
        short = 'x',
        long,
        alias = "cgi_paths",
        hide = true,
        value_name = "PATHS"
    )]
    cgi_paths: Option<String>,
    #[arg(long, alias = "deflate_log_level", hide = true, value_name = "LEVEL")]
    deflate_log_level: Option<String>,
    #[arg(
        long,
        alias = "thread_monitor_interval_in_sec",
        hide = true,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    thread_monitor_interval_in_sec: Option<String>,
    #[arg(long, alias = "log_max", hide = true, value_name = "BYTES")]
    log_max: Option<String>,
    #[arg(long, alias = "log_count", hide = true, value_name = "N")]
    log_count: Option<String>,
    #[arg(long, alias = "handler_encoding", hide = true, value_name = "CODEC")]
    handler_encoding: Option<String>,
    #[arg(long, alias = "tls_module", hide = true, value_name = "MODULE")]
    tls_module: Option<String>,
    #[arg(long, alias = "allow_draft75", hide = true)]
    allow_draft75: bool,
    #[arg(long, hide = true)]
    strict: bool,
}

impl Predecessor {
    /// A sentence for each that was given.
    pub fn warnings(&self) -> Vec<String> {
        let utf8 = |codec: &String| {
            ["utf8", "utf-8"].contains(&codec.to_ascii_lowercase().replace('_', "-").as_str())
        };
        let given = [
            (
                self.validation_host.is_some(),
                "--validation-host",
                "the Host header is checked by --allow-host",
            ),
            (
                self.validation_port.is_some(),
                "--validation-port",
                "the Host header is checked by --allow-host, with or without a port",
            ),
            (
                self.cgi_paths.is_some(),
                "--cgi-paths",
                "there is no CGI here: let another server run it",
            ),
            (
                self.deflate_log_level.is_some(),
                "--deflate-log-level",
                "use --log-level info,websocket=debug",
            ),
            (
                self.thread_monitor_interval_in_sec.is_some(),
                "--thread-monitor-interval-in-sec",
                "no thread belongs to a connection",
            ),
            (
                self.log_max.is_some(),
                "--log-max",
                "let logrotate turn the log over; SIGUSR1 and SIGHUP open its file anew",
            ),
            (
                self.log_count.is_some(),
                "--log-count",
                "let logrotate turn the log over; SIGUSR1 and SIGHUP open its file anew",
            ),
            (
                self.handler_encoding
                    .as_ref()
                    .is_some_and(|codec| !utf8(codec)),
                "--handler-encoding",
                "handlers are UTF-8",
            ),
            (
                self.tls_module.is_some(),
                "--tls-module",
                "TLS is rustls here",
            ),
            (
                self.allow_draft75,
                "--allow-draft75",
                "only the protocol of RFC 6455 is spoken",
            ),
            (self.strict, "--strict", "requests are always read strictly"),
        ];
        given
            .iter()
            .filter(|(is_given, ..)| *is_given)
            .map(|(_, flag, instead)| format!("{flag} sets nothing here: {instead}"))
            .collect()
    }
}
