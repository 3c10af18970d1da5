//! Numbers of one worker or of all, and their text for Prometheus.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::counter::{Code, Counter, Counters, FILES, RESULTS};
use super::histogram::{BUCKETS, Spread, bound};

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(super) handlers: BTreeMap<String, Totals>,
    pub(super) counters: Counters,
    /// What is now.
    pub gauges: Gauges,
    /// What topics have done, which are the process's and no worker's.
    pub topics: Topics,
    /// What stores and queues keep, as well.
    pub stores: Stores,
    /// How long their engine takes.
    pub store_times: Vec<StoreTimes>,
    /// The engines in other processes that it uses.
    pub engines: Vec<Engine>,
}

/// Counts of publications and of their subscribers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Topics {
    /// Publications.
    pub published: u64,
    /// Publications handed to a subscriber's queue.
    pub delivered: u64,
    /// Publications that slow subscribers were not sent.
    pub dropped: u64,
    /// Slow subscribers whose connections were closed.
    pub closed: u64,
    /// Subscriptions with a position after which nothing was missed.
    pub recovered: u64,
    /// Subscriptions with a position after which something was.
    pub lost: u64,
    /// Subscribers that may have missed messages.
    pub gaps: u64,
    /// Messages that came from the broker,
    pub arrived: u64,
    /// and the milliseconds from their publication.
    pub lag: u64,
    /// Portions of history that were read from it.
    pub refills: u64,
    /// Messages that this software has not made.
    pub foreign: u64,
}

/// An engine in another process, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// What it is for.
    pub role: &'static str,
    /// Whether it is there.
    pub is_up: bool,
    /// How often it has been connected to, all its connections together.
    pub connections: u64,
    /// Commands that were lost, and that nobody waited for.
    pub lost: u64,
}

/// What stores and queues keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stores {
    /// Keys of all stores.
    pub keys: u64,
    /// Entries of all queues, those on lease among them.
    pub entries: u64,
}

/// How long an engine takes for one kind of what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreTimes {
    /// The kind of engine.
    pub engine: &'static str,
    /// What it is asked.
    pub operation: &'static str,
    /// The times.
    pub times: Spread,
}

/// Numbers of things that are there now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauges {
    /// Hooks that wait.
    pub fibers_waiting: u64,
    /// Connections of any kind, those that are no WebSocket yet included.
    pub sockets: u64,
    /// Worker threads.
    pub workers: u64,
    /// Of those, the ones that did not answer in time: their numbers are those of their last
    /// answer.
    pub workers_silent: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub connections: u64,
    pub messages: [u64; 2],
    pub bytes: [u64; 2],
    pub hooks: BTreeMap<&'static str, Times>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub buckets: [u64; BUCKETS + 1],
    pub nanoseconds: u64,
    pub faults: u64,
}

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// That of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The format that an `Accept` header asks for: OpenMetrics where it is named and not liked less,
/// else Prometheus' own, which whoever asks for nothing known can read, too.
pub fn negotiate<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0_f32, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        let known = match media.as_str() {
            "application/openmetrics-text" if version.is_none_or(|known| known == "1.0.0") => {
                &mut open
            }
            "text/plain" if version.is_none_or(|known| known == "0.0.4") => &mut plain,
            _ => continue,
        };
        *known = known.max(quality);
    }
    if open > 0.0 && open >= plain {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

impl Snapshot {
    pub(super) fn of_counters(counters: Counters) -> Self {
        Self {
            counters,
            ..Self::default()
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (file, totals) in &other.handlers {
            self.handlers.entry(file.clone()).or_default().add(totals);
        }
        for (counter, times) in &other.counters {
            *self.counters.entry(counter.clone()).or_default() += times;
        }
        self.gauges.fibers_waiting += other.gauges.fibers_waiting;
        self.gauges.sockets += other.gauges.sockets;
    }

    /// What a developer's console has of it: for each handler its connections, messages and bytes
    /// in and out, and for each hook the counts of its histogram.
    pub fn to_json(&self) -> Value {
        let handlers = self.handlers.iter().map(|(file, totals)| {
            let hooks = totals.hooks.iter().map(|(hook, times)| {
                let Times {
                    buckets,
                    nanoseconds,
                    faults,
                } = times;
                let seconds = *nanoseconds as f64 / 1e9;
                let times = json!({ "buckets": buckets, "seconds": seconds, "faults": faults });
                ((*hook).to_owned(), times)
            });
            let hooks: serde_json::Map<_, _> = hooks.collect();
            let Totals {
                connections,
                messages,
                bytes,
                hooks: _,
            } = totals;
            let counts = json!({
                "connections": connections, "messages": messages, "bytes": bytes, "hooks": hooks,
            });
            (file.clone(), counts)
        });
        let bounds: Vec<_> = (0..BUCKETS).map(bound).collect();
        json!({
            "handlers": handlers.collect::<serde_json::Map<_, _>>(), "bounds": bounds,
            "waiting": self.gauges.fibers_waiting,
        })
    }

    /// All of it as text.
    pub fn text(&self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Encoded(self.clone())));
        let mut out = String::new();
        // It fails only where writing into a string does.
        let _ = match format {
            Format::Prometheus => prometheus_text::encode(&mut out, &registry),
            Format::OpenMetrics => text::encode(&mut out, &registry),
        };
        out
    }
}

