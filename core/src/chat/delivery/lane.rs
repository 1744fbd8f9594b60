//! One lane of a room: its live listeners share a position, those behind have a cursor each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::encoder::{Encoder, reset_frame};
use super::outbox::Outbox;
use crate::id::{ConnectionId, Revision, RoomId, Seq, SubscriptionId};
use crate::limits;
use crate::ports::Publication;

/// Which messages a lane shows, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    /// Each message once, when it becomes visible.
    Visible,
    /// Each message as soon as it is stored, and again whenever its state changes.
    Immediate,
}

/// One subscription of one connection.
pub(super) type Listener = (ConnectionId, SubscriptionId);

/// A live listener.
struct Live {
    outbox: Arc<Outbox>,
    /// Which states it was given from the store, where they may differ from what the lane saw.
    seen: BTreeMap<Seq, Revision>,
}

/// A listener that is behind.
struct Behind {
    outbox: Arc<Outbox>,
    /// The last message that it has; `None` for one that begins with whatever comes next.
    cursor: Option<Seq>,
    /// Whether the cursor is the client's word (`last-seq`) and not yet checked against the store.
    claimed: bool,
    /// Whether the store is being read for it.
    reading: bool,
    /// Whether it waits until its reader has caught up.
    paused: bool,
    seen: BTreeMap<Seq, Revision>,
}

/// What came back from the store for a listener that is behind.
#[derive(Debug)]
pub(super) struct Replayed<'a> {
    /// After which number was asked.
    pub(super) after: Seq,
    /// The last number of this lane in the store, when it was read.
    pub(super) head: Seq,
    /// What comes after the cursor, in order.
    pub(super) messages: &'a [Arc<Publication>],
}

pub(super) struct Lane {
    kind: LaneKind,
    room: RoomId,
    /// What the live listeners have; `None` until the store was asked.
    position: Option<Seq>,
    /// Whether the store is being read for the lane.
    reading: bool,
    live: BTreeMap<SubscriptionId, BTreeMap<ConnectionId, Live>>,
    behind: BTreeMap<Listener, Behind>,
    /// What came before its predecessors did.
    ahead: BTreeMap<Seq, Arc<Publication>>,
    /// The greatest number that was heard of.
    heard: Seq,
    /// The newest known state of the latest messages, on the immediate lane.
    recent: BTreeMap<Seq, Arc<Publication>>,
    pub(super) encoded: u64,
    pub(super) delivered: u64,
}

/// What a lane wants read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LaneNeed {
    /// Where the lane stands.
    Head,
    /// What comes after the position.
    History { after: Seq },
    /// What comes after a listener's cursor.
    Replay { listener: Listener, after: Seq },
}

