//! A hook's say on a request: `do_extra_handshake`, before there is a connection, and `on_request`.

use std::borrow::Cow;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rhai::Dynamic;

use super::{ScriptSession, Then, without_connection};
use crate::script::call::Ending;
use crate::script::handler::Handler;
use crate::script::hooks::Hook;
use crate::script::owner::Owner;
use crate::script::request::{Answer, Body, Request};
use crate::script::runtime::Runtime;
use crate::script::state::State;

/// Why a request was refused without the script's saying so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It threw: 403.
    Thrown,
    /// It failed, as has been reported: 500, with this sentence.
    Failed(Cow<'static, str>),
    /// It was ended, because too many hooks wait: 503.
    Busy,
    /// It was ended: there is nobody to answer any more, or nobody is to be answered.
    Dropped,
    /// The same, and the client is to see a reset.
    Reset,
}

/// A run of `do_extra_handshake` or `on_request`. Whoever owns the stream polls it, and moves the
/// bytes of the request's [`Wire`](crate::script::Wire) in between.
pub struct Handshake {
    session: ScriptSession<()>,
    hook: Hook,
    request: Rc<Request>,
    args: Option<[Dynamic; 4]>,
}

impl Handshake {
    /// A run of this hook for this request.
    pub fn new(
        runtime: &Rc<Runtime>,
        handler: &Rc<Handler>,
        hook: Hook,
        connection: u64,
        request: &Rc<Request>,
    ) -> Self {
        let argument = Dynamic::from(Rc::clone(request));
        Self {
            session: without_connection(runtime, handler, Owner::handshake(connection)),
            hook,
            request: Rc::clone(request),
            args: Some([argument, Dynamic::UNIT, Dynamic::UNIT, Dynamic::UNIT]),
        }
    }

    /// Ready with the state that the connection goes on with, the script's answer, and its body.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(State, Answer, Body), HandshakeFailure>> {
        let polled = match self.args.take() {
            Some(args) => self.session.call(self.hook, args, Then::Nothing, context),
            None => self.session.go_on(context),
        };
        if polled.is_pending() && self.request.wire.borrow().is_ended {
            self.session.stop();
            return Poll::Ready(Err(HandshakeFailure::Dropped));
        }
        let ending = ready!(polled);
        let answer = self.request.answer.take();
        Poll::Ready(match ending {
            _ if answer.is_reset => Err(HandshakeFailure::Reset),
            _ if answer.is_aborted => Err(HandshakeFailure::Dropped),
            Ending::Thrown => Err(HandshakeFailure::Thrown),
            Ending::Failed(failure) => Err(HandshakeFailure::Failed(failure.reason)),
            Ending::Cancelled => Err(HandshakeFailure::Busy),
            Ending::Body(body) => Ok((State::default(), answer, body)),
            _ => Ok((self.session.owner.state().take(), answer, Body::None)),
        })
    }
}
