//! Accounts.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use transtalk_core::ports::{Revocation, StoreError, Users};
use transtalk_core::translate::Language;
use transtalk_core::{Email, Identity, SessionId, User, UserId};

use super::SqliteStore;
use super::error::SqliteError;
use super::message_row::language;
use super::sessions;
use super::values::{Columns, int, json, millis};
use super::writer::Work;

#[async_trait]
impl Users for SqliteStore {
    async fn register(&self, user: &User) -> Result<User, StoreError> {
        let user = user.clone();
        let registered = self.writer.act(move |work| Box::pin(register(work, user))).await?;
        Ok(registered)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("select * from users where id = ?1")
            .bind(int(id.get()))
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let rows = sqlx::query("select * from users where id in (select value from json_each(?1))")
            .bind(json(ids.iter().map(|id| id.get())))
            .fetch_all(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("select * from users where email = ?1 and email_verified = 1 and withdrawn_at is null")
            .bind(email.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn find_by_identity(&self, identity: &Identity) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("select * from users where issuer = ?1 and subject = ?2 and withdrawn_at is null")
            .bind(identity.issuer.clone())
            .bind(identity.subject.clone())
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn withdraw(&self, id: UserId, revocation: &Revocation) -> Result<Option<Vec<SessionId>>, StoreError> {
        let revocation = revocation.clone();
        let ended = self.writer.act(move |work| Box::pin(withdraw(work, id, revocation))).await?;
        Ok(ended)
    }

    async fn set_language(&self, id: UserId, language: Option<&Language>) -> Result<bool, StoreError> {
        let language = language.map(ToString::to_string);
        let found = self.writer.act(move |work| Box::pin(set_language(work, id, language))).await?;
        Ok(found)
    }
}

async fn register(work: &mut Work, mut user: User) -> Result<User, SqliteError> {
    let existing = sqlx::query("select * from users where issuer = ?1 and subject = ?2")
        .bind(user.identity.issuer.clone())
        .bind(user.identity.subject.clone())
        .fetch_optional(&mut work.connection)
        .await?;
    if let Some(row) = existing {
        return read(&row);
    }
    user.email_verified = user.email_verified && !is_held(&mut work.connection, user.email.as_ref()).await?;
    insert(&mut work.connection, &user).await?;
    Ok(user)
}

/// Whether somebody else has verified this address.
async fn is_held(connection: &mut SqliteConnection, email: Option<&Email>) -> Result<bool, SqliteError> {
    let holder = sqlx::query("select 1 from users where email = ?1 and email_verified = 1 and withdrawn_at is null")
        .bind(email.map(ToString::to_string))
        .fetch_optional(connection)
        .await?;
    Ok(holder.is_some())
}

async fn insert(connection: &mut SqliteConnection, user: &User) -> Result<(), SqliteError> {
    sqlx::query(
        "insert into users (id, issuer, subject, email, email_verified, name, name_folded, picture, language,
                            created_at, withdrawn_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(int(user.id.get()))
    .bind(user.identity.issuer.clone())
    .bind(user.identity.subject.clone())
    .bind(user.email.as_ref().map(ToString::to_string))
    .bind(user.email_verified)
    .bind(user.name.clone())
    .bind(user.shown_name().to_lowercase())
    .bind(user.picture.clone())
    .bind(user.language.as_ref().map(ToString::to_string))
    .bind(millis(user.created_at))
    .bind(user.withdrawn_at.map(millis))
    .execute(connection)
    .await?;
    Ok(())
}

async fn withdraw(work: &mut Work, id: UserId, revocation: Revocation) -> Result<Option<Vec<SessionId>>, SqliteError> {
    let row = sqlx::query("select * from users where id = ?1 and withdrawn_at is null")
        .bind(int(id.get()))
        .fetch_optional(&mut work.connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let left = read(&row)?.withdrawn(revocation.at);
    sqlx::query(
        "update users set issuer = ?2, subject = ?3, email = ?4, email_verified = ?5, name = ?6, name_folded = ?7,
                          picture = ?8, language = ?9, withdrawn_at = ?10 where id = ?1",
    )
    .bind(int(left.id.get()))
    .bind(left.identity.issuer.clone())
    .bind(left.identity.subject.clone())
    .bind(left.email.as_ref().map(ToString::to_string))
    .bind(left.email_verified)
    .bind(left.name.clone())
    .bind(left.shown_name().to_lowercase())
    .bind(left.picture.clone())
    .bind(left.language.as_ref().map(ToString::to_string))
    .bind(left.withdrawn_at.map(millis))
    .execute(&mut work.connection)
    .await?;
    sessions::revoke_all(work, id, revocation).await.map(Some)
}

async fn set_language(work: &mut Work, id: UserId, language: Option<String>) -> Result<bool, SqliteError> {
    let done = sqlx::query("update users set language = ?2 where id = ?1 and withdrawn_at is null")
        .bind(int(id.get()))
        .bind(language)
        .execute(&mut work.connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &SqliteRow) -> Result<User, SqliteError> {
    Ok(User {
        id: row.user("id")?,
        identity: Identity { issuer: row.text("issuer")?, subject: row.text("subject")? },
        email: row.maybe("email", |email| Email::new(email).ok())?,
        email_verified: row.number("email_verified")? == 1,
        name: row.text("name")?,
        picture: row.maybe_text("picture")?,
        language: row.maybe("language", language)?,
        created_at: row.time("created_at")?,
        withdrawn_at: row.maybe_time("withdrawn_at")?,
    })
}
