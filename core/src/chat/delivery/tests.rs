//! The hub's promises, over a store of a few lines and events that come late, twice, in the wrong order or never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::chat::{Destination, Message, NewMessage, Text, Translation, TranslationStatus};
use crate::id::{ConnectionId, Revision, RoomId, Seq, SubscriptionId, UserId};
use crate::limits;
use crate::ports::{Event, Head, Publication};
use crate::stomp::{CloseCode, Subscribe};
use crate::time::Timestamp;
use crate::translate::Language;

/// A room's messages as a store has them: all visible up to `published`.
#[derive(Default)]
struct Store {
    messages: Vec<Message>,
    published: u64,
}

impl Store {
    fn append(&mut self, pending: bool) -> Arc<Publication> {
        let korean = Language::new("ko").unwrap();
        let translation = if pending { Translation::pending(1) } else { Translation::skipped(1) };
        let new = NewMessage {
            id: format!("{:024x}", self.messages.len()).parse().unwrap(),
            room: room(),
            sender: UserId::new(1).unwrap(),
            client_id: None,
            text: Text::new("hello").unwrap(),
            source: None,
            shown: Some(korean.clone()),
            translations: BTreeMap::from([(korean, translation)]),
            sent_at: Timestamp::from_millis(1),
        };
        let message = Message::stored(new, Seq(self.messages.len() as u64 + 1));
        self.messages.push(message.clone());
        publication(message)
    }

    fn publish(&mut self) -> Option<Arc<Publication>> {
        let message = self.messages.get(usize::try_from(self.published).unwrap())?;
        self.published += 1;
        Some(publication(message.clone()))
    }

    fn translate(&mut self, seq: usize) -> Option<Arc<Publication>> {
        let message = self.messages.get_mut(seq)?;
        let mut result = Translation::pending(1);
        result.status = TranslationStatus::Completed;
        let changed = message.apply(&Language::new("ko").unwrap(), &result, Timestamp::from_millis(2));
        changed.then(|| publication(message.clone()))
    }

    fn head(&self) -> Head {
        Head {
            room: room(),
            head: Seq(self.messages.len() as u64),
            published: Seq(self.published),
            last: None,
            changed_at: Timestamp::from_millis(1),
        }
    }

    fn after(&self, lane: LaneKind, after: Seq, limit: usize) -> Vec<Arc<Publication>> {
        let end = if lane == LaneKind::Visible { self.published } else { self.messages.len() as u64 };
        let fits = |message: &&Message| message.seq > after && message.seq.0 <= end;
        self.messages.iter().filter(fits).take(limit).cloned().map(publication).collect()
    }

    fn serve(&self, hub: &Hub, need: Need) -> Vec<Need> {
        let step = 3;
        match need {
            Need::Head { room, lane } => hub.head(room, lane, &self.head()),
            Need::History { room, lane, after } => hub.history(room, lane, &self.after(lane, after, step)),
            Need::Replay { room, lane, connection, subscription, after } => hub.replay(
                (room, lane),
                (connection, subscription),
                after,
                &self.head(),
                &self.after(lane, after, step),
            ),
        }
    }
}

fn publication(message: Message) -> Arc<Publication> {
    Arc::new(Publication { message, sender_email: "alice@example.com".to_owned() })
}

fn room() -> RoomId {
    RoomId::new(42).unwrap()
}

fn connection(number: u32) -> ConnectionId {
    format!("{number:016x}").parse().unwrap()
}

fn connect(hub: &Hub, number: u32) -> Arc<Outbox> {
    let outbox = Arc::<Outbox>::default();
    hub.connect(Link {
        connection: connection(number),
        user: UserId::new(u64::from(number) + 1).unwrap(),
        session: format!("{number:032x}").parse().unwrap(),
        outbox: outbox.clone(),
    });
    outbox
}

fn subscription(id: &str, last: Option<u64>, immediate: bool) -> Subscribe {
    Subscribe {
        id: SubscriptionId::new(id).unwrap(),
        destination: Destination::Room(room()),
        last_seq: last.map(Seq),
        immediate,
    }
}

