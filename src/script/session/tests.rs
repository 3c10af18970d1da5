use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::config::{Evaluator, limits};
use crate::script::state::State;
use crate::script::{Host, Limits, Place, Settings, Source};
use crate::websocket::{Event, Handle, Message, Outbox, Outcome, Session};

const NAP: &str = "fn transfer_data(ws, message) { sleep(1.0); ws.send(message); }";

fn source(text: &str) -> Arc<Source> {
    source_of("test_wsh.rhai", text)
}

fn source_of(file: &str, text: &str) -> Arc<Source> {
    Arc::new(Source {
        file: file.into(),
        text: text.into(),
        version: 1,
        modules: Vec::new(),
    })
}

fn session(runtime: &Rc<Runtime>, source: &Arc<Source>, connection: u64) -> ScriptSession<()> {
    let place = Place {
        send_queue: usize::MAX,
        ..Place::default()
    };
    let handle = Handle::new(connection, Outbox::default());
    let peer = Peer::new(handle, Rc::new(place), State::default(), None);
    let handler = runtime.handler(source);
    ScriptSession::new(Rc::clone(runtime), handler, Rc::new(peer), ())
}

fn handle(session: &ScriptSession<()>) -> Rc<Handle> {
    let peer = session.owner.peer().expect("a connection");
    Rc::clone(&peer.handle)
}

/// The body of a test beside what a worker does: a hook whose slice of time is over waits for its
/// turn, and on a busy machine that is any hook.
async fn with_turns(runtime: &Runtime, body: impl Future<Output = ()>) {
    tokio::select! {
        () = runtime.run_turns() => unreachable!("it runs for ever"),
        () = body => {}
    }
}

async fn message(session: &mut ScriptSession<()>) -> Outcome {
    let handle = handle(session);
    let mut event = Some(Event::Message(Message::Text("hello".into())));
    std::future::poll_fn(|context| match event.take() {
        Some(event) => session.start(event, &handle, context),
        None => session.resume(context),
    })
    .await
}

async fn open(runtime: &Rc<Runtime>, session: &mut ScriptSession<()>) -> ReadyState {
    let handle = handle(session);
    let handler = Rc::clone(&session.handler);
    let loading = async { assert!(ensure_loaded(runtime, &handler).await) };
    with_turns(runtime, loading).await;
    let mut event = Some(Event::Opened);
    let opening = std::future::poll_fn(|context| match event.take() {
        Some(event) => session.start(event, &handle, context).map(drop),
        None => session.resume(context).map(drop),
    });
    with_turns(runtime, opening).await;
    handle.state()
}

/// Loops leave fibers for others: one too many is told to come back later, and ends as at any other
/// end.
#[tokio::test]
async fn a_loop_too_many_is_closed() {
    let runtime = Rc::new(Runtime::new(&Host::new(Settings {
        limits: Limits {
            receiving: 1,
            ..limits::SCRIPT
        },
        ..Settings::default()
    })));
    let source = source("fn transfer_data(ws) { while ws.receive() != () {} }");
    let mut sessions = [1, 2, 3].map(|number| session(&runtime, &source, number));
    let [first, second, third] = &mut sessions;
    assert_eq!(open(&runtime, first).await, ReadyState::Open);
    assert_eq!(open(&runtime, second).await, ReadyState::Closing);
    first.end_parked();
    assert_eq!(open(&runtime, third).await, ReadyState::Open);
}

/// What waits takes memory by what it has on its stack: a few deep calls are as many shallow ones.
#[tokio::test]
async fn a_loop_too_deep_is_closed() {
    let machine = |frames| {
        Rc::new(Runtime::new(&Host::new(Settings {
            limits: Limits {
                frames,
                ..limits::SCRIPT
            },
            ..Settings::default()
        })))
    };
    let loops = |depth| {
        source(&format!(
            "fn wait(ws, depth) {{
                 if depth > 0 {{ wait(ws, depth - 1); return }}
                 while ws.receive() != () {{}}
             }}
             fn transfer_data(ws) {{ wait(ws, {depth}); }}"
        ))
    };
    let (shallow, deep) = (loops(0), loops(20));
    let runtime = machine(usize::MAX);
    let mut one = session(&runtime, &shallow, 1);
    assert_eq!(open(&runtime, &mut one).await, ReadyState::Open);
    let each = runtime.fibers.waiting();
    one.end_parked();
    assert_eq!(runtime.fibers.waiting(), 0);
    for (source, most) in [(shallow, 2), (deep, 0)] {
        let runtime = machine(each * 5 / 2);
        let mut sessions = [1, 2, 3].map(|number| session(&runtime, &source, number));
        for (count, session) in sessions.iter_mut().enumerate() {
            let state = open(&runtime, session).await;
            assert_eq!(state == ReadyState::Open, count < most);
        }
        sessions.iter_mut().for_each(ScriptSession::end_parked);
        assert_eq!(runtime.fibers.waiting(), 0);
    }
}

