//! What a host gives its scripts: packages of functions, and what those reach.
//!
//! A package is a table. A row registers one function and documents it, so that the reference, the
//! definition files of editors and the hints of errors are made from what is really there. A row
//! that needs more than its arguments takes it from the [`Host`]: the time, random numbers, or a
//! service of the process, which is added in one line where the server is wired ([`Host::with`]).

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rhai::Engine;

use super::Settings;
use super::clock::Clock;
use super::random::Random;

/// Functions of one subject.
pub struct Package {
    /// Name of the package, a word.
    pub name: &'static str,
    /// A paragraph of the reference.
    pub about: &'static str,
    /// Functions, methods and properties of the package.
    pub functions: &'static [Function],
}

/// A function, method or property.
pub struct Function {
    /// Signatures, one line a form: `sleep(seconds: float)`, `now() -> float`, `ws.send(text:
    /// string)`, `request.path -> string` for a property, `request.protocol = string` for one that
    /// can be set.
    pub signatures: &'static [&'static str],
    /// Description of what it does and gives, in sentences.
    pub about: &'static str,
    /// Errors that it throws: the `kind`, and when.
    pub throws: &'static [(&'static str, &'static str)],
    /// Hooks that it may be called in.
    pub allowed: Allowed,
    /// Statements for a `transfer_data(ws, message)` that is sent `hello`, or, if it defines
    /// functions, a whole handler. A test runs it and expects the messages that stand behind `//
    /// =>`, in order.
    pub example: &'static str,
    /// Makes it known to an engine.
    pub register: fn(&mut Engine, &Host),
}

/// The hooks that a function may be called in.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// Every hook.
    Everywhere,
    /// Every hook with `ws`.
    Open,
    /// Those of these names.
    Only(&'static [&'static str]),
}

/// What functions of scripts may reach. A clone for each thread; services are shared by all of
/// them.
#[derive(Clone, Default)]
pub struct Host {
    /// What the operator has chosen.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Random numbers.
    pub random: Random,
    services: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    packages: Vec<&'static Package>,
}

/// Something of the process that scripts call: a store, a hub, a client of another server.
///
/// It is one value for all workers, so its methods are called from several threads at once. A call
/// that waits for something gives a future to [`meter::until`](super::meter::until), and blocks
/// nobody.
pub trait Service: Send + Sync + 'static {
    /// Its functions. A row gets the service from [`Host::service`].
    const PACKAGE: &'static Package;
}

impl Host {
    /// A host with these settings, the system's time and its random numbers, and no services.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// The same with a service, and its functions for all scripts.
    #[must_use]
    pub fn with<S: Service>(self, service: S) -> Self {
        let mut host = self.providing(service);
        host.packages.push(S::PACKAGE);
        host
    }

    /// The same with something that rows of the server's own packages ask for.
    #[must_use]
    pub fn providing<S: Send + Sync + 'static>(mut self, service: S) -> Self {
        self.services.insert(TypeId::of::<S>(), Arc::new(service));
        self
    }

    /// A service of this type, if the server has one.
    pub fn service<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        let service = Arc::clone(self.services.get(&TypeId::of::<S>())?);
        service.downcast().ok()
    }

    /// The packages of its services.
    pub fn packages(&self) -> &[&'static Package] {
        &self.packages
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.packages.iter().map(|package| package.name);
        out.debug_struct("Host")
            .field("settings", &self.settings)
            .field("services", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
