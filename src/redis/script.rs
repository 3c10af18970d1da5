//! Scripts that run in the server: each is atomic, and known there by its digest.

use ::redis::Cmd;
use data_encoding::HEXLOWER;
use sha1::{Digest, Sha1};

/// A script in Lua.
#[derive(Debug, Clone)]
pub struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// The script of this text.
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            digest: HEXLOWER.encode(&Sha1::digest(text)),
        }
    }

    /// The command that makes it known.
    pub fn load(&self) -> Cmd {
        let mut command = ::redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.text);
        command
    }

    /// A call with these keys; its arguments follow.
    pub fn call(&self, keys: &[&str]) -> Cmd {
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(&self.digest).arg(keys.len());
        for key in keys {
            command.arg(*key);
        }
        command
    }
}
