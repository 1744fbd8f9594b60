//! What providers granted us, sealed.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use transtalk_core::UserId;
use transtalk_core::ports::{Grant, Grants, StoreError};

use super::SqliteStore;
use super::error::SqliteError;
use super::values::{Columns, int};
use super::writer::Work;

#[async_trait]
impl Grants for SqliteStore {
    async fn put(&self, grant: &Grant) -> Result<(), StoreError> {
        let grant = grant.clone();
        self.writer.act(move |work| Box::pin(put(work, grant))).await?;
        Ok(())
    }

    async fn list(&self, user: UserId) -> Result<Vec<Grant>, StoreError> {
        let rows = sqlx::query("select * from grants where member = ?1 order by issuer")
            .bind(int(user.get()))
            .fetch_all(&self.readers)
            .await
            .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    async fn left(&self, limit: u32) -> Result<Vec<Grant>, StoreError> {
        let rows = sqlx::query(
            "select grants.* from users join grants on grants.member = users.id
             where users.withdrawn_at is not null order by users.id, grants.issuer limit ?1",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await
        .map_err(SqliteError::from)?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    async fn remove(&self, user: UserId, issuer: &str) -> Result<bool, StoreError> {
        let issuer = issuer.to_owned();
        let removed = self.writer.act(move |work| Box::pin(remove(work, user, issuer))).await?;
        Ok(removed)
    }
}

async fn put(work: &mut Work, grant: Grant) -> Result<(), SqliteError> {
    sqlx::query(
        "insert into grants (member, issuer, sealed) values (?1, ?2, ?3)
         on conflict (member, issuer) do update set sealed = excluded.sealed",
    )
    .bind(int(grant.user.get()))
    .bind(grant.issuer)
    .bind(grant.sealed)
    .execute(&mut work.connection)
    .await?;
    Ok(())
}

async fn remove(work: &mut Work, user: UserId, issuer: String) -> Result<bool, SqliteError> {
    let done = sqlx::query("delete from grants where member = ?1 and issuer = ?2")
        .bind(int(user.get()))
        .bind(issuer)
        .execute(&mut work.connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &SqliteRow) -> Result<Grant, SqliteError> {
    Ok(Grant { user: row.user("member")?, issuer: row.text("issuer")?, sealed: row.try_get("sealed")? })
}
