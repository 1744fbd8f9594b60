//! A message as a row, and its translations as a JSON object in one of its columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use transtalk_core::chat::{Message, Text, Translation, TranslationStatus};
use transtalk_core::translate::Language;
use transtalk_core::{ClientMessageId, Revision};

use super::error::SqliteError;
use super::values::{Columns, int, millis};

/// The columns that [`bind`] fills, in its order.
const COLUMNS: [&str; 14] = [
    "id",
    "room",
    "seq",
    "revision",
    "sender",
    "client_id",
    "text",
    "version",
    "source",
    "shown",
    "translations",
    "settled",
    "sent_at",
    "changed_at",
];

/// An INSERT of so many rows. None of them is expected to be refused; if one were, the transaction would be given up
/// as a whole, and so SQLite need not prepare for going back by one statement.
pub(super) fn insert_sql(rows: usize) -> Arc<str> {
    let row = format!("({})", ["?"; COLUMNS.len()].join(", "));
    format!("insert or rollback into messages ({}) values {}", COLUMNS.join(", "), vec![row; rows].join(", ")).into()
}

/// The values of one row.
pub(super) fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    message: &Message,
) -> Query<'q, Sqlite, SqliteArguments> {
    query
        .bind(message.id.to_string())
        .bind(int(message.room.get()))
        .bind(int(message.seq.0))
        .bind(i64::from(message.revision.0))
        .bind(int(message.sender.get()))
        .bind(message.client_id.as_ref().map(ToString::to_string))
        .bind(message.text.as_str().to_owned())
        .bind(i64::from(message.version))
        .bind(message.source.as_ref().map(ToString::to_string))
        .bind(message.shown.as_ref().map(ToString::to_string))
        .bind(write_translations(&message.translations))
        .bind(message.is_settled())
        .bind(millis(message.sent_at))
        .bind(millis(message.changed_at))
}

/// The message of a row.
pub(super) fn read(row: &SqliteRow) -> Result<Message, SqliteError> {
    Ok(Message {
        id: row.parsed("id")?,
        room: row.room("room")?,
        seq: row.seq("seq")?,
        revision: Revision(row.small("revision")?),
        sender: row.user("sender")?,
        client_id: row.maybe("client_id", |id| ClientMessageId::new(id).ok())?,
        text: row.maybe("text", |text| Text::new(text).ok())?.ok_or(SqliteError::Corrupt("text"))?,
        version: row.small("version")?,
        source: row.maybe("source", language)?,
        shown: row.maybe("shown", language)?,
        translations: row.maybe("translations", read_translations)?.ok_or(SqliteError::Corrupt("translations"))?,
        sent_at: row.time("sent_at")?,
        changed_at: row.time("changed_at")?,
    })
}

/// The messages of these rows.
pub(super) fn read_all(rows: &[SqliteRow]) -> Result<Vec<Message>, SqliteError> {
    rows.iter().map(read).collect()
}

/// A language, if it is one.
pub(super) fn language(tag: &str) -> Option<Language> {
    Language::new(tag).ok()
}

#[derive(Serialize, Deserialize)]
struct TranslationRow {
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    cached: bool,
    attempt: u32,
    version: u32,
}

/// The column's text.
pub(super) fn write_translations(translations: &BTreeMap<Language, Translation>) -> String {
    let row = |translation: &Translation| TranslationRow {
        status: translation.status.as_str().to_owned(),
        text: translation.text.clone(),
        engine: translation.engine.clone(),
        source: translation.source.as_ref().map(ToString::to_string),
        cached: translation.cached,
        attempt: translation.attempt,
        version: translation.version,
    };
    let rows: BTreeMap<&str, TranslationRow> = translations.iter().map(|(l, t)| (l.as_str(), row(t))).collect();
    // Strings, numbers and booleans under string keys: there is nothing in it that JSON could not write.
    serde_json::to_string(&rows).unwrap_or_default()
}

fn read_translations(json: &str) -> Option<BTreeMap<Language, Translation>> {
    let rows: BTreeMap<String, TranslationRow> = serde_json::from_str(json).ok()?;
    rows.into_iter().map(|(tag, row)| Some((language(&tag)?, translation(row)?))).collect()
}

fn translation(row: TranslationRow) -> Option<Translation> {
    let source = match row.source {
        Some(tag) => Some(language(&tag)?),
        None => None,
    };
    Some(Translation {
        status: TranslationStatus::parse(&row.status)?,
        text: row.text,
        engine: row.engine,
        source,
        cached: row.cached,
        attempt: row.attempt,
        version: row.version,
    })
}
