//! The shapes of the wire contract. Every field is always there, null where there is nothing; but `requestId` in refusals alone.
#![expect(clippy::struct_field_names, reason = "the names are the first client's")]

use poem_openapi::types::{ParseFromJSON, ToJSON, Type};
use poem_openapi::{Object, Tags};
use transtalk_core::auth::{AuditRecord, Session};
use transtalk_core::chat::{ChatView, HistoryPage, RoomEntry, RoomList};
use transtalk_core::{ErrorCode, SessionId, Timestamp, User};

use crate::request_id::RequestId;

/// What can be in an envelope.
pub(super) trait Payload: ParseFromJSON + ToJSON + Type + Send + Sync {}
impl<T: ParseFromJSON + ToJSON + Type + Send + Sync> Payload for T {}

/// Groups in the document.
#[derive(Tags)]
pub(super) enum Tag {
    /// Signing in, refreshing, logging out, one's sessions
    Auth,
    /// Who is signed in
    User,
    /// Rooms and what was said in them
    Chat,
}

/// Every answer.
#[derive(Object)]
pub(super) struct Envelope<T: Payload> {
    /// Whether `data` is what was asked for.
    success: bool,
    /// For a person, when there is something to say.
    message: Option<String>,
    /// What was asked for.
    data: Option<T>,
    /// RFC 3339, UTC.
    timestamp: String,
    /// The stable name of what went wrong.
    #[oai(rename = "errorCode")]
    error_code: Option<String>,
    /// The request's name, when something went wrong; otherwise it is left out.
    #[oai(rename = "requestId", skip_serializing_if_is_none)]
    request_id: Option<String>,
}

impl<T: Payload> Envelope<T> {
    pub(super) fn ok(data: Option<T>, now: Timestamp) -> Self {
        Self { success: true, message: None, data, timestamp: now.to_string(), error_code: None, request_id: None }
    }

    /// A refusal in the first server's manner: 200 and `success: false`.
    pub(super) fn refused(code: ErrorCode, now: Timestamp) -> Self {
        Self {
            success: false,
            message: Some(code.message().to_owned()),
            data: None,
            timestamp: now.to_string(),
            error_code: Some(code.as_str().to_owned()),
            request_id: Some(RequestId::current()),
        }
    }
}

/// Nothing.
#[derive(Object)]
pub(super) struct Nothing {}

/// A user, as they see themselves.
#[derive(Object)]
pub(super) struct UserResponse {
    /// From 1 to 2^53-1.
    id: u64,
    /// As others see it.
    email: String,
    name: String,
    picture: Option<String>,
    /// The language that the user reads; null for the room's.
    language: Option<String>,
}

impl From<&User> for UserResponse {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.get(),
            email: user.shown_email(),
            name: user.shown_name().to_owned(),
            picture: user.shown_picture().map(str::to_owned),
            language: user.language.as_ref().map(ToString::to_string),
        }
    }
}

/// The tokens that scripts may see.
#[derive(Object)]
pub(super) struct TokenResponse {
    /// With `Bearer ` in front, to be sent as `Authorization`.
    #[oai(rename = "accessToken")]
    access_token: String,
    /// Always null: the refresh token is in a cookie that scripts cannot read.
    #[oai(rename = "refreshToken")]
    refresh_token: Option<String>,
}

impl TokenResponse {
    pub(super) fn new(access: &str) -> Self {
        Self { access_token: format!("Bearer {access}"), refresh_token: None }
    }
}

/// A completed sign-in.
#[derive(Object)]
pub(super) struct SignInResponse {
    #[oai(rename = "userResponse")]
    pub(super) user: UserResponse,
    /// Lower-case r: the first client's spelling.
    #[oai(rename = "tokenresponse")]
    pub(super) tokens: TokenResponse,
}

/// A ticket.
#[derive(Object)]
pub(super) struct TicketResponse {
    /// For `?ticket=` on `/ws-connect`.
    pub(super) ticket: String,
    /// Seconds.
    #[oai(rename = "expiresIn")]
    pub(super) expires_in: u64,
}

/// One's sessions.
#[derive(Object)]
pub(super) struct SessionsResponse {
    /// The newest first.
    pub(super) sessions: Vec<SessionLine>,
}

