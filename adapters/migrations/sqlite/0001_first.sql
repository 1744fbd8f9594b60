-- Everything that the storage ports keep. Times are milliseconds since 1970; ids are as the core writes them.

create table users (
    id integer primary key,
    issuer text not null,
    subject text not null,
    email text,
    email_verified integer not null check (email_verified in (0, 1)),
    name text not null,
    -- The name as others see it, in lower case by the rules of Unicode, which SQLite does not know.
    name_folded text not null,
    picture text,
    language text,
    created_at integer not null,
    withdrawn_at integer,
    unique (issuer, subject)
) strict;

create unique index users_verified_email on users (email) where email_verified = 1 and withdrawn_at is null;

create table rooms (
    id integer primary key,
    language text not null,
    -- The pair, the lower id first. Both are null in a room of more people.
    low integer,
    high integer,
    created_at integer not null,
    last_message_at integer,
    unique (low, high, language)
) strict;

create table room_members (
    room integer not null references rooms (id),
    member integer not null,
    joined_at integer not null,
    read integer not null,
    -- A copy of the room's latest activity, so that a member's list is one walk over one index.
    active_at integer not null,
    primary key (room, member)
) strict, without rowid;

create index room_members_list on room_members (member, active_at, room);

create table room_heads (
    room integer primary key,
    -- The last number given. This row outlives the messages, so numbering never starts again.
    head integer not null,
    -- All up to here are visible.
    published integer not null check (published <= head),
    changed_at integer not null
) strict;

create index room_heads_hidden on room_heads (room) where published < head;

create table messages (
    position integer primary key,
    id text not null,
    room integer not null,
    seq integer not null,
    revision integer not null,
    sender integer not null,
    client_id text,
    text text not null,
    version integer not null,
    source text,
    shown text,
    -- A JSON object by language.
    translations text not null,
    settled integer not null check (settled in (0, 1)),
    sent_at integer not null,
    changed_at integer not null
) strict;

-- Every index costs an append one page more to write, and that is most of what an append costs: so there is none for
-- counting unread messages, which are the newest of their room and found by their place, and none by time, which is
-- the order of the rows themselves.
create unique index messages_id on messages (id);
create unique index messages_place on messages (room, seq);
-- Clients count or use the time, so those of a room who write at once meet on one page; the sender comes last.
create unique index messages_client_id on messages (room, client_id, sender) where client_id is not null;
create index messages_pending on messages (sent_at, room, seq) where settled = 0;

create table sessions (
    id text not null primary key,
    member integer not null,
    generation integer not null,
    acknowledged integer not null check (acknowledged <= generation),
    created_at integer not null,
    rotated_at integer not null,
    expires_at integer not null,
    absolute_expires_at integer not null,
    revoked_at integer,
    device_name text not null,
    device_address text not null
) strict, without rowid;

create index sessions_live on sessions (member, created_at, id) where revoked_at is null;

create table audit (
    position integer primary key,
    at integer not null,
    member integer not null,
    session text,
    event text not null,
    address text not null
) strict;

create index audit_member on audit (member, at);

create table grants (
    member integer not null,
    issuer text not null,
    sealed blob not null,
    primary key (member, issuer)
) strict, without rowid;

create table single_use (
    id text not null primary key,
    until integer not null
) strict, without rowid;

create index single_use_until on single_use (until);

create table cursors (
    session text not null,
    room integer not null,
    seq integer not null,
    at integer not null,
    primary key (session, room)
) strict, without rowid;

create index cursors_at on cursors (at);
