//! Saying something: authorize, store; what follows, nobody waits for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use serde::Deserialize;

use super::{Principal, Services};
use crate::chat::{NewMessage, Room, Text};
use crate::error::{ErrorCode, Failure};
use crate::id::{ClientMessageId, MessageId, RoomId, UserId};
use crate::mutant::{Mutant, planted};
use crate::ports::{Appended, MessagesError};
use crate::translate::{Language, detect, plan};

/// Something to say.
#[derive(Clone)]
pub struct Draft {
    /// Where.
    pub room: RoomId,
    /// `{"content": "..."}`.
    pub body: Bytes,
    /// By which a repetition is known.
    pub client_id: Option<ClientMessageId>,
}

/// A room that the sender is in, and what its members read.
struct Audience {
    room: Room,
    others_read: Vec<Option<Language>>,
    sender_reads: Option<Language>,
}

/// Stores these messages in this order, each as far as it is allowed; one answer for each. `Ok` means stored: a crash loses nothing of it (invariant C1).
/// One that is refused does not hold up the others. Publishing follows in the background, and its failure never fails a message that was stored.
pub async fn send_messages(services: &Services, sender: &Principal, drafts: &[Draft]) -> Vec<Result<(), Failure>> {
    let mut audiences: BTreeMap<RoomId, Result<Audience, Failure>> = BTreeMap::new();
    for draft in drafts {
        if let Entry::Vacant(place) = audiences.entry(draft.room) {
            place.insert(audience(services, sender.user, draft.room).await);
        }
    }
    let mut answers: Vec<Result<(), Failure>> = Vec::with_capacity(drafts.len());
    let mut batch = Vec::new();
    for draft in drafts {
        match audiences.get(&draft.room) {
            Some(Ok(audience)) => {
                answers.push(compose(services, sender.user, audience, draft).map(|new| batch.push(new)));
            }
            Some(Err(failure)) => answers.push(Err(again(failure))),
            None => answers.push(Err(ErrorCode::RoomNotFound.into())),
        }
    }
    #[cfg(feature = "mutants")]
    if planted(Mutant::EarlyReceipt) {
        services.pipeline.store_later(batch);
        return answers;
    }
    let mut stored = append(services, batch).await.into_iter();
    for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
        // One result came back for each message that went in.
        *answer = stored.next().unwrap_or(Err(ErrorCode::Internal.into()));
    }
    answers
}

/// Stores a batch in one act; where that is refused because of one message, one by one, so that the refusal meets only its cause.
pub(super) async fn append(services: &Services, batch: Vec<NewMessage>) -> Vec<Result<(), Failure>> {
    if batch.is_empty() {
        return Vec::new();
    }
    match services.messages.append(&batch).await {
        Ok(appended) => {
            let answers = appended.iter().map(|_| Ok(())).collect();
            follow(services, appended);
            answers
        }
        Err(MessagesError::IdReused { .. }) => {
            let mut answers = Vec::with_capacity(batch.len());
            for message in batch {
                // What cannot be stored now comes again, and nothing may overtake it (invariant C6).
                if let Some(Err(failure @ Failure::Unavailable { .. })) = answers.last() {
                    let failure = again(failure);
                    answers.push(Err(failure));
                    continue;
                }
                answers.push(match services.messages.append(&[message]).await {
                    Ok(appended) => {
                        follow(services, appended);
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                });
            }
            answers
        }
        Err(error) => {
            let failure = Failure::from(error);
            batch.iter().map(|_| Err(again(&failure))).collect()
        }
    }
}

fn follow(services: &Services, appended: Vec<Appended>) {
    for appended in appended {
        if let Appended::Stored { message, visible } = appended {
            services.pipeline.follow(message, visible);
        }
    }
}

async fn audience(services: &Services, sender: UserId, room: RoomId) -> Result<Audience, Failure> {
    let room = services.rooms.find(room).await?.ok_or(ErrorCode::RoomNotFound)?;
    if room.member(sender).is_none() && !planted(Mutant::NoMembership) {
        return Err(ErrorCode::NotAMember.into());
    }
    let members: Vec<UserId> = room.members.iter().map(|member| member.user).collect();
    let users = services.users.find_many(&members).await?;
    let sender_reads = users.iter().find(|user| user.id == sender).and_then(|user| user.language.clone());
    // Somebody who has left reads nothing.
    let others = users.into_iter().filter(|user| user.id != sender && user.withdrawn_at.is_none());
    Ok(Audience { others_read: others.map(|user| user.language).collect(), sender_reads, room })
}

fn compose(services: &Services, sender: UserId, audience: &Audience, draft: &Draft) -> Result<NewMessage, Failure> {
    #[derive(Deserialize)]
    struct Body {
        content: Option<String>,
    }
    let body: Body = serde_json::from_slice(&draft.body).map_err(|_| ErrorCode::BadJson)?;
    let text = Text::new(&body.content.ok_or(ErrorCode::EmptyMessage)?)?;
    let source = detect(text.as_str(), &services.settings.languages, audience.sender_reads.as_ref());
    let plan = plan(source.as_ref(), &audience.room.language, &audience.others_read, audience.sender_reads.as_ref());
    let now = services.clock.now();
    Ok(NewMessage {
        id: MessageId::mint(now, services.entropy.as_ref()),
        room: audience.room.id,
        sender,
        client_id: draft.client_id.clone(),
        text,
        source,
        shown: plan.shown,
        translations: plan.translations,
        sent_at: now,
    })
}

/// The same failure for the next message.
fn again(failure: &Failure) -> Failure {
    match failure {
        Failure::Refused(code) => Failure::Refused(*code),
        Failure::TooMany { retry_after } => Failure::TooMany { retry_after: *retry_after },
        Failure::Unavailable { part, source } => Failure::Unavailable { part, source: source.to_string().into() },
    }
}