/// One session.
#[derive(Object)]
pub(super) struct SessionLine {
    /// 32 hexadecimal digits.
    id: String,
    /// The `User-Agent` of the sign-in.
    device: String,
    /// The network address of the sign-in.
    address: String,
    /// RFC 3339, UTC.
    #[oai(rename = "createdAt")]
    created_at: String,
    /// When it was refreshed last. RFC 3339, UTC.
    #[oai(rename = "lastUsedAt")]
    last_used_at: String,
    /// When it ends unless it is refreshed. RFC 3339, UTC.
    #[oai(rename = "expiresAt")]
    expires_at: String,
    /// Whether it is the one of this request.
    current: bool,
}

impl SessionLine {
    pub(super) fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id.to_string(),
            device: session.device.name,
            address: session.device.address,
            created_at: session.created_at.to_string(),
            last_used_at: session.rotated_at.to_string(),
            expires_at: session.expires_at.to_string(),
            current: session.id == current,
        }
    }
}

/// The audit trail.
#[derive(Object)]
pub(super) struct AuditResponse {
    /// The newest first.
    pub(super) records: Vec<AuditLine>,
}

/// Something that happened.
#[derive(Object)]
pub(super) struct AuditLine {
    /// RFC 3339, UTC.
    at: String,
    /// In which session; null if in none.
    session: Option<String>,
    /// `SIGNED_IN`, `REFRESHED`, `CONCURRENT` (two tabs at once), `LOST_RESPONSE` (repeated), `REUSE` (an old refresh token came back:
    /// the session was ended), `LOGGED_OUT`, `DENIED`, `SOCKET_OPENED` or `SOCKET_CLOSED`.
    event: String,
    /// The network address.
    address: String,
    /// What else there is to say, such as why a socket was closed; often empty.
    detail: String,
}

impl From<AuditRecord> for AuditLine {
    fn from(record: AuditRecord) -> Self {
        Self {
            at: record.at.to_string(),
            session: record.session.map(|session| session.to_string()),
            event: record.event.to_string(),
            address: record.address,
            detail: record.detail,
        }
    }
}

/// A room to be opened.
#[derive(Object)]
pub(super) struct OpenRoomRequest {
    /// One of the languages that the server offers, such as `ko` or `en-us`.
    pub(super) language: String,
    /// Of somebody who has signed in here before.
    #[oai(rename = "recipientEmail")]
    pub(super) recipient_email: String,
}

/// The room of this pair and language.
#[derive(Object)]
pub(super) struct OpenRoomResponse {
    #[oai(rename = "chatRoomId")]
    pub(super) chat_room_id: u64,
}

/// A line of the room list.
#[derive(Object)]
pub(super) struct ChatRoom {
    /// Lower-case r: the first client's spelling.
    #[oai(rename = "chatroomId")]
    chatroom_id: u64,
    #[oai(rename = "recipientPicture")]
    recipient_picture: Option<String>,
    #[oai(rename = "recipientName")]
    recipient_name: String,
    #[oai(rename = "selectedLanguage")]
    selected_language: String,
    /// Empty when nothing was said.
    #[oai(rename = "originalRecentMessage")]
    original_recent_message: String,
    /// Empty when nothing was said.
    #[oai(rename = "translatedRecentMessage")]
    translated_recent_message: String,
    /// RFC 3339, UTC.
    #[oai(rename = "recentMessageTime")]
    recent_message_time: Option<String>,
    #[oai(rename = "unreadMessageCount")]
    unread_message_count: u64,
    /// The number of the room's last message.
    seq: u64,
}

impl From<RoomEntry> for ChatRoom {
    fn from(entry: RoomEntry) -> Self {
        Self {
            chatroom_id: entry.room.get(),
            recipient_picture: entry.picture,
            recipient_name: entry.name,
            selected_language: entry.language.to_string(),
            original_recent_message: entry.original,
            translated_recent_message: entry.translated,
            recent_message_time: entry.time.map(|time| time.to_string()),
            unread_message_count: entry.unread,
            seq: entry.head.0,
        }
    }
}

