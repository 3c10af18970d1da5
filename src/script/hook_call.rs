//! A hook's call, in a box that the next call uses again.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use rhai::{Dynamic, ImmutableString};

use super::api::messages::of_message;
use super::caller::Caller;
use super::handler::Handler;
use super::hooks::Hook;
use super::loops::Loop;
use super::owner::Owner;
use crate::websocket::Message;

/// A hook's call.
#[derive(Debug)]
pub struct HookCall {
    /// The handler whose hook it is.
    pub handler: Rc<Handler>,
    /// The hook, whose it is, and its arguments.
    pub caller: Rc<Caller>,
    /// The loop that the connection runs, for one that does: its version serves the connection, not
    /// the newest.
    pub running: Option<Rc<OnceCell<Loop>>>,
}

/// The box of a worker's last call. A connection's messages mostly come one behind the other: then
/// all but the arguments is as it is to be.
#[derive(Default)]
pub struct Boxes {
    spare: Cell<Option<Box<HookCall>>>,
    /// The text of the last message, for the memory that it has.
    text: Cell<Option<ImmutableString>>,
}

/// Bytes of the longest text whose memory is kept.
const KEPT: usize = 64 * 1024;

impl Boxes {
    /// A call of a hook in this owner's name.
    #[inline]
    pub fn call(
        &self,
        handler: &Rc<Handler>,
        hook: Hook,
        owner: &Owner,
        args: [Dynamic; 4],
        running: Option<&Rc<OnceCell<Loop>>>,
    ) -> Box<HookCall> {
        if let Some(mut call) = self.spare.take()
            // What the last call has dialed may go on in its name.
            && let Some(caller) = Rc::get_mut(&mut call.caller)
        {
            caller.hook = hook;
            if !caller.owner.is(owner) {
                caller.owner = owner.clone();
            }
            *caller.args.get_mut() = args;
            caller.served.take();
            if !Rc::ptr_eq(&call.handler, handler) {
                call.handler = Rc::clone(handler);
            }
            call.running = running.cloned();
            return call;
        }
        Box::new(HookCall {
            handler: Rc::clone(handler),
            caller: Caller::new(hook, owner, args),
            running: running.cloned(),
        })
    }

    /// The call is over: its box is for the next.
    #[inline]
    pub fn keep(&self, mut call: Box<HookCall>) {
        call.running = None;
        if let Some(text) = call.caller.over.take()
            && text.len() <= KEPT
        {
            self.text.set(Some(text));
        }
        self.spare.set(Some(call));
    }

    /// A message's value. A text goes where the last one was, which nobody else has any more.
    #[inline]
    pub fn message(&self, message: Message<'_>) -> Dynamic {
        if let Message::Text(text) = &message
            && text.len() <= KEPT
            && let Some(mut last) = self.text.take()
            && let Some(place) = last.get_mut()
        {
            place.truncate(0);
            place.push_str(text);
            return last.into();
        }
        of_message(message)
    }

    /// Nothing more is called in this owner's name: nothing of it is kept.
    pub fn forget(&self, owner: &Owner) {
        let spare = self.spare.take();
        self.spare
            .set(spare.filter(|call| !call.caller.owner.is(owner)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::script::{Host, Runtime, Source};

    const UNITS: [Dynamic; 4] = [const { Dynamic::UNIT }; 4];

    fn handler() -> Rc<Handler> {
        let source = Arc::new(Source {
            file: "test_wsh.rhai".into(),
            text: "fn transfer_data(ws, message) {}".into(),
            version: 1,
            modules: Vec::new(),
        });
        Runtime::new(&Host::default()).handler(&source)
    }

    #[test]
    fn a_box_is_used_again_and_what_somebody_keeps_of_it_is_left() {
        let (boxes, handler) = (Boxes::default(), handler());
        let [one, two] = [1, 2].map(Owner::handshake);
        let call = boxes.call(&handler, Hook::OnOpen, &one, UNITS, None);
        let place = std::ptr::from_ref(&*call);
        boxes.keep(call);
        let call = boxes.call(&handler, Hook::OnPing, &two, UNITS, None);
        assert!(std::ptr::eq(place, &*call));
        assert_eq!(
            (call.caller.hook, call.caller.owner.connection()),
            (Hook::OnPing, Some(2))
        );
        let kept = Rc::clone(&call.caller);
        boxes.keep(call);
        let call = boxes.call(&handler, Hook::OnPong, &one, UNITS, None);
        assert_eq!(
            (kept.hook, kept.owner.connection()),
            (Hook::OnPing, Some(2))
        );
        assert_eq!(
            (call.caller.hook, call.caller.owner.connection()),
            (Hook::OnPong, Some(1))
        );
    }

    #[test]
    fn nothing_is_kept_of_whoever_is_gone() {
        let (boxes, handler) = (Boxes::default(), handler());
        let [one, two] = [1, 2].map(Owner::handshake);
        let Owner::Handshake(opening) = &one else {
            unreachable!("it is one");
        };
        boxes.keep(boxes.call(&handler, Hook::OnOpen, &one, UNITS, None));
        boxes.forget(&two);
        assert_eq!(Rc::strong_count(opening), 2);
        boxes.forget(&one);
        assert_eq!(
            (Rc::strong_count(opening), Rc::strong_count(&handler)),
            (1, 1)
        );
    }

    /// A text takes the memory of the last one, but not from whoever has kept that.
    #[test]
    fn a_message_that_is_kept_is_left() {
        let (boxes, handler) = (Boxes::default(), handler());
        let owner = Owner::handshake(1);
        let texts = [
            "a",
            "longer than fits into the value itself",
            "",
            "and long again, as before",
        ];
        let mut all = Vec::new();
        for (number, text) in texts.iter().cycle().take(40).enumerate() {
            let message = boxes.message(Message::Text((*text).into()));
            assert_eq!(message.clone().into_string().as_deref(), Ok(*text));
            let call = boxes.call(&handler, Hook::TransferData, &owner, UNITS, None);
            let over = message.as_immutable_string_ref().map(|text| text.clone());
            call.caller.over.set(over.ok());
            boxes.keep(call);
            if number % 3 == 0 {
                all.push((text, message));
            }
        }
        for (text, message) in all {
            assert_eq!(message.into_string().as_deref(), Ok(*text));
        }
    }
}
