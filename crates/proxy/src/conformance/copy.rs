//! A copy of a body that passes by, as far as it is not long.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

/// Longer bodies are not looked at, in bytes.
const LONGEST: usize = 64 * 1024;

/// Shared by whoever passes the body on and whoever looks at it later. Nothing is copied but references to what was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copy(Rc<RefCell<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    pieces: Vec<Bytes>,
    bytes: usize,
    ended: bool,
    overflown: bool,
}

impl Copy {
    /// A piece passes by.
    pub(crate) fn take(&self, piece: &Bytes) {
        let mut taken = self.0.borrow_mut();
        if taken.overflown {
            return;
        }
        taken.bytes += piece.len();
        if taken.bytes > LONGEST {
            taken.overflown = true;
            taken.pieces = Vec::new();
        } else {
            taken.pieces.push(piece.clone());
        }
    }

    /// There is no more.
    pub(crate) fn ended(&self) {
        self.0.borrow_mut().ended = true;
    }

    /// The pieces of the whole body; none if it was long, or did not end.
    pub(super) fn pieces(&self) -> Option<Vec<Bytes>> {
        let mut taken = self.0.borrow_mut();
        (taken.ended && !taken.overflown).then(|| std::mem::take(&mut taken.pieces))
    }
}