/// A page of the room list.
#[derive(Object)]
pub(super) struct ChatRoomsResponse {
    rooms: Vec<ChatRoom>,
    #[oai(rename = "pageNumber")]
    page_number: u32,
    #[oai(rename = "pageSize")]
    page_size: u32,
    #[oai(rename = "hasNext")]
    has_next: bool,
    #[oai(rename = "isLast")]
    is_last: bool,
    #[oai(rename = "totalElements")]
    total_elements: u64,
}

impl From<RoomList> for ChatRoomsResponse {
    fn from(list: RoomList) -> Self {
        let has_next = has_next(list.page, list.size, list.total);
        Self {
            rooms: list.rooms.into_iter().map(ChatRoom::from).collect(),
            page_number: list.page,
            page_size: list.size,
            has_next,
            is_last: !has_next,
            total_elements: list.total,
        }
    }
}

/// A message.
#[derive(Object)]
pub(super) struct Chat {
    /// 24 hexadecimal digits.
    #[oai(rename = "chatId")]
    chat_id: String,
    #[oai(rename = "originalMessage")]
    original_message: String,
    /// Null while it is pending, or when it failed.
    #[oai(rename = "translatedMessage")]
    translated_message: Option<String>,
    #[oai(rename = "senderEmail")]
    sender_email: String,
    /// RFC 3339, UTC.
    #[oai(rename = "sendAt")]
    send_at: String,
    /// Whether the other has read it.
    #[oai(rename = "isRead")]
    is_read: bool,
    /// `PENDING`, `COMPLETED` or `FAILED`.
    status: String,
    /// The place in the room: 1, 2, 3, ...
    seq: u64,
    /// Rises with every change.
    revision: u32,
    /// One for each language that somebody in the room reads.
    translations: Vec<ChatTranslation>,
}

/// One translation of a message.
#[derive(Object)]
pub(super) struct ChatTranslation {
    language: String,
    /// `PENDING`, `COMPLETED`, `FAILED`, or `SKIPPED` where the text is in this language already.
    status: String,
    text: Option<String>,
    /// Which engine made it.
    engine: Option<String>,
}

impl From<ChatView> for Chat {
    fn from(view: ChatView) -> Self {
        let translations = view.translations.into_iter().map(|translation| ChatTranslation {
            language: translation.language,
            status: translation.status.to_owned(),
            text: translation.text,
            engine: translation.engine,
        });
        Self {
            chat_id: view.chat_id,
            original_message: view.original_message,
            translated_message: view.translated_message,
            sender_email: view.sender_email,
            send_at: view.send_at,
            is_read: view.is_read,
            status: view.status.to_owned(),
            seq: view.seq,
            revision: view.revision,
            translations: translations.collect(),
        }
    }
}

/// The other person.
#[derive(Object)]
pub(super) struct Recipient {
    #[oai(rename = "recipientPicture")]
    recipient_picture: Option<String>,
    #[oai(rename = "recipientEmail")]
    recipient_email: String,
    #[oai(rename = "recipientName")]
    recipient_name: String,
}

/// A page of history.
#[derive(Object)]
pub(super) struct ChatsResponse {
    /// The newest first.
    chats: Vec<Chat>,
    #[oai(rename = "pageNumber")]
    page_number: u32,
    #[oai(rename = "pageSize")]
    page_size: u32,
    #[oai(rename = "hasNext")]
    has_next: bool,
    #[oai(rename = "isLast")]
    is_last: bool,
    #[oai(rename = "totalElements")]
    total_elements: u64,
    recipient: Recipient,
}

impl From<HistoryPage> for ChatsResponse {
    fn from(page: HistoryPage) -> Self {
        let has_next = has_next(page.page, page.size, page.total);
        Self {
            chats: page.chats.into_iter().map(Chat::from).collect(),
            page_number: page.page,
            page_size: page.size,
            has_next,
            is_last: !has_next,
            total_elements: page.total,
            recipient: Recipient {
                recipient_picture: page.recipient_picture,
                recipient_email: page.recipient_email,
                recipient_name: page.recipient_name,
            },
        }
    }
}

fn has_next(page: u32, size: u32, total: u64) -> bool {
    (u64::from(page) + 1) * u64::from(size) < total
}
