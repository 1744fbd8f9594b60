//! Durations and lists as people write them in a configuration: `30m`, `5s`, `250ms` or plain seconds; `a,b` or a list; networks.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Reads `30m`, `5s`, `250ms`, `2h`, `7d`, or a number of seconds.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as 30m, 5s, 250ms, or a number of seconds")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }

        fn visit_u64<E: Error>(self, secs: u64) -> Result<Duration, E> {
            self.visit_str(&secs.to_string())
        }

        fn visit_i64<E: Error>(self, secs: i64) -> Result<Duration, E> {
            self.visit_str(&secs.to_string())
        }
    }
    deserializer.deserialize_any(Text)
}

/// Reads `a,b` or `["a", "b"]`. Blanks around an item and empty items are dropped.
pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list, or a text with commas")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element::<String>()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(Items)
}

/// Reads a list whose items may be separated by blanks, too.
pub(crate) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let items = list(deserializer)?;
    Ok(items.iter().flat_map(|item| item.split_ascii_whitespace()).map(str::to_owned).collect())
}

/// Reads a list of networks: `10.0.0.0/8`, `fd00::/8`, or an address, which is a network of one.
pub(crate) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| D::Error::custom(format_args!("{text:?} is not a network such as 10.0.0.0/8 or fd00::/8")))
    };
    list(deserializer)?.iter().map(network).collect()
}

/// Reads it from a command line.
pub(crate) fn argument(text: &str) -> Result<Duration, String> {
    parse(text).ok_or_else(|| "a duration such as 30d, 12h or 90s".to_owned())
}

/// At most a hundred years: what is longer is a mistake.
fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let millis = number.checked_mul(millis)?;
    (millis <= 36_525 * 86_400_000).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("30m", 1_800_000),
            ("5s", 5_000),
            ("5", 5_000),
            ("250ms", 250),
            ("2h", 7_200_000),
            ("1 d", 86_400_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "m", "-1", "1.5s", "1 week", "99999999999999999999", "40000d"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
