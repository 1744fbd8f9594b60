//! Broken messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryStore;
use transtalk_core::chat::{Message, NewMessage, Text, Translation, TranslationStatus};
use transtalk_core::contract::{messages::LAWS, run};
use transtalk_core::ports::{Appended, Changed, Head, Messages, MessagesError, Page, StoreError, Unread};
use transtalk_core::translate::Language;
use transtalk_core::{ClientMessageId, MessageId, Revision, RoomId, Seq, Timestamp, UserId};

use crate::{bugs, check, others_first};

bugs! {
    NumbersFromZero,
    NumbersAcrossRooms,
    ReversesBatches,
    RefusesEmptyBatches,
    RacesForNumbers,
    ForgetsTheSource,
    FindsTheNearest,
    CutsAtNul,
    TrimsTexts,
    ForgetsClientIds,
    RepeatsTheFirstForm,
    ForgetsClientIdsOfTheBatch,
    RacesToRepeat,
    AcceptsAnotherText,
    RefusesAtTheWrongPlace,
    StoresBeforeItRefuses,
    SharesClientIds,
    GuessesRepeats,
    ConcealsWhatIsVisible,
    ShowsThePending,
    ShowsTheSettledAtOnce,
    PublishesInReverse,
    KeepsTheRevision,
    SettlesWithTheFirstLanguage,
    IgnoresFailures,
    AnswersLateResults,
    IgnoresVersions,
    AnswersTheUnknown,
    RacesToTranslate,
    IgnoresReleases,
    ReleasesTooLittle,
    ReleasesAgain,
    ReleasesAhead,
    PublishesLateResults,
    TranslatesEveryRoom,
    AfterIncludesTheNumber,
    BeforeIncludesTheNumber,
    BeforeShowsTheHidden,
    PagesFromTheOldest,
    IgnoresAnchors,
    CountsTheHiddenOnPages,
    SortsHeads,
    HeadsShowTheHidden,
    HeadsForgetChanges,
    CountsOnesOwn,
    CountsTheHidden,
    SortsUnread,
    CountsWithoutALimit,
    FindsTheNewestWork,
    FindsOnlyPendingOnesHidden,
    PurgesTheMomentItself,
    PurgesWithoutALimit,
    PurgesTheHidden,
    WorksOnThePurged,
    NumbersAnewAfterAPurge,
}

#[derive(Default)]
struct Broken {
    store: MemoryStore,
    bug: Option<Bug>,
    memo: Mutex<Memo>,
}

/// What some bugs need to remember.
#[derive(Default)]
struct Memo {
    stored: u64,
    rooms: BTreeSet<RoomId>,
    client_ids: BTreeMap<(RoomId, ClientMessageId), (UserId, Seq)>,
    released: BTreeMap<RoomId, Seq>,
    purged: Vec<Message>,
}

