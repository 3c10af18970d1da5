//! One console: a window of a browser, or a program. It is told what happens, a few times a second,
//! and answered what it asks.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::operations;
use super::question::{Answer, text};
use super::window::{Desk, Window, send};
use crate::websocket::{self, Event, Handle, Message, Outcome};

/// Questions that it may ask at once.
const QUESTIONS: usize = 16;

/// The session of a console. `G` is what must be dropped with it.
pub struct Session<G> {
    window: Rc<Window>,
    /// How many questions wait for their answers.
    asking: Rc<Cell<usize>>,
    telling: Option<JoinHandle<()>>,
    _guard: G,
}

impl<G> Session<G> {
    /// A console that begins.
    pub fn new(desk: Desk, guard: G) -> Self {
        Self {
            window: Rc::new(Window::new(desk)),
            asking: Rc::default(),
            telling: None,
            _guard: guard,
        }
    }

    fn ask(&self, text: &str, handle: &Rc<Handle>) {
        let (window, handle) = (Rc::clone(&self.window), Rc::clone(handle));
        let asking = Rc::clone(&self.asking);
        let Ok(question) = serde_json::from_str::<Value>(text) else {
            return send(&handle, &json!({ "error": "a question is JSON" }));
        };
        if asking.get() >= QUESTIONS {
            let error = format!("{QUESTIONS} questions wait for their answers already");
            return send(&handle, &json!({ "id": question["id"], "error": error }));
        }
        asking.set(asking.get() + 1);
        tokio::task::spawn_local(async move {
            let answer = operate(&window, &question).await;
            let answer = match answer {
                Ok(value) => json!({ "id": question["id"], "ok": value }),
                Err(error) => json!({ "id": question["id"], "error": error }),
            };
            asking.set(asking.get() - 1);
            send(&handle, &answer);
        });
    }
}

/// Does what a question asks for, and what it says of its own window.
async fn operate(window: &Window, question: &Value) -> Answer {
    match question["do"].as_str() {
        Some("watch") => {
            let all = question["connection"] == "all";
            let connection = question["connection"].as_u64();
            window.choose(connection, all).map(Into::into)
        }
        Some("filter") => {
            window.filter(text(question, "text")?);
            Ok(Value::Null)
        }
        Some("dial") => match &window.desk.door {
            Some(door) => window.clients.dial(door, question).await,
            None => Err("clients are for windows of the console".into()),
        },
        Some("client-send") => window.clients.send(question),
        Some("client-close") => window.clients.close(question),
        _ => operations::operate(&window.desk, question).await,
    }
}

impl<G> Drop for Session<G> {
    fn drop(&mut self) {
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }
}

impl<G> websocket::Session for Session<G> {
    fn start(
        &mut self,
        event: Event<'_>,
        handle: &Rc<Handle>,
        _: &mut Context<'_>,
    ) -> Poll<Outcome> {
        match event {
            Event::Opened => {
                let (window, handle) = (Rc::clone(&self.window), Rc::clone(handle));
                let telling = tokio::task::spawn_local(async move { window.tell(&handle).await });
                self.telling = Some(telling);
            }
            Event::Message(Message::Text(text)) => self.ask(&text, handle),
            Event::Message(Message::Binary(_)) => {
                return Poll::Ready(Outcome::Failed("questions are text".into()));
            }
            _ => {}
        }
        Poll::Ready(Outcome::Done)
    }

    fn path(&self) -> &str {
        super::page::LIVE
    }
}
