//! What waits to be written to one connection: bounded in bytes, shared bytes, woken by whoever adds.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::limits;
use crate::stomp::CloseCode;

/// A bounded queue. Who cannot keep up loses the connection, never a message in silence (invariant S8).
#[derive(Debug, Default)]
pub struct Outbox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    close: Option<CloseCode>,
    /// What was queued when the end came was dropped.
    aborted: bool,
    /// The hub has more for this connection as soon as there is room.
    wants_more: bool,
    waker: Option<Waker>,
}

/// What [`Outbox::poll_take`] took.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To be written, in this order.
    pub frames: Vec<Bytes>,
    /// To be closed with this code once the frames are written.
    pub close: Option<CloseCode>,
    /// The hub has to be told that there is room again.
    pub wants_more: bool,
}

impl Outbox {
    /// Adds a frame behind the others. Beyond the limit the connection is lost: what waits is dropped, and the close code says why.
    pub fn push(&self, frame: Bytes) {
        let mut queue = self.lock();
        if queue.close.is_some() {
            return;
        }
        queue.bytes += frame.len();
        if queue.bytes > limits::OUTBOX_BYTES_MAX {
            queue.lose(CloseCode::TooSlow);
        } else {
            queue.frames.push_back(frame);
        }
        queue.wake();
    }

    /// Closes after what is queued.
    pub fn close(&self, code: CloseCode) {
        let mut queue = self.lock();
        queue.close.get_or_insert(code);
        queue.wake();
    }

    /// Closes at once: nothing that is queued is written (invariant S1).
    pub fn abort(&self, code: CloseCode) {
        let mut queue = self.lock();
        queue.lose(code);
        queue.wake();
    }

    /// Whether a replay should wait for the reader.
    pub fn is_half_full(&self) -> bool {
        self.lock().bytes > limits::OUTBOX_BYTES_MAX / 2
    }

    /// Asks to be told, by [`Taken::wants_more`], when there is room.
    pub fn ask_for_room(&self) {
        let mut queue = self.lock();
        queue.wants_more = true;
        queue.wake();
    }

    /// Takes about [`limits::WRITE_BYTES_MAX`], or waits until there is something to take.
    pub fn poll_take(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let mut queue = self.lock();
        let taken = queue.take();
        if taken == Taken::default() {
            queue.waker = Some(context.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(taken)
        }
    }

    /// Waits until the connection may be told nothing more, because its session or its token has ended: whoever is writing what was
    /// taken before has to stop. In the place of [`poll_take`](Self::poll_take), never beside it.
    pub fn poll_revoked(&self, context: &mut Context<'_>) -> Poll<CloseCode> {
        let mut queue = self.lock();
        match queue.close {
            Some(code @ (CloseCode::SessionEnded | CloseCode::TokenExpired)) if queue.aborted => Poll::Ready(code),
            _ => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here can panic half-way, so a poisoned lock holds a good queue.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn lose(&mut self, code: CloseCode) {
        self.close = Some(code);
        self.aborted = true;
        self.frames = VecDeque::new();
        self.bytes = 0;
    }

    fn take(&mut self) -> Taken {
        let mut taken = Taken::default();
        let mut size = 0;
        while size < limits::WRITE_BYTES_MAX {
            let Some(frame) = self.frames.pop_front() else { break };
            size += frame.len();
            taken.frames.push(frame);
        }
        self.bytes = self.bytes.saturating_sub(size);
        if self.frames.is_empty() {
            taken.close = self.close;
        }
        if self.wants_more && self.bytes <= limits::OUTBOX_BYTES_MAX / 2 {
            self.wants_more = false;
            taken.wants_more = true;
        }
        taken
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(outbox: &Outbox) -> Option<Taken> {
        match outbox.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }

    #[test]
    fn s8_beyond_the_limit_the_connection_is_lost_and_its_memory_is_free() {
        let outbox = Outbox::default();
        let frame = Bytes::from(vec![0; limits::OUTBOX_BYTES_MAX / 4]);
        for _ in 0..4 {
            outbox.push(frame.clone());
        }
        assert_eq!(outbox.lock().bytes, limits::OUTBOX_BYTES_MAX);
        outbox.push(Bytes::from_static(b"x"));
        assert_eq!(outbox.lock().bytes, 0);
        assert_eq!(take(&outbox), Some(Taken { close: Some(CloseCode::TooSlow), ..Taken::default() }));
    }

    #[test]
    fn s1_only_the_end_of_the_entitlement_stops_a_writer() {
        let is_stopped =
            |outbox: &Outbox| outbox.poll_revoked(&mut Context::from_waker(Waker::noop())) != Poll::Pending;
        for (code, expect) in
            [(CloseCode::SessionEnded, true), (CloseCode::TokenExpired, true), (CloseCode::TooSlow, false)]
        {
            let (aborted, closed) = (Outbox::default(), Outbox::default());
            assert!(!is_stopped(&aborted));
            aborted.abort(code);
            closed.close(code);
            assert_eq!((is_stopped(&aborted), is_stopped(&closed)), (expect, false), "{code:?}");
        }
    }

    #[test]
    fn what_is_queued_goes_before_a_close_and_not_before_an_abort() {
        for (abort, frames) in [(false, 1), (true, 0)] {
            let outbox = Outbox::default();
            assert_eq!(take(&outbox), None);
            outbox.push(Bytes::from_static(b"x"));
            if abort {
                outbox.abort(CloseCode::SessionEnded);
            } else {
                outbox.close(CloseCode::SessionEnded);
            }
            outbox.push(Bytes::from_static(b"too late"));
            let taken = take(&outbox).unwrap();
            assert_eq!((taken.frames.len(), taken.close), (frames, Some(CloseCode::SessionEnded)));
        }
    }
}