impl Broken {
    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap()
    }

    /// The batch as the bug sees it.
    fn garbled(&self, new: &NewMessage, before: &[NewMessage]) -> NewMessage {
        let mut new = new.clone();
        let text = new.text.as_str();
        match self.bug {
            Some(Bug::CutsAtNul) => new.text = Text::new(text.split('\0').next().unwrap()).unwrap(),
            Some(Bug::TrimsTexts) => new.text = Text::new(text.trim()).unwrap(),
            Some(Bug::ForgetsClientIds) => new.client_id = None,
            Some(Bug::ForgetsClientIdsOfTheBatch) if before.iter().any(|one| one.client_id == new.client_id) => {
                new.client_id = None;
            }
            Some(Bug::GuessesRepeats) if new.client_id.is_none() => new.client_id = ClientMessageId::new(text).ok(),
            _ => {}
        }
        new
    }

    fn is_taken(&self, new: &NewMessage) -> Option<(UserId, Seq)> {
        let client_id = new.client_id.clone()?;
        self.memo().client_ids.get(&(new.room, client_id)).copied()
    }

    /// What the store answers to a batch that is refused, if the bug knows better.
    async fn refused(&self, batch: &[NewMessage], index: usize) -> Result<Vec<Appended>, MessagesError> {
        match self.bug {
            Some(Bug::AcceptsAnotherText) => {
                let mut batch = batch.to_vec();
                batch[index].client_id = None;
                self.store.append(&batch).await
            }
            Some(Bug::StoresBeforeItRefuses) => {
                self.store.append(&batch[..index]).await?;
                Err(MessagesError::IdReused { index })
            }
            Some(Bug::RefusesAtTheWrongPlace) => Err(MessagesError::IdReused { index: 0 }),
            _ => Err(MessagesError::IdReused { index }),
        }
    }

    /// An answer as the bug gives it.
    fn told(&self, new: &NewMessage, appended: Appended, was_taken: bool, number: Seq) -> Appended {
        let total = {
            let mut memo = self.memo();
            memo.stored += u64::from(matches!(appended, Appended::Stored { .. }));
            memo.rooms.insert(new.room);
            if let Some(client_id) = new.client_id.clone() {
                let seq = appended.message().seq;
                memo.client_ids.entry((new.room, client_id)).or_insert((new.sender, seq));
            }
            Seq(memo.stored)
        };
        match (self.bug, appended) {
            (Some(Bug::NumbersFromZero), Appended::Stored { message, visible }) => {
                Appended::Stored { message: Message { seq: Seq(message.seq.0 - 1), ..message }, visible }
            }
            (Some(Bug::NumbersAcrossRooms), Appended::Stored { message, visible }) => {
                Appended::Stored { message: Message { seq: total, ..message }, visible }
            }
            (Some(Bug::RacesForNumbers), Appended::Stored { message, visible }) => {
                Appended::Stored { message: Message { seq: number, ..message }, visible }
            }
            (Some(Bug::RepeatsTheFirstForm), Appended::Known(message)) => {
                let first = NewMessage { id: message.id, sent_at: message.sent_at, ..new.clone() };
                Appended::Known(Message::stored(first, message.seq))
            }
            (Some(Bug::RacesToRepeat), Appended::Known(message)) if !was_taken => {
                Appended::Stored { message, visible: true }
            }
            (Some(Bug::ConcealsWhatIsVisible), Appended::Stored { message, .. }) => {
                Appended::Stored { message, visible: false }
            }
            (_, appended) => appended,
        }
    }
}

#[async_trait]
impl Messages for Broken {
    async fn append(&self, batch: &[NewMessage]) -> Result<Vec<Appended>, MessagesError> {
        if self.is(Bug::RefusesEmptyBatches) && batch.is_empty() {
            return Err(MessagesError::IdReused { index: 0 });
        }
        let mut garbled: Vec<NewMessage> =
            batch.iter().enumerate().map(|(index, new)| self.garbled(new, &batch[..index])).collect();
        if let Some(new) = garbled.first().filter(|_| self.is(Bug::SharesClientIds))
            && let Some((_, seq)) = self.is_taken(new).filter(|(sender, _)| *sender != new.sender)
        {
            return Ok(self.store.find(new.room, seq).await?.into_iter().map(Appended::Known).collect());
        }
        let taken: Vec<bool> = garbled.iter().map(|new| self.is_taken(new).is_some()).collect();
        let rooms: Vec<RoomId> = garbled.iter().map(|new| new.room).collect();
        let mut heads: BTreeMap<RoomId, Seq> =
            self.store.heads(&rooms).await?.into_iter().map(|head| (head.room, head.head)).collect();
        if self.is(Bug::RacesForNumbers) || self.is(Bug::RacesToRepeat) {
            others_first().await;
        }
        if self.is(Bug::ReversesBatches) {
            garbled.reverse();
        }
        let mut appended = match self.store.append(&garbled).await {
            Err(MessagesError::IdReused { index }) => return self.refused(&garbled, index).await,
            appended => appended?,
        };
        if self.is(Bug::ReversesBatches) {
            appended.reverse();
        }
        for room in rooms {
            let released = self.memo().released.get(&room).copied();
            match (self.bug, released) {
                (Some(Bug::ShowsThePending), _) => drop(self.store.release(room, Seq(u64::MAX)).await?),
                (Some(Bug::ReleasesAhead), Some(upto)) => drop(self.store.release(room, upto).await?),
                _ => {}
            }
        }
        let told = appended.into_iter().zip(batch).zip(taken).map(|((appended, new), was_taken)| {
            let number = heads.get_mut(&new.room).unwrap();
            if matches!(appended, Appended::Stored { .. }) {
                *number = number.next();
            }
            self.told(new, appended, was_taken, *number)
        });
        Ok(told.collect())
    }