/// Counts with the bounds of their buckets.
fn bounded(counts: [u64; BUCKETS + 1]) -> Vec<(f64, u64)> {
    let bounds = (0..BUCKETS).map(bound).chain([f64::MAX]);
    bounds.zip(counts).collect()
}

impl Times {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.nanoseconds = self.nanoseconds.saturating_add(other.nanoseconds);
        self.faults += other.faults;
    }
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        for way in 0..2 {
            self.messages[way] += other.messages[way];
            self.bytes[way] += other.bytes[way];
        }
        for (name, times) in &other.hooks {
            self.hooks.entry(name).or_default().add(times);
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(code) => write!(out, "{code}"),
            Self::Private(digit) => write!(out, "{digit}xxx"),
        }
    }
}

/// The families of [`Counter`]s: their names and what they are.
const FAMILIES: [(&str, &str); 6] = [
    ("wsh_handshakes", "WebSocket handshakes, by their result"),
    (
        "wsh_closes",
        "WebSocket connections that ended, by Close code and the side that closed",
    ),
    (
        "wsh_refusals",
        "Connections, requests and messages that were refused, by the id that the log has",
    ),
    (
        "wsh_reloads",
        "New versions of handler files, by whether they serve",
    ),
    (
        "wsh_dial",
        "Connections that scripts dialed, by what came of it",
    ),
    (
        "wsh_fetch",
        "HTTP requests of scripts, by what came of them",
    ),
];

impl Counter {
    /// The place of its family.
    fn family(&self) -> usize {
        match self {
            Self::Handshakes(_) => 0,
            Self::Closes(..) => 1,
            Self::Refusals(_) => 2,
            Self::Reloads(..) => 3,
            Self::Dials(..) => 4,
            Self::Fetches(..) => 5,
        }
    }

    fn labels(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Handshakes(result) => vec![("result", (*result).to_owned())],
            Self::Closes(code, side) => {
                vec![("code", code.to_string()), ("side", (*side).to_owned())]
            }
            Self::Refusals(reason) => vec![("reason", (*reason).to_owned())],
            Self::Reloads(file, result)
            | Self::Dials(file, result)
            | Self::Fetches(file, result) => {
                vec![("handler", file.clone()), ("result", (*result).to_owned())]
            }
        }
    }
}

/// A snapshot as the encoder asks for it.
#[derive(Debug)]
struct Encoded(Snapshot);