/// Serves whatever is needed until nothing is.
fn settle(hub: &Hub, store: &Store, mut needs: Vec<Need>) {
    for _ in 0..10_000 {
        let Some(need) = needs.pop() else { return };
        needs.extend(store.serve(hub, need));
    }
    panic!("the hub never has enough");
}

fn take(outbox: &Outbox) -> Taken {
    let mut all = Taken::default();
    while let Poll::Ready(taken) = outbox.poll_take(&mut Context::from_waker(Waker::noop())) {
        all.frames.extend(taken.frames);
        all.wants_more |= taken.wants_more;
        if taken.close.is_some() {
            return Taken { close: taken.close, ..all };
        }
    }
    all
}

/// What came: place and state of each message, and `None` for a reset.
fn delivered(outbox: &Outbox) -> Vec<Option<(Seq, Revision)>> {
    let id = |frame: &[u8]| {
        let text = std::str::from_utf8(frame).unwrap().to_owned();
        let id = text.lines().find_map(|line| line.strip_prefix("message-id:")).unwrap().to_owned();
        let parts: Vec<&str> = id.split('@').next().unwrap().split('-').collect();
        (parts[1] != "reset").then(|| (Seq(parts[1].parse().unwrap()), Revision(parts[2].parse().unwrap())))
    };
    take(outbox).frames.iter().map(|frame| id(frame)).collect()
}

#[test]
fn a_message_to_a_thousand_subscribers_with_one_id_is_encoded_once() {
    let (hub, mut store) = (Hub::default(), Store::default());
    let outboxes: Vec<_> = (0..1_000).map(|number| connect(&hub, number)).collect();
    for number in 0..1_000 {
        settle(&hub, &store, hub.subscribe(connection(number), &subscription("sub-0", None, false)));
    }
    store.append(false);
    let message = store.publish().unwrap();
    assert_eq!(hub.event(&Event::Published(vec![message])), []);
    let counters = hub.counters();
    assert_eq!((counters.encoded, counters.delivered), (1, 1_000));
    let frames: Vec<_> = outboxes.iter().map(|outbox| take(outbox).frames).collect();
    let first = frames[0][0].as_ptr();
    assert!(frames.iter().all(|frames| frames.len() == 1 && frames[0].as_ptr() == first), "the bytes are not shared");
}