impl Lane {
    pub(super) fn new(kind: LaneKind, room: RoomId) -> Self {
        Self {
            kind,
            room,
            position: None,
            reading: false,
            live: BTreeMap::new(),
            behind: BTreeMap::new(),
            ahead: BTreeMap::new(),
            heard: Seq::ZERO,
            recent: BTreeMap::new(),
            encoded: 0,
            delivered: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.behind.is_empty()
    }

    /// Whether a listener who did not say where to begin would begin at once.
    pub(super) fn is_placed(&self) -> bool {
        self.position.is_some()
    }

    /// A new listener, with what it says it has, or else where the store stood when it asked.
    pub(super) fn join(
        &mut self,
        listener: Listener,
        outbox: Arc<Outbox>,
        (last, head): (Option<Seq>, Option<Seq>),
        needs: &mut Vec<LaneNeed>,
    ) {
        let behind = Behind {
            outbox,
            cursor: last.or(head),
            claimed: last.is_some(),
            reading: false,
            paused: false,
            seen: BTreeMap::new(),
        };
        self.behind.insert(listener, behind);
        if self.position.is_none() && !self.reading {
            self.reading = true;
            needs.push(LaneNeed::Head);
        }
        self.settle(needs);
    }

    pub(super) fn leave(&mut self, listener: &Listener) {
        self.behind.remove(listener);
        let (connection, id) = listener;
        if let Some(group) = self.live.get_mut(id) {
            group.remove(connection);
            if group.is_empty() {
                self.live.remove(id);
            }
        }
    }

    /// Where the lane stands in the store. What was published since then came as an event, and waits in `ahead`.
    pub(super) fn loaded(&mut self, head: Seq, needs: &mut Vec<LaneNeed>) {
        self.reading = false;
        if self.position.is_none() {
            self.position = Some(head);
        }
        self.advance(needs);
    }

    /// How far the store has come, unasked.
    pub(super) fn compare(&mut self, head: Seq, needs: &mut Vec<LaneNeed>) {
        self.heard = self.heard.max(head);
        self.advance(needs);
    }

    /// A message in its newest state: the next one, a later one, or one that was shown before.
    pub(super) fn publish(&mut self, publication: &Arc<Publication>, encoder: &mut Encoder, needs: &mut Vec<LaneNeed>) {
        let seq = publication.message.seq;
        self.heard = self.heard.max(seq);
        match self.position {
            Some(position) if seq <= position => self.update(publication, encoder),
            Some(position) if seq == position.next() => {
                self.show(publication, encoder);
                self.advance(needs);
            }
            _ => {
                if self.ahead.len() < limits::AHEAD_MAX {
                    self.ahead.insert(seq, publication.clone());
                }
                self.advance(needs);
            }
        }
    }

    /// What the store has after the position. Numbers that are missing in it are gone for good (retention), so the position may jump.
    pub(super) fn history(&mut self, messages: &[Arc<Publication>], needs: &mut Vec<LaneNeed>) {
        self.reading = false;
        let Some(position) = self.position else { return };
        for publication in messages.iter().filter(|publication| publication.message.seq > position) {
            self.show(publication, &mut Encoder::new(publication.clone()));
        }
        if messages.is_empty() {
            // The store does not know what was heard of: it is read again when something is heard again.
            self.heard = position;
            self.ahead.clear();
        }
        self.advance(needs);
    }

    /// What the store has for a listener that is behind.
    pub(super) fn replayed(&mut self, listener: &Listener, replayed: &Replayed<'_>, needs: &mut Vec<LaneNeed>) {
        let Some(behind) = self.behind.get_mut(listener) else { return };
        let cursor = replayed.after;
        // Asked twice, or by an earlier subscription of this id: the answer for this cursor counts, and counts once.
        if !behind.reading || behind.cursor != Some(cursor) {
            return;
        }
        behind.reading = false;
        if std::mem::take(&mut behind.claimed) {
            let first = replayed.messages.first().map(|publication| publication.message.seq);
            let gap = replayed.head.0.saturating_sub(cursor.0) > limits::REPLAY_MAX;
            let lost = first.is_some_and(|first| first > cursor.next()) || (first.is_none() && cursor < replayed.head);
            if cursor > replayed.head || gap || lost {
                behind.outbox.push(reset_frame(self.room, &listener.1, replayed.head));
                behind.cursor = Some(replayed.head);
                return self.settle(needs);
            }
        }
        for publication in replayed.messages {
            if behind.outbox.is_half_full() {
                // The rest is read again when the reader has caught up: a replay is paced by its socket.
                behind.paused = true;
                behind.outbox.ask_for_room();
                return;
            }
            let mut encoder = Encoder::new(publication.clone());
            behind.outbox.push(encoder.frame(&listener.1));
            behind.cursor = Some(publication.message.seq);
            if self.kind == LaneKind::Immediate {
                behind.seen.insert(publication.message.seq, publication.message.revision);
                if behind.seen.len() as u64 > limits::REPLAY_MAX {
                    behind.seen.pop_first();
                }
            }
            self.encoded += 1;
            self.delivered += 1;
        }
        if replayed.messages.is_empty() && behind.cursor.is_none_or(|cursor| cursor < replayed.head) {
            // All that was between is gone.
            behind.cursor = Some(replayed.head);
        }
        self.settle(needs);
    }

    /// There is room again in a listener's outbox.
    pub(super) fn resume(&mut self, listener: &Listener, needs: &mut Vec<LaneNeed>) {
        if let Some(behind) = self.behind.get_mut(listener).filter(|behind| behind.paused) {
            behind.paused = false;
            self.settle(needs);
        }
    }

    /// The next message, to everybody who is live.
    fn show(&mut self, publication: &Arc<Publication>, encoder: &mut Encoder) {
        self.position = Some(publication.message.seq);
        self.remember(publication);
        let before = encoder.encoded;
        for (id, group) in &self.live {
            let frame = encoder.frame(id);
            for live in group.values() {
                live.outbox.push(frame.clone());
            }
            self.delivered += group.len() as u64;
        }
        self.encoded += encoder.encoded - before;
    }

    /// A newer state of a message that was shown. On the visible lane the first state stands.
    fn update(&mut self, publication: &Arc<Publication>, encoder: &mut Encoder) {
        let (seq, revision) = (publication.message.seq, publication.message.revision);
        let known = self.recent.get(&seq).is_some_and(|recent| recent.message.revision >= revision);
        // The first state is no news: whoever is live has it, or began after it.
        if self.kind == LaneKind::Visible || known || revision == Revision::default() {
            return;
        }
        self.remember(publication);
        let before = encoder.encoded;
        for (id, group) in &self.live {
            for live in group.values().filter(|live| live.seen.get(&seq).is_none_or(|seen| *seen < revision)) {
                live.outbox.push(encoder.frame(id));
                self.delivered += 1;
            }
        }
        self.encoded += encoder.encoded - before;
    }

    fn remember(&mut self, publication: &Arc<Publication>) {
        if self.kind == LaneKind::Immediate {
            self.recent.insert(publication.message.seq, publication.clone());
            while self.recent.len() > limits::AHEAD_MAX {
                self.recent.pop_first();
            }
        }
    }

    /// Shows what waited and is now next; asks the store for what is missing before the rest.
    fn advance(&mut self, needs: &mut Vec<LaneNeed>) {
        let Some(mut position) = self.position else { return };
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() > position.next() {
                break;
            }
            let publication = first.remove();
            let mut encoder = Encoder::new(publication.clone());
            if publication.message.seq > position {
                position = publication.message.seq;
                self.show(&publication, &mut encoder);
            } else {
                self.update(&publication, &mut encoder);
            }
        }
        if self.heard > position && !self.reading {
            self.reading = true;
            needs.push(LaneNeed::History { after: position });
        }
        self.settle(needs);
    }

