//! The truth about every session.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use transtalk_core::auth::{AuditRecord, Device, Generation, Session};
use transtalk_core::ports::{Revocation, Rotated, Rotation, Sessions, StoreError};
use transtalk_core::{SessionId, UserId};

use super::SqliteStore;
use super::audit;
use super::error::SqliteError;
use super::values::{Columns, int, json, millis};
use super::writer::Work;

#[async_trait]
impl Sessions for SqliteStore {
    async fn add(&self, session: &Session, audit: &AuditRecord) -> Result<(), StoreError> {
        let (session, audit) = (session.clone(), audit.clone());
        self.writer.act(move |work| Box::pin(add(work, session, audit))).await?;
        Ok(())
    }

    async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let row = sqlx::query("select * from sessions where id = ?1")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query("select * from sessions where id in (select value from json_each(?1))")
            .bind(json(ids.iter().map(ToString::to_string)))
            .fetch_all(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    async fn rotate(&self, id: SessionId, rotation: Rotation, audit: &AuditRecord) -> Result<Rotated, StoreError> {
        let audit = audit.clone();
        let rotated = self.writer.act(move |work| Box::pin(rotate(work, id, rotation, audit))).await?;
        Ok(rotated)
    }

    async fn acknowledge(&self, id: SessionId, generation: Generation) -> Result<(), StoreError> {
        self.writer.act(move |work| Box::pin(acknowledge(work, id, generation))).await?;
        Ok(())
    }

    async fn revoke(&self, id: SessionId, revocation: &Revocation) -> Result<bool, StoreError> {
        let revocation = revocation.clone();
        let ended = self.writer.act(move |work| Box::pin(revoke(work, id, revocation))).await?;
        Ok(ended)
    }

    async fn revoke_all(&self, user: UserId, revocation: &Revocation) -> Result<Vec<SessionId>, StoreError> {
        let revocation = revocation.clone();
        let ended = self.writer.act(move |work| Box::pin(revoke_all(work, user, revocation))).await?;
        Ok(ended)
    }

    async fn list(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let rows = sqlx::query(
            "select * from sessions where member = ?1 and revoked_at is null order by created_at desc, id desc",
        )
        .bind(int(user.get()))
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

async fn add(work: &mut Work, session: Session, audit: AuditRecord) -> Result<(), SqliteError> {
    sqlx::query(
        "insert into sessions (id, member, generation, acknowledged, created_at, rotated_at, expires_at,
                               absolute_expires_at, revoked_at, device_name, device_address)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(session.id.to_string())
    .bind(int(session.user.get()))
    .bind(session.generation.0)
    .bind(session.acknowledged.0)
    .bind(millis(session.created_at))
    .bind(millis(session.rotated_at))
    .bind(millis(session.expires_at))
    .bind(millis(session.absolute_expires_at))
    .bind(session.revoked_at.map(millis))
    .bind(session.device.name)
    .bind(session.device.address)
    .execute(&mut work.connection)
    .await?;
    audit::insert(&mut work.connection, &audit).await
}

async fn rotate(
    work: &mut Work,
    id: SessionId,
    rotation: Rotation,
    audit: AuditRecord,
) -> Result<Rotated, SqliteError> {
    let rotated = sqlx::query(
        "update sessions set generation = ?3, rotated_at = ?4, expires_at = ?5
         where id = ?1 and generation = ?2 and revoked_at is null returning *",
    )
    .bind(id.to_string())
    .bind(rotation.from.0)
    .bind(rotation.from.next().0)
    .bind(millis(rotation.rotated_at))
    .bind(millis(rotation.expires_at))
    .fetch_optional(&mut work.connection)
    .await?;
    if let Some(row) = rotated {
        audit::insert(&mut work.connection, &audit).await?;
        return Ok(Rotated::Done(read(&row)?));
    }
    let row = sqlx::query("select * from sessions where id = ?1")
        .bind(id.to_string())
        .fetch_optional(&mut work.connection)
        .await?;
    Ok(match row {
        Some(row) => Rotated::Lost(read(&row)?),
        None => Rotated::Unknown,
    })
}

async fn acknowledge(work: &mut Work, id: SessionId, generation: Generation) -> Result<(), SqliteError> {
    sqlx::query(
        "update sessions set acknowledged = min(?2, generation) where id = ?1 and acknowledged < min(?2, generation)",
    )
    .bind(id.to_string())
    .bind(generation.0)
    .execute(&mut work.connection)
    .await?;
    Ok(())
}

async fn revoke(work: &mut Work, id: SessionId, revocation: Revocation) -> Result<bool, SqliteError> {
    let done = sqlx::query("update sessions set revoked_at = ?2 where id = ?1 and revoked_at is null")
        .bind(id.to_string())
        .bind(millis(revocation.at))
        .execute(&mut work.connection)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    insert_audit(&mut work.connection, id, revocation.audit).await?;
    Ok(true)
}

/// Ends all of a user that are not ended, in what is being committed, and says which.
pub(super) async fn revoke_all(
    work: &mut Work,
    user: UserId,
    revocation: Revocation,
) -> Result<Vec<SessionId>, SqliteError> {
    let rows = sqlx::query("update sessions set revoked_at = ?2 where member = ?1 and revoked_at is null returning id")
        .bind(int(user.get()))
        .bind(millis(revocation.at))
        .fetch_all(&mut work.connection)
        .await?;
    let mut ended: Vec<SessionId> = rows.iter().map(|row| row.parsed("id")).collect::<Result<_, _>>()?;
    // SQLite returns them in no order that it would promise.
    ended.sort_unstable();
    for id in &ended {
        insert_audit(&mut work.connection, *id, revocation.audit.clone()).await?;
    }
    Ok(ended)
}

async fn insert_audit(
    connection: &mut SqliteConnection,
    session: SessionId,
    record: AuditRecord,
) -> Result<(), SqliteError> {
    audit::insert(connection, &AuditRecord { session: Some(session), ..record }).await
}

fn read(row: &SqliteRow) -> Result<Session, SqliteError> {
    Ok(Session {
        id: row.parsed("id")?,
        user: row.user("member")?,
        generation: Generation(row.small("generation")?),
        acknowledged: Generation(row.small("acknowledged")?),
        created_at: row.time("created_at")?,
        rotated_at: row.time("rotated_at")?,
        expires_at: row.time("expires_at")?,
        absolute_expires_at: row.time("absolute_expires_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
        device: Device { name: row.text("device_name")?, address: row.text("device_address")? },
    })
}