    async fn find(&self, room: RoomId, seq: Seq) -> Result<Option<Message>, StoreError> {
        let seq = if self.is(Bug::FindsTheNearest) { seq.max(Seq(1)) } else { seq };
        let found = Messages::find(&self.store, room, seq).await?;
        Ok(if self.is(Bug::ForgetsTheSource) { found.map(|one| Message { source: None, ..one }) } else { found })
    }

    async fn find_by_id(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        self.store.find_by_id(id).await
    }

    async fn after(&self, room: RoomId, seq: Seq, limit: u32, hidden: bool) -> Result<Vec<Message>, StoreError> {
        match self.bug {
            Some(Bug::AfterIncludesTheNumber) => {
                self.store.after(room, Seq(seq.0.saturating_sub(1)), limit, hidden).await
            }
            Some(Bug::ShowsTheSettledAtOnce) if !hidden => {
                let mut all = self.store.after(room, seq, limit, true).await?;
                all.retain(Message::is_settled);
                Ok(all)
            }
            _ => self.store.after(room, seq, limit, hidden).await,
        }
    }

    async fn before(&self, room: RoomId, seq: Seq, limit: u32) -> Result<Vec<Message>, StoreError> {
        match self.bug {
            Some(Bug::BeforeIncludesTheNumber) => self.store.before(room, Seq(seq.0.saturating_add(1)), limit).await,
            Some(Bug::BeforeShowsTheHidden) => {
                let mut all = self.store.after(room, Seq::ZERO, u32::MAX, true).await?;
                all.retain(|message| message.seq < seq);
                Ok(all.into_iter().rev().take(limit as usize).collect())
            }
            _ => self.store.before(room, seq, limit).await,
        }
    }

    async fn page(&self, room: RoomId, anchor: Seq, page: u32, size: u32) -> Result<Page, StoreError> {
        let anchor = if self.is(Bug::IgnoresAnchors) { Seq(u64::MAX) } else { anchor };
        let mut found = self.store.page(room, anchor, page, size).await?;
        match self.bug {
            Some(Bug::PagesFromTheOldest) => found.messages.reverse(),
            Some(Bug::CountsTheHiddenOnPages) => {
                let all = self.store.after(room, Seq::ZERO, u32::MAX, true).await?;
                found.total = all.iter().filter(|message| message.seq <= anchor).count() as u64;
            }
            _ => {}
        }
        Ok(found)
    }

    async fn translate(
        &self,
        room: RoomId,
        seq: Seq,
        language: &Language,
        result: &Translation,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let before = Messages::find(&self.store, room, seq).await?;
        let was_pending = before.as_ref().is_some_and(|message| !message.is_settled());
        let version = if self.is(Bug::IgnoresVersions) { 1 } else { result.version };
        let result = Translation { version, ..result.clone() };
        match self.bug {
            Some(Bug::IgnoresFailures) if result.status == TranslationStatus::Failed => {
                return Ok(Changed { message: None, published: vec![] });
            }
            Some(Bug::RacesToTranslate) => others_first().await,
            Some(Bug::TranslatesEveryRoom) => {
                let others: Vec<RoomId> = self.memo().rooms.iter().copied().filter(|other| *other != room).collect();
                for other in others {
                    self.store.translate(other, seq, language, &result, now).await?;
                }
            }
            _ => {}
        }
        let mut changed = self.store.translate(room, seq, language, &result, now).await?;
        match self.bug {
            Some(Bug::PublishesInReverse) => changed.published.reverse(),
            Some(Bug::KeepsTheRevision) => {
                changed.message = changed.message.map(|message| Message { revision: Revision(0), ..message });
            }
            Some(Bug::SettlesWithTheFirstLanguage) if changed.message.is_some() => {
                changed.published.extend(self.store.release(room, seq).await?);
            }
            Some(Bug::AnswersLateResults) if !was_pending => changed.message = before,
            Some(Bug::AnswersTheUnknown) if was_pending => changed.message = changed.message.or(before),
            Some(Bug::RacesToTranslate) if was_pending && changed.message.is_none() => {
                let known = before.filter(|message| message.pending().any(|one| one == language));
                changed.message = known.filter(|message| message.version == result.version);
            }
            Some(Bug::PublishesLateResults) if changed.published.is_empty() => {
                let published = self.store.heads(&[room]).await?[0].published;
                changed.published = changed.message.iter().filter(|one| one.seq <= published).cloned().collect();
            }
            _ => {}
        }
        Ok(changed)
    }

