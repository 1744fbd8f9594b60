//! Things that may be used once.

use async_trait::async_trait;
use transtalk_core::Timestamp;
use transtalk_core::ports::{Consumed, SingleUse, StoreError};

use super::SqliteStore;
use super::error::SqliteError;
use super::values::millis;
use super::writer::Work;

#[async_trait]
impl SingleUse for SqliteStore {
    async fn consume(&self, id: &str, until: Timestamp) -> Result<Consumed, StoreError> {
        let id = id.to_owned();
        let consumed = self.writer.act(move |work| Box::pin(consume(work, id, until))).await?;
        Ok(consumed)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        let purged = self.writer.act(move |work| Box::pin(purge(work, now))).await?;
        Ok(purged)
    }
}

async fn consume(work: &mut Work, id: String, until: Timestamp) -> Result<Consumed, SqliteError> {
    let done = sqlx::query("insert into single_use (id, until) values (?1, ?2) on conflict (id) do nothing")
        .bind(id)
        .bind(millis(until))
        .execute(&mut work.connection)
        .await?;
    Ok(if done.rows_affected() == 1 { Consumed::First } else { Consumed::Already })
}

async fn purge(work: &mut Work, now: Timestamp) -> Result<u64, SqliteError> {
    let done =
        sqlx::query("delete from single_use where until < ?1").bind(millis(now)).execute(&mut work.connection).await?;
    Ok(done.rows_affected())
}
