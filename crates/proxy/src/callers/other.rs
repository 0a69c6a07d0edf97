//! Where the kernel does not tell whose a connection is: nobody is refused.

use std::io;
use std::net::SocketAddr;

use super::{Question, Verdict};

pub(super) fn try_out(_client: SocketAddr, _edge: SocketAddr) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux tells"))
}

#[derive(Debug, Default)]
pub(super) struct System;

impl System {
    pub(super) fn answer(&mut self, questions: Vec<Question>) {
        for question in questions {
            let _ = question.answer.send(Verdict::Accepted);
        }
    }
}