/// Hooks that wait leave fibers for those that do not: one too many is ended, and its client told
/// to come back later.
#[tokio::test(start_paused = true)]
async fn a_hook_too_many_does_not_wait() {
    let runtime = Rc::new(Runtime::new(&Host::new(Settings {
        limits: Limits {
            fibers: 3,
            waiting: 2,
            ..limits::SCRIPT
        },
        ..Settings::default()
    })));
    let nap = source(NAP);
    let echo = "fn transfer_data(ws, message) { ws.send(message); }";
    let echo = source_of("echo_wsh.rhai", echo);
    let mut sleepers = [1, 2, 3].map(|number| session(&runtime, &nap, number));
    let mut other = session(&runtime, &echo, 4);
    let [first, second, third] = &mut sleepers;
    let afterwards = async {
        tokio::task::yield_now().await;
        assert_eq!(message(third).await, Outcome::Done);
        assert_eq!(handle(third).state(), ReadyState::Closing);
        assert_eq!(message(&mut other).await, Outcome::Done);
        assert_eq!(handle(&other).state(), ReadyState::Open);
    };
    with_turns(&runtime, async {
        let (first, second, ()) = tokio::join!(message(first), message(second), afterwards);
        assert_eq!([first, second], [const { Outcome::Done }; 2]);
    })
    .await;
}

/// More hooks than fibers: each waits for one that is free, and one that is cancelled holds up
/// nobody.
#[tokio::test(start_paused = true)]
async fn hooks_without_a_fiber_wait_for_one() {
    let runtime = Rc::new(Runtime::new(&Host::new(Settings {
        limits: Limits {
            fibers: 1,
            ..limits::SCRIPT
        },
        ..Settings::default()
    })));
    let source = source(NAP);
    let mut sessions: Vec<_> = (0..4)
        .map(|number| session(&runtime, &source, number))
        .collect();
    let [first, second, third, fourth] = &mut sessions[..] else {
        unreachable!("four of them")
    };
    let cancelled = async {
        let handling = tokio::time::timeout(std::time::Duration::from_millis(1500), message(third));
        assert!(handling.await.is_err());
        third.cancel();
    };
    let began = tokio::time::Instant::now();
    with_turns(&runtime, async {
        let (first, second, (), fourth) =
            tokio::join!(message(first), message(second), cancelled, message(fourth));
        assert_eq!([first, second, fourth], [const { Outcome::Done }; 3]);
    })
    .await;
    assert_eq!(began.elapsed().as_secs(), 3);
    assert!(sessions.iter().all(|session| session.activity.is_none()));
}

/// A hook that has no `this` leaves it to those that have one, and grows it by nothing.
#[tokio::test]
async fn a_hook_without_this_leaves_it_alone() {
    let runtime = Rc::new(Runtime::new(&Host::new(Settings {
        evaluator: Evaluator::Compiled,
        ..Settings::default()
    })));
    let text = "fn on_open(ws) { this.kept = [7]; } fn transfer_data(ws, message) { \
                ws.send(message + message); } fn on_pong(ws, payload) { ws.send(`${this.kept}`); }";
    let source = source(text);
    let handler = runtime.handler(&source);
    with_turns(&runtime, async {
        assert!(ensure_loaded(&runtime, &handler).await);
        let program = handler.program().expect("it serves");
        let hooks = [Hook::OnOpen, Hook::TransferData, Hook::OnPong];
        let stateless = hooks.map(|hook| program.is_stateless(hook));
        assert_eq!(stateless, [false, true, false]);
        let mut session = session(&runtime, &source, 1);
        let handle = handle(&session);
        let text = || Event::Message(Message::Text("x".into()));
        let events = [Event::Opened, text(), text(), Event::Pong((*b"").into())];
        for event in events {
            let mut event = Some(event);
            let outcome = std::future::poll_fn(|context| match event.take() {
                Some(event) => session.start(event, &handle, context),
                None => session.resume(context),
            });
            assert_eq!(outcome.await, Outcome::Done);
        }
        assert_eq!(handle.take_unsent(99), b"\x81\x02xx\x81\x02xx\x81\x03[7]");
    })
    .await;
}

/// What is packed while nothing happens is for the next hook what it was; what cannot be packed
/// stays.
#[tokio::test]
async fn a_state_that_rests_is_what_it_was() {
    let runtime = Rc::new(Runtime::new(&Host::new(Settings::default())));
    let plain = "fn transfer_data(ws, message) {
        this.n = (this.n ?? 0) + 1;
        this.all = (this.all ?? []) + [this.n * 0.5, message, #{n: this.n}];
    }";
    let closure = "fn transfer_data(ws, message) {
        let n = this.n ?? 0;
        this.next = || n += 1;
        this.n = this.next.call();
    }";
    for (code, is_packed) in [(plain, true), (closure, false)] {
        let source = source_of(&format!("{is_packed}_wsh.rhai"), code);
        let mut sessions = [1, 2].map(|number| session(&runtime, &source, number));
        for turn in 0..3 {
            // Packed behind every hook, until they come one behind the other.
            for hooks in 1..=6 {
                for session in &mut sessions {
                    with_turns(&runtime, async {
                        assert_eq!(message(session).await, Outcome::Done);
                    })
                    .await;
                }
                let is_map = sessions.each_ref().map(|one| one.owner.state().may_rest());
                let is_busy = [hooks >= 4, turn > 0 || hooks >= 4];
                assert_eq!(is_map, is_busy.map(|is_busy| is_busy || !is_packed));
            }
            let [resting, _] = &mut sessions;
            assert!(resting.may_rest());
            assert!(resting.rest(), "it was used just now");
            assert!(!resting.rest());
            assert_ne!(resting.owner.state().may_rest(), is_packed);
            let seen = sessions
                .each_ref()
                .map(|session| session.owner.state().look(ToString::to_string));
            assert_eq!(seen[0], seen[1]);
            assert!(seen[0].contains("n: "), "{}", seen[0]);
        }
    }
}
