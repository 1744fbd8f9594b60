//! From the core's values to columns and back.

use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use transtalk_core::{RoomId, Seq, Timestamp, UserId};

use super::error::SqliteError;

/// A number as a column holds it. Nothing real is greater; "up to the end of time" is the greatest.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A moment as a column holds it.
pub(super) fn millis(at: Timestamp) -> i64 {
    int(at.as_millis())
}

/// Many values as one parameter, which SQL reads with `json_each`: so the statement is the same for any number of them.
pub(super) fn json<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| serde_json::json!(value)).collect::<serde_json::Value>().to_string()
}

/// Reads the core's values out of a row.
pub(super) trait Columns {
    /// A number that is not negative.
    fn number(&self, column: &'static str) -> Result<u64, SqliteError>;
    /// A small number.
    fn small(&self, column: &'static str) -> Result<u32, SqliteError>;
    /// A text.
    fn text(&self, column: &'static str) -> Result<String, SqliteError>;
    /// A text, if there is one.
    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, SqliteError>;
    /// Something that is written as a text.
    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, SqliteError>;
    /// Something that is written as a text, if there is one.
    fn maybe<T>(&self, column: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, SqliteError>;
    /// A moment.
    fn time(&self, column: &'static str) -> Result<Timestamp, SqliteError>;
    /// A moment, if there is one.
    fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, SqliteError>;
    /// A user's number.
    fn user(&self, column: &'static str) -> Result<UserId, SqliteError>;
    /// A room's number.
    fn room(&self, column: &'static str) -> Result<RoomId, SqliteError>;
    /// A place in a room.
    fn seq(&self, column: &'static str) -> Result<Seq, SqliteError>;
}

impl Columns for SqliteRow {
    fn number(&self, column: &'static str) -> Result<u64, SqliteError> {
        Ok(self.try_get(column)?)
    }

    fn small(&self, column: &'static str) -> Result<u32, SqliteError> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: &'static str) -> Result<String, SqliteError> {
        Ok(self.try_get(column)?)
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, SqliteError> {
        Ok(self.try_get(column)?)
    }

    fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, SqliteError> {
        self.try_get::<&str, _>(column)?.parse().map_err(|_| SqliteError::Corrupt(column))
    }

    fn maybe<T>(&self, column: &'static str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, SqliteError> {
        let text: Option<&str> = self.try_get(column)?;
        text.map(|text| parse(text).ok_or(SqliteError::Corrupt(column))).transpose()
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, SqliteError> {
        self.number(column).map(Timestamp::from_millis)
    }

    fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, SqliteError> {
        let millis: Option<i64> = self.try_get(column)?;
        let time = |millis: i64| u64::try_from(millis).map(Timestamp::from_millis);
        millis.map(time).transpose().map_err(|_| SqliteError::Corrupt(column))
    }

    fn user(&self, column: &'static str) -> Result<UserId, SqliteError> {
        UserId::new(self.number(column)?).map_err(|_| SqliteError::Corrupt(column))
    }

    fn room(&self, column: &'static str) -> Result<RoomId, SqliteError> {
        RoomId::new(self.number(column)?).map_err(|_| SqliteError::Corrupt(column))
    }

    fn seq(&self, column: &'static str) -> Result<Seq, SqliteError> {
        self.number(column).map(Seq)
    }
}