impl Collector for Encoded {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sheet = &mut encoder;
        let Gauges {
            fibers_waiting,
            sockets,
            workers,
            workers_silent,
        } = self.0.gauges;
        for (name, help, value) in [
            (
                "wsh_sockets",
                "Connections of any kind, before and after their handshake",
                sockets,
            ),
            (
                "wsh_fibers_waiting",
                "Hooks that wait: for a message, a time, or room to send",
                fibers_waiting,
            ),
            ("wsh_workers", "Worker threads", workers),
            (
                "wsh_workers_silent",
                "Workers that did not answer this scrape: their numbers are older",
                workers_silent,
            ),
        ] {
            let mut family = sheet.encode_descriptor(name, help, None, MetricType::Gauge)?;
            family.encode_gauge(&value)?;
        }
        let stores = self.0.stores;
        for (name, help, value) in [
            ("wsh_store_keys", "Keys that stores keep", stores.keys),
            (
                "wsh_queue_entries",
                "Entries of all queues, those on lease among them",
                stores.entries,
            ),
        ] {
            let mut family = sheet.encode_descriptor(name, help, None, MetricType::Gauge)?;
            family.encode_gauge(&value)?;
        }
        let mut family = sheet.encode_descriptor(
            "wsh_store_seconds",
            "Time from what a store or queue was asked to its answer",
            None,
            MetricType::Histogram,
        )?;
        for asked in &self.0.store_times {
            let labels = [("engine", asked.engine), ("operation", asked.operation)];
            let Spread {
                buckets,
                nanoseconds,
            } = asked.times;
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    nanoseconds as f64 / 1e9,
                    buckets.iter().sum(),
                    &bounded(buckets),
                    None,
                )?;
        }
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)];
        gauges(sheet, "wsh_build_info", "The version that runs", version)?;
        self.handlers(sheet)?;
        self.topics(sheet)?;
        self.engines(sheet)?;
        self.counters(sheet)
    }
}

