//! The audit trail.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use transtalk_core::UserId;
use transtalk_core::auth::{AuditEvent, AuditRecord};
use transtalk_core::ports::{Audit, StoreError};

use super::SqliteStore;
use super::error::SqliteError;
use super::values::{Columns, int, millis};

#[async_trait]
impl Audit for SqliteStore {
    async fn append(&self, record: &AuditRecord) -> Result<(), StoreError> {
        let record = record.clone();
        self.writer.act(move |work| Box::pin(async move { insert(&mut work.connection, &record).await })).await?;
        Ok(())
    }

    async fn list(&self, user: UserId, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query("select * from audit where member = ?1 order by at desc, position desc limit ?2")
            .bind(int(user.get()))
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

/// Adds a record to what is being committed.
pub(super) async fn insert(connection: &mut SqliteConnection, record: &AuditRecord) -> Result<(), SqliteError> {
    sqlx::query("insert into audit (at, member, session, event, address, detail) values (?1, ?2, ?3, ?4, ?5, ?6)")
        .bind(millis(record.at))
        .bind(int(record.user.get()))
        .bind(record.session.as_ref().map(ToString::to_string))
        .bind(record.event.as_str())
        .bind(record.address.clone())
        .bind(record.detail.clone())
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<AuditRecord, SqliteError> {
    Ok(AuditRecord {
        at: row.time("at")?,
        user: row.user("member")?,
        session: row.maybe("session", |id| id.parse().ok())?,
        event: row.maybe("event", AuditEvent::parse)?.ok_or(SqliteError::Corrupt("event"))?,
        address: row.text("address")?,
        detail: row.text("detail")?,
    })
}
