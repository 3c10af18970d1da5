//! Who is shown every message of a connection, as it passes.

use std::fmt;

use crate::observe::access::By;

/// An onlooker of one connection. It is called on the way of each message, and must not wait.
pub trait Onlooker: fmt::Debug {
    /// The connection's task begins to run.
    fn turn_begins(&self);

    /// It has run: what is shown before the next turn others have delivered.
    fn turn_ends(&self);

    /// A message has come.
    fn received(&self, is_text: bool, payload: &[u8]);

    /// A message is sent.
    fn sent(&self, is_text: bool, payload: &[u8]);

    /// A part of a message is sent; all parts of one are of a kind.
    fn sent_part(&self, is_text: bool, payload: &[u8], last: bool);

    /// A Ping goes one of the ways.
    fn pinged(&self, by_client: bool, payload: &[u8]);

    /// A Pong does.
    fn ponged(&self, by_client: bool, payload: &[u8]);

    /// It has ended.
    fn ended(&self, code: u16, reason: &str, by: By);
}