    /// Moves those who have caught up among the live, and asks the store for the others.
    fn settle(&mut self, needs: &mut Vec<LaneNeed>) {
        let Some(position) = self.position else { return };
        let mut caught_up = Vec::new();
        for (listener, behind) in &mut self.behind {
            match behind.cursor {
                _ if behind.reading || behind.paused => {}
                None => caught_up.push(listener.clone()),
                Some(cursor) if cursor == position && !behind.claimed => caught_up.push(listener.clone()),
                // It has more than the lane: the events are on their way.
                Some(cursor) if cursor > position && !behind.claimed => {}
                Some(cursor) => {
                    behind.reading = true;
                    needs.push(LaneNeed::Replay { listener: listener.clone(), after: cursor });
                }
            }
        }
        for listener in caught_up {
            self.go_live(listener);
        }
    }

    fn go_live(&mut self, listener: Listener) {
        let Some(behind) = self.behind.remove(&listener) else { return };
        let (connection, id) = listener;
        let mut live = Live { outbox: behind.outbox, seen: behind.seen };
        // States that came while it was reading.
        for (seq, recent) in &self.recent {
            if live.seen.get(seq).is_some_and(|seen| *seen < recent.message.revision) {
                live.outbox.push(Encoder::new(recent.clone()).frame(&id));
                live.seen.insert(*seq, recent.message.revision);
                self.encoded += 1;
                self.delivered += 1;
            }
        }
        self.live.entry(id).or_default().insert(connection, live);
    }
}
