//! What is told of what scripts open and ask for outside, in the log and in the metrics.

use std::time::Instant;

use rhai::EvalAltResult;

use crate::machine::error::kind_of;
use crate::observe::event::{Event, text};

/// What a script goes out for.
#[derive(Debug, Clone, Copy)]
pub enum Errand {
    /// A connection.
    Dial,
    /// An answer.
    Ask,
}

/// One errand, from its beginning to what comes of it.
#[derive(Debug)]
pub struct Trip {
    errand: Errand,
    handler: String,
    /// Host and port: the rest of an address may be a secret.
    host: String,
    begun: Instant,
}

impl Trip {
    /// A handler goes out to a host.
    pub fn begin(errand: Errand, handler: &str, host: String) -> Self {
        Self {
            errand,
            handler: handler.to_owned(),
            host,
            begun: Instant::now(),
        }
    }

    /// This has come of it.
    pub fn ends<T>(self, result: &Result<T, Box<EvalAltResult>>) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let (handler, host) = (self.handler.as_str(), text(&self.host));
        let result = match result {
            Ok(_) => "ok",
            // A connection that has ended takes its hooks with it.
            Err(error) => kind_of(error).unwrap_or("ended"),
        };
        match self.errand {
            Errand::Dial => Event::Dialed {
                handler,
                host,
                result,
                seconds,
            }
            .tell(),
            Errand::Ask => Event::Asked {
                handler,
                host,
                result,
                seconds,
            }
            .tell(),
        }
    }
}
