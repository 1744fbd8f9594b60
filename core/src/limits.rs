//! Every limit in one place. What comes from outside is measured against these before it is believed.

use std::time::Duration;

/// The largest user or room number: 2^53-1, the last one that JavaScript counts exactly.
pub const NUMBER_ID_MAX: u64 = (1 << 53) - 1;
/// Length of a SUBSCRIBE frame's `id`, in bytes.
pub const SUBSCRIPTION_ID_BYTES_MAX: usize = 255;
/// Length of a `client-message-id`, in bytes.
pub const CLIENT_MESSAGE_ID_BYTES_MAX: usize = 64;
/// Length of a message's text, in Unicode characters.
pub const MESSAGE_CHARS_MAX: usize = 5_000;
/// Length of a user's name, in Unicode characters.
pub const NAME_CHARS_MAX: usize = 100;
/// Length of an e-mail address, in bytes (RFC 5321 section 4.5.3.1.3).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Length of a picture's address, in bytes.
pub const PICTURE_BYTES_MAX: usize = 2_048;
/// Length of a language tag, in bytes (RFC 5646 section 4.4.1 asks for 35 at least).
pub const LANGUAGE_BYTES_MAX: usize = 35;
/// Length of the device name that a session remembers, in bytes.
pub const DEVICE_BYTES_MAX: usize = 256;
/// Length of an audit record's detail, in bytes.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 200;
/// Length of an OAuth `code`, `state` or `login_hint`, in bytes.
pub const OAUTH_PARAMETER_BYTES_MAX: usize = 2_048;
/// Length of a token of any kind, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// Length of the filter of the room list, in bytes.
pub const FILTER_BYTES_MAX: usize = 400;

/// Rooms on a page of the room list, when nothing is asked for.
pub const ROOM_PAGE_DEFAULT: u32 = 20;
/// Rooms on a page of the room list, at most.
pub const ROOM_PAGE_MAX: u32 = 100;
/// Messages on a page of the history, when nothing is asked for.
pub const HISTORY_PAGE_DEFAULT: u32 = 40;
/// Messages on a page of the history, at most.
pub const HISTORY_PAGE_MAX: u32 = 200;
/// The highest page number.
pub const PAGE_NUMBER_MAX: u32 = 1_000_000;
/// Unread messages are counted this far and no further.
pub const UNREAD_MAX: u64 = 999;

/// Size of an HTTP request's body, in bytes.
pub const HTTP_BODY_BYTES_MAX: usize = 64 * 1024;
/// Headers of a STOMP frame.
pub const FRAME_HEADERS_MAX: usize = 64;
/// Length of one line of a STOMP frame, in bytes.
pub const FRAME_LINE_BYTES_MAX: usize = 8 * 1024;
/// Length of all lines of a STOMP frame together, in bytes.
pub const FRAME_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Length of a STOMP frame's body, in bytes.
pub const FRAME_BODY_BYTES_MAX: usize = 64 * 1024;
/// Commands of one connection that wait for their turn; beyond it the socket is read no further.
pub const PENDING_COMMANDS_MAX: usize = 128;
/// SENDs of one connection that are stored in one step, at most.
pub const SEND_BATCH_MAX: usize = 64;
/// Subscriptions of one connection, at most.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;
/// Bytes that wait to be written to one connection; beyond it the connection is closed.
pub const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Messages that one SUBSCRIBE with `last-seq` replays, at most.
pub const REPLAY_MAX: u64 = 1_000;
/// Messages read from the store in one step of a replay.
pub const REPLAY_STEP: u32 = 200;
/// Publications of a room that are kept while an earlier one is still being looked for.
pub const AHEAD_MAX: usize = 256;
/// Messages that wait for a translator on one node; beyond it the oldest are found again in the store.
pub const TRANSLATION_QUEUE_MAX: usize = 10_000;
/// Events that wait on one node's bus.
pub const BUS_QUEUE_MAX: usize = 65_536;

/// A connection that has not authenticated by then is closed.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The heart-beat that the server offers to send, and the fastest it accepts.
pub const HEART_BEAT_SEND: Duration = Duration::from_secs(10);
/// The heart-beat that the server asks for. A hidden browser tab wakes up once a minute.
pub const HEART_BEAT_RECEIVE: Duration = Duration::from_mins(1);
/// A promised heart-beat shorter than this is taken for this.
pub const HEART_BEAT_MIN: Duration = Duration::from_secs(1);
/// A client is gone after so many intervals of its heart-beat without a byte.
pub const HEART_BEAT_TOLERANCE: u32 = 3;
/// How long a sign-in may take, from the link to the return of its code.
pub const SIGN_IN_DEADLINE: Duration = Duration::from_mins(10);
/// A ticket for a WebSocket is good for so long.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);
/// A refresh with an authentic cookie waits so long for the store, or for its allowance, before it is refused.
pub const REFRESH_PATIENCE: Duration = Duration::from_secs(30);
/// How often a node asks for the state of all its sockets' sessions.
pub const RECHECK_EVERY: Duration = Duration::from_secs(30);
/// Sockets outlive a store that cannot be asked about their sessions by so long.
pub const RECHECK_PATIENCE: Duration = Duration::from_mins(5);
/// A client is told so long before the end of its token that its connection will end.
pub const EXPIRY_WARNING: Duration = Duration::from_mins(1);
/// A second ERROR to the same address and session within so long is held back.
pub const ERROR_MEMORY: Duration = Duration::from_mins(1);
/// Addresses and sessions that are remembered for that.
pub const ERROR_MEMORY_MAX: usize = 10_000;
/// Live sessions of one account; beyond it the oldest end.
pub const SESSIONS_MAX: usize = 100;
/// Refreshes of one session that wait at once; beyond it they are refused.
pub const REFRESH_WAITERS_PER_SESSION_MAX: usize = 64;
/// Refreshes that wait at once on one node; beyond it they are refused.
pub const REFRESH_WAITERS_MAX: usize = 10_000;
/// Audit records of one answer.
pub const AUDIT_PAGE: u32 = 200;
/// Audit records that wait to be written on one node.
pub const AUDIT_QUEUE_MAX: usize = 10_000;
/// Grants that are looked at in one step when they are given back.
pub const GRANTS_MAX: u32 = 100;
/// A token's `iat` and `nbf` may lie this far ahead; its `exp` may not.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(5);
/// How long an ended connection's cursors are kept.
pub const CURSOR_KEPT: Duration = Duration::from_hours(24);
/// A frame that was begun is refused if it does not end by then.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes that a connection takes from its outbox in one turn.
pub const WRITE_BYTES_MAX: usize = 64 * 1024;
/// Translations under way on one node.
pub const TRANSLATION_WORKERS: usize = 32;
/// Readings of the store for the hub that are under way at once on one node.
pub const FEEDERS: usize = 8;
/// Stored messages that wait to be published on one node; beyond it they are found again in the store.
pub const FOLLOW_QUEUE_MAX: usize = 10_000;
/// Places where somebody's later pages of a history begin; beyond it a page may shift.
pub const ANCHORS_MAX: usize = 10_000;
/// Messages that one sweep looks at.
pub const SWEEP_MAX: u32 = 10_000;
/// How often the heads of live rooms are compared with the store.
pub const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How often work that was left behind is looked for.
pub const SWEEP_EVERY: Duration = Duration::from_secs(30);
