//! `transtalk keys`: what is in the key file, and new keys beside those that are there.
//!
//! A running server notices within five seconds. A new key signs only after a minute, when every server that shares the file has read
//! it; what older keys made stays good for the overlap. No secret is ever printed.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::Place;
use crate::config::{Algorithm, Config, Flags};
use crate::{duration, wire};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows the keys of the server, without their secrets.
    List {
        #[command(flatten)]
        place: Place,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Adds a new key for tokens and a new secret for refresh tokens, and drops what was replaced longer ago than the overlap.
    Rotate(Rotate),
}

#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    place: Place,
    /// How long a replaced key is still believed [default: as long as a session lives at most].
    #[arg(long, value_name = "DURATION", value_parser = duration::argument)]
    overlap: Option<Duration>,
    /// What the new key signs with [default: auth.algorithm].
    #[arg(long, value_name = "NAME", value_parser = algorithm)]
    algorithm: Option<Algorithm>,
    /// A key has leaked: the new one signs at once, and all older ones are gone. Everybody has to sign in again.
    #[arg(long)]
    now: bool,
}

/// How keys are to be replaced.
pub(crate) struct Rotation {
    pub(crate) overlap: Duration,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) now: bool,
}

/// A key, without its secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    pub(crate) kid: String,
    #[serde(rename = "use")]
    pub(crate) usage: &'static str,
    pub(crate) algorithm: &'static str,
    pub(crate) state: &'static str,
    pub(crate) created_at: String,
    pub(crate) active_from: String,
    pub(crate) retired_at: Option<String>,
}

/// What is to be printed.
pub(crate) fn run(command: Command) -> anyhow::Result<String> {
    match command {
        Command::List { place, json } => {
            let keys = wire::list_keys(&config(place)?)?;
            if json { Ok(serde_json::to_string_pretty(&keys)? + "\n") } else { Ok(table(&keys)) }
        }
        Command::Rotate(Rotate { place, overlap, algorithm, now }) => {
            let config = config(place)?;
            let overlap = overlap.unwrap_or(config.auth.refresh_absolute_ttl);
            let rotation = Rotation { overlap, algorithm, now };
            let (added, dropped) = wire::rotate_keys(&config, &rotation)?;
            let mut text = format!("Added:\n{}", table(&added));
            for kid in dropped {
                // Writing to a String does not fail.
                let _ = writeln!(text, "Dropped: {kid}");
            }
            if now && config.auth.algorithm == Algorithm::Hs256 && !config.auth.hs256_secret.is_empty() {
                text.push_str("auth.hs256_secret signs, and is not in the key file: if it has leaked, change it and restart the server.\n");
            }
            Ok(text)
        }
    }
}

fn config(Place { data, config }: Place) -> anyhow::Result<Config> {
    Ok(Config::load(&Flags { config, data, listen: None })?)
}

fn table(keys: &[Key]) -> String {
    let head = ["KID", "USE", "ALGORITHM", "STATE", "CREATED", "ACTIVE FROM", "REPLACED"];
    let mut rows = vec![head];
    rows.extend(keys.iter().map(|key| {
        let Key { kid, usage, algorithm, state, created_at, active_from, retired_at } = key;
        [kid, *usage, *algorithm, *state, created_at, active_from, retired_at.as_deref().unwrap_or("-")]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::ALL
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
        .ok_or_else(|| "EdDSA, ES256 or HS256".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let key = |kid: &str, retired_at: Option<&str>| Key {
            kid: kid.to_owned(),
            usage: "signing",
            algorithm: "EdDSA",
            state: "active",
            created_at: "2026-01-01T00:00:00.000Z".to_owned(),
            active_from: "2026-01-01T00:01:00.000Z".to_owned(),
            retired_at: retired_at.map(str::to_owned),
        };
        let text = table(&[key("abc", None), key("abcdef", Some("2026-02-01T00:00:00.000Z"))]);
        let columns: Vec<_> = text.lines().map(|line| line.find("EdDSA").or(line.find("ALGORITHM"))).collect();
        assert_eq!(columns, [Some(17); 3], "{text}");
        assert!(text.lines().nth(1).is_some_and(|line| line.ends_with(" -")), "{text}");
    }
}