#[test]
fn two_subscriptions_of_one_connection_are_both_delivered_to_with_their_own_id() {
    let (hub, mut store) = (Hub::default(), Store::default());
    let outbox = connect(&hub, 0);
    for id in ["sub-0", "sub-1"] {
        settle(&hub, &store, hub.subscribe(connection(0), &subscription(id, None, false)));
    }
    store.append(false);
    hub.event(&Event::Published(vec![store.publish().unwrap()]));
    let heads: Vec<String> = take(&outbox)
        .frames
        .iter()
        .map(|frame| String::from_utf8_lossy(frame).lines().nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(heads, ["subscription:sub-0", "subscription:sub-1"]);
}

#[test]
fn a_last_seq_too_old_or_beyond_the_head_is_answered_with_reset() {
    let (hub, mut store) = (Hub::default(), Store::default());
    for _ in 0..limits::REPLAY_MAX + 5 {
        store.append(false);
        store.publish();
    }
    for (number, last, reset) in
        [(0, 4, true), (1, 5, false), (2, limits::REPLAY_MAX + 6, true), (3, limits::REPLAY_MAX + 5, false)]
    {
        let outbox = connect(&hub, number);
        settle(&hub, &store, hub.subscribe(connection(number), &subscription("s", Some(last), false)));
        let came = delivered(&outbox);
        assert_eq!(came.first() == Some(&None), reset, "last-seq {last}");
        assert_eq!(came.len() as u64, if reset { 1 } else { limits::REPLAY_MAX + 5 - last }, "last-seq {last}");
    }
}

#[test]
fn c4_a_replay_that_waits_for_its_reader_asks_for_nothing_twice() {
    let (hub, mut store) = (Hub::default(), Store::default());
    for _ in 0..9 {
        store.append(false);
        store.publish();
    }
    let outbox = connect(&hub, 0);
    let mut needs = hub.subscribe(connection(0), &subscription("s", Some(0), false));
    let head = needs.remove(0);
    needs.extend(store.serve(&hub, head));
    let [replay] = needs.as_slice() else { panic!("{needs:?}") };
    // The reader has room while the store is still being read: that is no reason to read again.
    assert_eq!(hub.resume(connection(0)), []);
    let next = store.serve(&hub, replay.clone());
    assert_eq!(store.serve(&hub, replay.clone()), [], "an answer counts once");
    settle(&hub, &store, next);
    assert_eq!(delivered(&outbox), (1..=9).map(|seq| Some((Seq(seq), Revision(0)))).collect::<Vec<_>>());
    // A reader that is behind with its reading is fed when it has caught up.
    let slow = connect(&hub, 1);
    slow.push(vec![0; limits::OUTBOX_BYTES_MAX / 2 + 1].into());
    settle(&hub, &store, hub.subscribe(connection(1), &subscription("s", Some(0), false)));
    let mut waited = take(&slow);
    assert_eq!((waited.frames.len(), waited.wants_more), (1, true));
    settle(&hub, &store, hub.resume(connection(1)));
    waited = take(&slow);
    assert_eq!(waited.frames.len(), 9);
}

#[test]
fn what_was_purged_before_a_last_seq_is_answered_with_reset() {
    let (hub, mut store) = (Hub::default(), Store::default());
    for _ in 0..10 {
        store.append(false);
        store.publish();
    }
    store.messages.drain(..5);
    let outbox = connect(&hub, 0);
    settle(&hub, &store, hub.subscribe(connection(0), &subscription("s", Some(2), false)));
    assert_eq!(delivered(&outbox), [None]);
}

#[test]
fn a_late_translation_reaches_those_who_asked_for_updates_and_nobody_else() {
    let (hub, mut store) = (Hub::default(), Store::default());
    let (plain, immediate) = (connect(&hub, 0), connect(&hub, 1));
    settle(&hub, &store, hub.subscribe(connection(0), &subscription("s", None, false)));
    settle(&hub, &store, hub.subscribe(connection(1), &subscription("s", None, true)));
    let message = store.append(true);
    hub.event(&Event::Appended(message));
    assert_eq!((delivered(&plain), delivered(&immediate)), (vec![], vec![Some((Seq(1), Revision(0)))]));
    let released = store.publish().unwrap();
    hub.event(&Event::Published(vec![released]));
    assert_eq!((delivered(&plain), delivered(&immediate)), (vec![Some((Seq(1), Revision(0)))], vec![]));
    let late = store.translate(0).unwrap();
    hub.event(&Event::Updated(late.clone()));
    hub.event(&Event::Updated(late));
    assert_eq!((delivered(&plain), delivered(&immediate)), (vec![], vec![Some((Seq(1), Revision(1)))]));
}

#[test]
fn s1_an_ended_session_is_written_nothing_more() {
    let (hub, mut store) = (Hub::default(), Store::default());
    let outbox = connect(&hub, 7);
    settle(&hub, &store, hub.subscribe(connection(7), &subscription("s", None, false)));
    store.append(false);
    hub.event(&Event::Published(vec![store.publish().unwrap()]));
    hub.event(&Event::SessionEnded(format!("{:032x}", 7).parse().unwrap()));
    assert_eq!(take(&outbox), Taken { close: Some(CloseCode::SessionEnded), ..Taken::default() });
}

#[test]
fn s7_a_closed_connection_leaves_nothing_behind() {
    let (hub, store) = (Hub::default(), Store::default());
    let _outbox = connect(&hub, 0);
    settle(&hub, &store, hub.subscribe(connection(0), &subscription("a", None, false)));
    settle(&hub, &store, hub.subscribe(connection(0), &subscription("b", Some(0), true)));
    hub.disconnect(connection(0));
    assert_eq!((hub.counters().connections, hub.counters().rooms), (0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Append {
        pending: bool,
    },
    Publish,
    Translate(usize),
    /// One of the events on their way arrives.
    Arrive(usize),
    /// One of them is lost.
    Lose(usize),
    /// One of the hub's needs is served.
    Serve(usize),
    Subscribe {
        resume: bool,
        immediate: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|pending| Step::Append { pending }),
        4 => Just(Step::Publish),
        2 => (0..20usize).prop_map(Step::Translate),
        6 => any::<usize>().prop_map(Step::Arrive),
        1 => any::<usize>().prop_map(Step::Lose),
        6 => any::<usize>().prop_map(Step::Serve),
        2 => any::<(bool, bool)>().prop_map(|(resume, immediate)| Step::Subscribe { resume, immediate }),
    ];
    proptest::collection::vec(step, 0..120)
}

/// A listener and where it began; `None` for whatever comes next.
struct Listening {
    outbox: Arc<Outbox>,
    resumed: Option<u64>,
    immediate: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn c4_c5_c8_c9_whatever_the_bus_does_each_listener_gets_its_messages_once_and_in_order(steps in steps()) {
        let (hub, mut store) = (Hub::default(), Store::default());
        let (mut events, mut needs, mut listening) = (Vec::new(), Vec::new(), Vec::<Listening>::new());
        for step in steps {
            match step {
                Step::Append { pending } => events.push(Event::Appended(store.append(pending))),
                Step::Publish => events.extend(store.publish().map(|message| Event::Published(vec![message]))),
                Step::Translate(seq) => events.extend(store.translate(seq).map(Event::Updated)),
                Step::Arrive(which) if !events.is_empty() => {
                    let event = events.remove(which % events.len().min(4));
                    needs.extend(hub.event(&event));
                }
                Step::Lose(which) if !events.is_empty() => drop(events.remove(which % events.len())),
                Step::Serve(which) if !needs.is_empty() => {
                    let need = needs.remove(which % needs.len());
                    needs.extend(store.serve(&hub, need));
                }
                Step::Subscribe { resume, immediate } => {
                    let number = u32::try_from(listening.len()).unwrap();
                    let outbox = connect(&hub, number);
                    let resumed = resume.then_some(store.published / 2);
                    needs.extend(hub.subscribe(connection(number), &subscription("s", resumed, immediate)));
                    listening.push(Listening { outbox, resumed, immediate });
                }
                Step::Arrive(_) | Step::Lose(_) | Step::Serve(_) => {}
            }
        }
        // All heals: the rest arrives, and what was lost is found by comparing heads.
        for event in events {
            needs.extend(hub.event(&event));
        }
        settle(&hub, &store, needs);
        settle(&hub, &store, hub.compare(&store.head()));
        for Listening { outbox, resumed, immediate } in listening {
            let came: Vec<(Seq, Revision)> = delivered(&outbox).into_iter().map(|came| came.expect("nothing is too old here")).collect();
            let unique: BTreeSet<_> = came.iter().collect();
            prop_assert_eq!(unique.len(), came.len(), "a state came twice: {:?}", &came);
            let mut first = Vec::new();
            for (seq, _) in &came {
                if !first.contains(seq) {
                    first.push(*seq);
                }
            }
            let head = if immediate { store.messages.len() as u64 } else { store.published };
            let begin = match resumed {
                Some(resumed) => resumed + 1,
                // It begins with whatever comes next, and from then on has all.
                None => first.first().map_or(head + 1, |seq| seq.0),
            };
            let expect: Vec<Seq> = (begin..=head).map(Seq).collect();
            // A listener may also be told newer states of what came before it began.
            let places: Vec<Seq> = first.iter().copied().filter(|seq| seq.0 >= begin).collect();
            if resumed.is_some() || !immediate {
                prop_assert_eq!(&places, &expect);
            }
            if !immediate {
                prop_assert_eq!(came.len(), first.len(), "the first state stands");
            }
        }
    }
}