impl Encoded {
    fn handlers(&self, sheet: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let handlers = &self.0.handlers;
        let connections = handlers
            .iter()
            .map(|(file, totals)| ([("handler", file.as_str())], totals.connections));
        gauges(
            sheet,
            "wsh_connections",
            "Open WebSocket connections",
            connections,
        )?;
        let ways = |which: fn(&Totals) -> [u64; 2]| {
            handlers.iter().flat_map(move |(file, totals)| {
                let ways = ["in", "out"].into_iter().zip(which(totals));
                ways.map(|(way, value)| ([("handler", file.as_str()), ("direction", way)], value))
            })
        };
        let help = "Messages that handlers were given, and have sent";
        counters(sheet, "wsh_messages", help, ways(|totals| totals.messages))?;
        let help = "Bytes of those messages, uncompressed";
        counters(
            sheet,
            "wsh_message_bytes",
            help,
            ways(|totals| totals.bytes),
        )?;
        let hooks = || {
            handlers.iter().flat_map(|(file, totals)| {
                let hooks = totals.hooks.iter();
                hooks.map(|(hook, times)| ([("handler", file.as_str()), ("hook", *hook)], times))
            })
        };
        let faults = hooks().filter(|(_, times)| times.faults > 0);
        let faults = faults.map(|(labels, times)| (labels, times.faults));
        counters(sheet, "wsh_faults", "Hooks that failed", faults)?;
        let mut family = sheet.encode_descriptor(
            "wsh_hook_seconds",
            "Time from a hook's call to its end, waits included",
            None,
            MetricType::Histogram,
        )?;
        let ran = |times: &Times| times.buckets.iter().any(|count| *count > 0);
        for (labels, times) in hooks().filter(|(_, times)| ran(times)) {
            let buckets = bounded(times.buckets);
            let count = times.buckets.iter().sum();
            let sum = times.nanoseconds as f64 / 1e9;
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn topics(&self, sheet: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let topics = self.0.topics;
        let none: [(&str, &str); 0] = [];
        let help = "Messages published to topics";
        counters(sheet, "wsh_publish", help, [(none, topics.published)])?;
        let help = "Publications handed to a subscriber's queue";
        counters(sheet, "wsh_deliveries", help, [(none, topics.delivered)])?;
        let help = "Publications that slow subscribers were not sent, and slow subscribers closed";
        let slow = [("drop", topics.dropped), ("close", topics.closed)];
        let slow = slow.map(|(action, times)| ([("action", action)], times));
        counters(sheet, "wsh_slow_subscribers", help, slow)?;
        let help = "Subscriptions with a position, by whether nothing was missed";
        let resumes = [("true", topics.recovered), ("false", topics.lost)];
        let resumes = resumes.map(|(recovered, times)| ([("recovered", recovered)], times));
        counters(sheet, "wsh_resumes", help, resumes)?;
        let help = "Subscribers that may have missed messages, each told by on_gap";
        counters(sheet, "wsh_gaps", help, [(none, topics.gaps)])
    }

    /// No series without an engine, but the names of all.
    fn engines(&self, sheet: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (engines, topics) = (&self.0.engines, self.0.topics);
        let of = |which: fn(&Engine) -> u64| {
            let values = engines.iter();
            values.map(move |engine| ([("engine", engine.role)], which(engine)))
        };
        let help = "Whether an engine in another process is there";
        gauges(
            sheet,
            "wsh_engine_up",
            help,
            of(|engine| u64::from(engine.is_up)),
        )?;
        let help = "Connections that were made to an engine";
        let connections = of(|engine| engine.connections);
        counters(sheet, "wsh_engine_connections", help, connections)?;
        let help = "Commands to an engine that were lost, and that nobody waited for";
        counters(sheet, "wsh_engine_lost", help, of(|engine| engine.lost))?;
        let none: [(&str, &str); 0] = [];
        let help = "Messages that came from the broker";
        counters(sheet, "wsh_broker_messages", help, [(none, topics.arrived)])?;
        let help = "Seconds from their publication to their arrival, all together";
        let seconds = topics.lag as f64 / 1e3;
        sheet
            .encode_descriptor("wsh_broker_lag_seconds", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, f64, u64>(&seconds, None)?;
        let help = "Portions of history that were read from the broker";
        counters(sheet, "wsh_broker_refills", help, [(none, topics.refills)])?;
        let help = "Messages under the broker's prefix that no wsh-server of this version has made";
        counters(sheet, "wsh_broker_foreign", help, [(none, topics.foreign)])
    }

    /// The counters, family by family.
    fn counters(&self, sheet: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A closed list is there from the beginning: the first one is an increase.
        let mut folded: Counters = RESULTS
            .map(|result| (Counter::Handshakes(result), 0))
            .into();
        let mut files = 0;
        for (counter, times) in &self.0.counters {
            let counter = match counter {
                counter if !counter.has_file() => counter.clone(),
                counter if files >= FILES => counter.of_another(),
                counter => {
                    files += 1;
                    counter.clone()
                }
            };
            *folded.entry(counter).or_default() += times;
        }
        for (place, (name, help)) in FAMILIES.iter().enumerate() {
            let family = folded
                .iter()
                .filter(|(counter, _)| counter.family() == place);
            let family = family.map(|(counter, times)| (counter.labels(), *times));
            counters(sheet, name, help, family)?;
        }
        Ok(())
    }
}

fn counters<L: EncodeLabelSet>(
    sheet: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut family = sheet.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in series {
        family
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
    }
    Ok(())
}

fn gauges<L: EncodeLabelSet>(
    sheet: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (L, impl EncodeGaugeValue)>,
) -> fmt::Result {
    let mut family = sheet.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_is_asked_for() {
        const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            (
                "text/html, application/xhtml+xml, */*;q=0.8",
                Format::Prometheus,
            ),
            ("text/plain;version=0.0.4", Format::Prometheus),
            (PROMETHEUS_2, Format::OpenMetrics),
            (PROMETHEUS_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=0.0.1",
                Format::Prometheus,
            ),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.9",
                Format::Prometheus,
            ),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=what", Format::Prometheus),
        ] {
            assert_eq!(negotiate([accept].into_iter()), expected, "{accept}");
        }
    }
}
