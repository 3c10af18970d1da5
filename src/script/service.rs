//! A handler's own hooks, `on_load` and `on_interval`: once in the process, without a connection.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use rhai::Dynamic;
use tokio::sync::watch;

use super::call::Ending;
use super::handler::Handler;
use super::hooks::Hook;
use super::owner::Owner;
use super::runtime::Runtime;
use super::session::{ScriptSession, Then, ensure_loaded, without_connection};
use crate::machine::source::Source;
use crate::websocket::Session;

/// The handlers that have hooks of their own, by file. One worker keeps them.
#[derive(Debug, Default)]
pub struct Services(HashMap<String, watch::Sender<Arc<Source>>>);

impl Services {
    /// A new generation serves: services of new files begin, those of new versions begin anew,
    /// those of files that are gone end. In the order of their files.
    pub fn update(&mut self, runtime: &Rc<Runtime>, sources: &BTreeMap<String, Arc<Source>>) {
        self.0.retain(|file, _| sources.contains_key(file));
        for (file, source) in sources {
            match self.0.get(file) {
                Some(service) => {
                    service.send_if_modified(|known| {
                        let is_new = known.version != source.version;
                        known.clone_from(source);
                        is_new
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(Arc::clone(source));
                    self.0.insert(file.clone(), sender);
                    tokio::task::spawn_local(serve(Rc::clone(runtime), receiver));
                }
            }
        }
    }
}

/// Serves the versions of one file, until there is none any more.
async fn serve(runtime: Rc<Runtime>, mut sources: watch::Receiver<Arc<Source>>) {
    let source = Arc::clone(&sources.borrow_and_update());
    let handler = runtime.handler(&source);
    // `this` stays from version to version, as a connection's does.
    let mut session = without_connection(&runtime, &handler, Owner::handler());
    loop {
        tokio::select! {
            biased;
            changed = sources.changed() => {
                session.cancel();
                session.forget_timers();
                if changed.is_err() {
                    runtime.retire_topics(&source.file, None);
                    return;
                }
                let source = Arc::clone(&sources.borrow_and_update());
                runtime.handler(&source);
            }
            () = run(&runtime, &handler, &mut session) => {}
        }
    }
}

/// One version's hooks: it never ends, since a timer may be set at any time.
async fn run(runtime: &Rc<Runtime>, handler: &Rc<Handler>, session: &mut ScriptSession<()>) {
    ensure_loaded(runtime, handler).await;
    if let Ending::Done = call(session, Hook::OnLoad, Dynamic::UNIT).await {
        runtime.retire_topics(&handler.file(), Some(handler.serving()));
    }
    if let Some(begun) = &runtime.begun {
        begun.tell(&handler.file());
    }
    loop {
        poll_fn(|context| session.poll_due(context)).await;
        if let Some(name) = session.take_due() {
            call(session, Hook::OnInterval, name.into()).await;
        }
    }
}

async fn call(session: &mut ScriptSession<()>, hook: Hook, argument: Dynamic) -> Ending {
    let mut args = Some([argument, Dynamic::UNIT, Dynamic::UNIT, Dynamic::UNIT]);
    // A fault has been reported; the next time the hook is called again.
    poll_fn(|context| match args.take() {
        Some(args) => session.call(hook, args, Then::Nothing, context),
        None => session.go_on(context),
    })
    .await
}