    async fn release(&self, room: RoomId, upto: Seq) -> Result<Vec<Message>, StoreError> {
        if self.is(Bug::IgnoresReleases) {
            return Ok(vec![]);
        }
        self.memo().released.insert(room, upto);
        let mut released = self.store.release(room, upto).await?;
        match self.bug {
            Some(Bug::ReleasesTooLittle) => released.retain(|message| message.seq <= upto),
            Some(Bug::ReleasesAgain) => {
                released = self.store.after(room, Seq::ZERO, u32::MAX, false).await?;
                released.retain(|message| message.seq <= upto);
            }
            _ => {}
        }
        Ok(released)
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
        let mut heads = self.store.heads(rooms).await?;
        if self.is(Bug::SortsHeads) {
            heads.sort_by_key(|head| head.room);
            heads.dedup();
        }
        for head in &mut heads {
            match self.bug {
                Some(Bug::HeadsShowTheHidden) => {
                    head.last = Messages::find(&self.store, head.room, head.head).await?;
                }
                Some(Bug::HeadsForgetChanges) => {
                    let last = Messages::find(&self.store, head.room, head.head).await?;
                    head.changed_at = last.map_or(head.changed_at, |message| message.sent_at);
                }
                Some(Bug::NumbersAnewAfterAPurge) if head.last.is_none() => {
                    (head.head, head.published) = (Seq::ZERO, Seq::ZERO);
                }
                _ => {}
            }
        }
        Ok(heads)
    }

    async fn unread(&self, of: &[Unread]) -> Result<Vec<u64>, StoreError> {
        let mut of = of.to_vec();
        match self.bug {
            Some(Bug::CountsOnesOwn) => of.iter_mut().for_each(|one| one.reader = UserId::new(1).unwrap()),
            Some(Bug::SortsUnread) => of.sort_by_key(|one| (one.room, one.after)),
            Some(Bug::CountsWithoutALimit | Bug::CountsTheHidden) => {
                let hidden = self.is(Bug::CountsTheHidden);
                let mut counts = Vec::new();
                for Unread { room, reader, after } in of {
                    let all = self.store.after(room, after, u32::MAX, hidden).await?;
                    counts.push(all.iter().filter(|message| message.sender != reader).count() as u64);
                }
                return Ok(counts);
            }
            _ => {}
        }
        self.store.unread(&of).await
    }

    async fn pending(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        let mut found = self.store.pending(limit).await?;
        match self.bug {
            Some(Bug::FindsTheNewestWork) => found.reverse(),
            Some(Bug::WorksOnThePurged) => found.extend(self.memo().purged.iter().cloned()),
            _ => {}
        }
        Ok(found)
    }

    async fn hidden(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        let mut found = self.store.hidden(limit).await?;
        if self.is(Bug::FindsOnlyPendingOnesHidden) {
            found.retain(|message| !message.is_settled());
        }
        Ok(found)
    }

    async fn purge(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        match self.bug {
            Some(Bug::PurgesTheMomentItself) => {
                return Messages::purge(&self.store, before.plus(Duration::from_millis(1)), limit).await;
            }
            Some(Bug::PurgesWithoutALimit) => return Messages::purge(&self.store, before, u32::MAX).await,
            Some(Bug::PurgesTheHidden) => {
                for message in self.store.hidden(u32::MAX).await? {
                    self.store.release(message.room, message.seq).await?;
                }
            }
            Some(Bug::WorksOnThePurged) => {
                let pending = self.store.pending(u32::MAX).await?;
                self.memo().purged = pending;
            }
            _ => {}
        }
        Messages::purge(&self.store, before, limit).await
    }
}

#[test]
fn every_law_of_messages_catches_a_broken_variant() {
    check("messages", LAWS, BUGS, |law, bug| run(law(&Broken { bug, ..Broken::default() })));
}
