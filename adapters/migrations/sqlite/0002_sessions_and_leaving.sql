-- What else a record has to say, such as a connection's name and its close code.
alter table audit add column detail text not null default '';

-- What those who left had granted is looked for again and again, and they are few among all users.
create index users_withdrawn on users (id) where withdrawn_at is not null;
