//! The questions that every request is asked before anything is looked up for it, in their order.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::admission::{Asked, Rules};
use super::basic_auth::{self, Unknown};
use super::client::Client;
use super::forwarded;
use super::head::Head;
use super::health::Probe;
use super::refusals::{self, Kind};
use super::respond::Refusal;
use super::response::Response;
use super::site::Settings;
use super::throttle::THROTTLE;
use crate::config::Origin;
use crate::observe::Flood;
use crate::observe::event::{Event, text};

/// Of a page without an origin that is let in by default it is said once.
static SAID: Mutex<Flood<&str>> = Mutex::new(Flood::lines(1));

/// Whether this request may come in at all, before anything is looked up for it; learns who the
/// client is.
pub fn admit(settings: &Settings, head: &Head, client: &mut Client) -> Result<(), Refusal> {
    head.check()?;
    let Settings {
        admission, proxy, ..
    } = settings;
    let said = forwarded::read(head, client, &proxy.trusted).unwrap_or_else(|malformed| {
        Event::ForwardedIgnored {
            client: text(client),
            why: &malformed,
        }
        .tell();
        forwarded::Forwarded::default()
    });
    client.address = said.address.or(client.address);
    client.secure = said.secure.unwrap_or(client.secure);
    head.check_scheme(client.secure)?;
    let rules = Rules::of(admission, proxy);
    let judged = rules.judge(&Asked {
        host: head.host(),
        forwarded: said.host.as_ref(),
        origins: &head.values("origin").collect::<Vec<_>>(),
        secure: client.secure,
    });
    match judged {
        Ok(Some(Origin::Null)) if rules.has_null_by_default() => {
            let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
            Event::NullOrigin {}.tell_within(&mut *said, &"null");
        }
        Ok(_) => {}
        Err(denial) => {
            let (kind, why) = denial.parts();
            refusals::log(kind, client, Some(head.path()), why);
            return Err((&denial).into());
        }
    }
    if let Some(known) = &admission.credentials {
        // A developer's seat can do more than others, and has one user.
        let guesser = client.address.filter(|_| settings.dev);
        let guesser = guesser.map(|address| address.ip());
        if guesser.is_some_and(|address| THROTTLE.holds(address, Instant::now())) {
            let refusal = Refusal::new(429, "too many wrong passwords: try again in a minute");
            return Err(refusal.named(Kind::BasicAuth.id()).with_retry_after());
        }
        let shown: Vec<_> = head.values("authorization").collect();
        match basic_auth::user(&shown, known) {
            Ok(user) => client.user = Some(user.to_owned()),
            Err(unknown) => {
                if let (Unknown::Wrong, Some(address)) = (unknown, guesser) {
                    THROTTLE.wrong(address, Instant::now());
                }
                refusals::log(
                    Kind::BasicAuth,
                    client,
                    Some(head.path()),
                    &unknown.to_string(),
                );
                return Err(unknown.into());
            }
        }
    }
    Ok(())
}

/// The answer to a probe, if the request is one and its client may ask: it is one of these
/// addresses, by itself or through a proxy that is trusted.
pub fn probe(settings: &Settings, head: &Head, client: &Client) -> Option<Response> {
    let probe = Probe::of(head)?;
    let said = forwarded::read(head, client, &settings.proxy.trusted).ok()?;
    let address = said.address.or(client.address);
    let address = address.map(|address| address.ip());
    let mut known = settings.probes.iter();
    known
        .any(|known| known.has(address))
        .then(|| settings.health.answer(probe))
}
