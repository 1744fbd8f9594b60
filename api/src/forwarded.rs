//! What a trusted proxy says of the request that it passes on: `Forwarded` (RFC 7239), and `X-Forwarded-*`.
//!
//! Each proxy adds what it saw to the right of what it was told. So the list is read from the right, as long as the addresses are
//! those of trusted proxies; the first other one is the client, and whatever stands to its left is what that client claims.
//! What is malformed, too long or contradicts itself is not believed at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use poem::http::HeaderMap;

/// What is believed of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The client's address.
    pub(crate) address: Option<IpAddr>,
    /// `http` or `https`, as the client used it.
    pub(crate) scheme: Option<&'static str>,
    /// The host, and the port if there is one, as the client used them.
    pub(crate) host: Option<String>,
}

/// Whether somebody says that they pass this request on for somebody else.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    [FORWARDED, FOR, HOST, PROTO, "x-real-ip"].iter().any(|name| headers.contains_key(*name))
}

/// Whether the address is one of the proxies.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// What a peer says, as far as it is believed: nothing of somebody who is not trusted.
pub(crate) fn read(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Forwarded {
    if !is_trusted(peer, trusted) {
        return Forwarded::default();
    }
    let standard = list(headers, FORWARDED, element).map(|hops| client(&hops, trusted));
    let older = older_hops(headers).map(|hops| client(&hops, trusted));
    match (standard, older) {
        (Ok(standard), Ok(older)) => standard.agree(older).unwrap_or_default(),
        (Err(Malformed), _) | (_, Err(Malformed)) => Forwarded::default(),
    }
}

impl Forwarded {
    /// Both headers together, if they do not contradict each other.
    fn agree(self, other: Self) -> Result<Self, Malformed> {
        Ok(Self {
            address: one(self.address, other.address)?,
            scheme: one(self.scheme, other.scheme)?,
            host: one(self.host, other.host)?,
        })
    }
}

/// What either says, unless they say two things.
fn one<T: PartialEq>(first: Option<T>, second: Option<T>) -> Result<Option<T>, Malformed> {
    match (first, second) {
        (Some(first), Some(second)) if first != second => Err(Malformed),
        (first, second) => Ok(first.or(second)),
    }
}

/// Who sent the request to a proxy, and what that proxy saw of it.
#[derive(Debug, Default)]
struct Hop {
    node: Option<Node>,
    scheme: Option<&'static str>,
    host: Option<String>,
}

/// RFC 7239 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Address(IpAddr),
    /// `unknown`, or an obfuscated name: somebody who is not to be known.
    Hidden,
}

/// It cannot be read, or contradicts itself.
#[derive(Debug)]
struct Malformed;

/// The hop of the client: the first from the right that is not a trusted proxy, or the last one if all of them are.
fn client(hops: &[Hop], trusted: &[IpNet]) -> Forwarded {
    let is_proxy = |hop: &&Hop| matches!(hop.node, Some(Node::Address(address)) if is_trusted(address, trusted));
    let Some(hop) = hops.iter().rev().find(|hop| !is_proxy(hop)).or(hops.first()) else { return Forwarded::default() };
    let address = match hop.node {
        Some(Node::Address(address)) => Some(address),
        Some(Node::Hidden) | None => None,
    };
    Forwarded { address, scheme: hop.scheme, host: hop.host.clone() }
}

/// The older headers as hops. Proxies that write one value of scheme and host mean the whole way; of a list, each belongs to its hop.
fn older_hops(headers: &HeaderMap) -> Result<Vec<Hop>, Malformed> {
    let nodes = list(headers, FOR, |text| older_node(text).ok_or(Malformed))?;
    let schemes = list(headers, PROTO, |text| scheme(text).ok_or(Malformed))?;
    let hosts = list(headers, HOST, |text| host(text).ok_or(Malformed))?;
    let count = nodes.len().max(1);
    if [schemes.len(), hosts.len()].iter().any(|length| *length > 1 && *length != count) {
        return Err(Malformed);
    }
    if nodes.is_empty() && schemes.is_empty() && hosts.is_empty() {
        return Ok(Vec::new());
    }
    let hop = |index: usize| Hop {
        node: nodes.get(index).copied(),
        scheme: schemes.get(index).or(schemes.first()).copied(),
        host: hosts.get(index).or(hosts.first()).cloned(),
    };
    Ok((0..count).map(hop).collect())
}

/// All items of a header, however many lines it has (RFC 9110 section 5.3).
fn list<T>(headers: &HeaderMap, name: &str, item: impl Fn(&str) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let lines: Vec<_> = headers.get_all(name).into_iter().collect();
    if lines.iter().map(|line| line.len()).sum::<usize>() > BYTES_MAX {
        return Err(Malformed);
    }
    let mut items = Vec::new();
    for line in lines {
        for part in split(line.to_str().map_err(|_| Malformed)?, ',')? {
            if items.len() == HOPS_MAX {
                return Err(Malformed);
            }
            items.push(item(part.trim())?);
        }
    }
    Ok(items)
}

/// The parts between separators that are not inside quotation marks.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Malformed> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if quoted { Err(Malformed) } else { Ok(parts) }
}

/// `forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )` (RFC 7239 section 4). Each parameter may come once.
fn element(text: &str) -> Result<Hop, Malformed> {
    let (mut hop, mut seen) = (Hop::default(), Vec::new());
    for pair in split(text, ';')?.into_iter().filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.trim().split_once('=').ok_or(Malformed)?;
        let (name, value) = (name.to_ascii_lowercase(), value_of(value).ok_or(Malformed)?);
        if !is_token(&name) || seen.contains(&name) {
            return Err(Malformed);
        }
        match name.as_str() {
            "for" => hop.node = Some(node(&value).ok_or(Malformed)?),
            "proto" => hop.scheme = Some(scheme(&value).ok_or(Malformed)?),
            "host" => hop.host = Some(host(&value).ok_or(Malformed)?),
            // `by`, and extensions.
            _ => {}
        }
        seen.push(name);
    }
    Ok(hop)
}

/// `value = token / quoted-string`.
fn value_of(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else { return is_token(text).then(|| text.to_owned()) };
    let mut value = String::new();
    let mut characters = quoted.strip_suffix('"')?.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => value.push(characters.next()?),
            '"' => return None,
            c => value.push(c),
        }
    }
    Some(value)
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// `node = nodename [ ":" node-port ]`, where an IPv6 address is always in brackets.
fn node(text: &str) -> Option<Node> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let address = Node::Address(IpAddr::from(address.parse::<Ipv6Addr>().ok()?).to_canonical());
            return is_port(after).then_some(address);
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_obfuscated = |text: &str| {
        let name = text.strip_prefix('_');
        name.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        })
    };
    let is_port = is_port(port) || port.strip_prefix(':').is_some_and(is_obfuscated);
    if !is_port {
        None
    } else if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        Some(Node::Hidden)
    } else {
        Some(Node::Address(name.parse::<Ipv4Addr>().ok()?.into()))
    }
}

/// Here an IPv6 address may come without brackets, since nobody ever said how it should.
fn older_node(text: &str) -> Option<Node> {
    let bare = text.parse::<IpAddr>().ok().map(|address| Node::Address(address.to_canonical()));
    bare.or_else(|| node(text))
}

/// Nothing, or `:` and a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(text))
}

/// A host as it may stand in an address: nothing of it can be taken for a path, a query, or somebody's password.
fn host(text: &str) -> Option<String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    let known = plain && text.len() <= HOST_BYTES_MAX && url::Url::parse(&format!("http://{text}/")).is_ok();
    known.then(|| text.to_ascii_lowercase())
}

const FORWARDED: &str = "forwarded";
const FOR: &str = "x-forwarded-for";
const HOST: &str = "x-forwarded-host";
const PROTO: &str = "x-forwarded-proto";
/// All lines of one header together.
const BYTES_MAX: usize = 2_048;
/// Nobody stands behind so many proxies.
const HOPS_MAX: usize = 32;
/// RFC 1035 section 2.3.4, and a port.
const HOST_BYTES_MAX: usize = 255 + 6;

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        lines.iter().map(line).collect::<Vec<(HeaderName, HeaderValue)>>().into_iter().fold(
            HeaderMap::new(),
            |mut all, (name, value)| {
                all.append(name, value);
                all
            },
        )
    }

    fn said(peer: &str, lines: &[(&str, &str)]) -> Forwarded {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
        read(peer.parse().unwrap(), &headers(lines), &trusted)
    }

    fn check(peer: &str, lines: &[(&str, &str)], expect: Option<&str>) {
        assert_eq!(said(peer, lines).address, expect.map(|text| text.parse().unwrap()), "{peer} {lines:?}");
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let lines = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("forwarded", "host=a.example")];
        for peer in ["192.0.2.9", "127.0.0.1", "::1", "2001:db8::1"] {
            assert_eq!(said(peer, &lines), Forwarded::default(), "{peer}");
        }
    }

    #[test]
    fn the_client_is_the_first_from_the_right_who_is_no_proxy() {
        for (value, expect) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1, 192.0.2.2", Some("192.0.2.2")),
            ("192.0.2.1, 192.0.2.2, 10.1.2.3,10.0.0.1", Some("192.0.2.2")),
            ("10.1.2.3, 10.0.0.1", Some("10.1.2.3")),
            ("192.0.2.1, ::ffff:10.0.0.1", Some("192.0.2.1")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("[2001:db8::7]:4711", Some("2001:db8::7")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("192.0.2.1, unknown", None),
            ("unknown, 192.0.2.1", Some("192.0.2.1")),
            ("", None),
            ("192.0.2.1,", None),
            ("192.0.2.1, 192.0.2", None),
            ("192.0.2.1;192.0.2.2", None),
            ("192.0.2.256", None),
            ("2001:db8::7::", None),
            ("192.0.2.1:x", None),
            ("192.0.2.1:99999", None),
            ("localhost", None),
        ] {
            check("10.0.0.9", &[("x-forwarded-for", value)], expect);
        }
        check("::ffff:10.0.0.9", &[("x-forwarded-for", "192.0.2.1")], Some("192.0.2.1"));
        check("fd00::9", &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "fd00::8")], Some("192.0.2.1"));
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        for (value, expect) in [
            ("for=192.0.2.43", Some("192.0.2.43")),
            ("For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60")),
            ("for=192.0.2.43, for=198.51.100.17", Some("198.51.100.17")),
            ("for=192.0.2.43,for=10.0.0.1;by=_here", Some("192.0.2.43")),
            ("for=\"192.0.2.43:47011\"", Some("192.0.2.43")),
            ("for=\"192.0.2.43:_port\"", Some("192.0.2.43")),
            ("for=\"192.0.\\2.43\"", Some("192.0.2.43")),
            ("for=192.0.2.43;secret=\"a,b;c=\\\"d\"", Some("192.0.2.43")),
            ("for=_hidden", None),
            ("for=\"_SEVKISEK:_1\"", None),
            ("for=unknown", None),
            ("for=192.0.2.43, for=_hidden", None),
            ("for=_hidden, for=192.0.2.43", Some("192.0.2.43")),
            ("proto=https", None),
            ("for=192.0.2.43:47011", None),
            ("for=[2001:db8::1]", None),
            ("for=\"2001:db8::1\"", None),
            ("for=192.0.2.43;for=192.0.2.44", None),
            ("for=192.0.2.43, nonsense", None),
            ("for=192.0.2.43;", Some("192.0.2.43")),
            ("for = 192.0.2.43", None),
            ("for=\"192.0.2.43", None),
            ("for=\"192.0.2.43\"x", None),
            ("for=_", None),
            ("for=", None),
        ] {
            check("10.0.0.9", &[("forwarded", value)], expect);
        }
    }

    #[test]
    fn two_headers_that_disagree_are_not_believed() {
        for (standard, older, expect) in [
            ("for=192.0.2.1", "192.0.2.1", Some("192.0.2.1")),
            ("for=192.0.2.1, for=10.0.0.1", "192.0.2.1", Some("192.0.2.1")),
            ("for=192.0.2.1", "192.0.2.2", None),
            ("for=192.0.2.1", "nonsense", None),
            ("nonsense", "192.0.2.1", None),
            ("proto=https", "192.0.2.1", Some("192.0.2.1")),
        ] {
            check("10.0.0.9", &[("forwarded", standard), ("x-forwarded-for", older)], expect);
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let many = |count: usize| vec!["192.0.2.1"; count].join(",");
        check("10.0.0.9", &[("x-forwarded-for", &many(HOPS_MAX))], Some("192.0.2.1"));
        check("10.0.0.9", &[("x-forwarded-for", &many(HOPS_MAX + 1))], None);
        let spaces = " ".repeat(BYTES_MAX);
        check("10.0.0.9", &[("x-forwarded-for", &format!("192.0.2.1,{spaces}192.0.2.1"))], None);
    }

    #[test]
    fn scheme_and_host_are_those_that_the_client_used() {
        for (lines, scheme, host) in [
            (
                &[("x-forwarded-proto", "https"), ("x-forwarded-host", "Chat.example")][..],
                Some("https"),
                Some("chat.example"),
            ),
            (&[("x-forwarded-proto", "HTTPS")], Some("https"), None),
            (
                &[("forwarded", "for=192.0.2.1;proto=https;host=\"chat.example:8443\"")],
                Some("https"),
                Some("chat.example:8443"),
            ),
            // The inner proxy was spoken to in another way; what the client claims is further left.
            (
                &[(
                    "forwarded",
                    "host=evil.example, for=192.0.2.1;host=chat.example;proto=https, for=10.0.0.1;proto=http",
                )],
                Some("https"),
                Some("chat.example"),
            ),
            (&[("x-forwarded-for", "192.0.2.1, 10.0.0.1"), ("x-forwarded-proto", "https, http")], Some("https"), None),
            (&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https, http")], None, None),
            (&[("x-forwarded-proto", "ftp"), ("x-forwarded-host", "chat.example")], None, None),
            (&[("x-forwarded-host", "chat.example/path")], None, None),
            (&[("x-forwarded-host", "user@chat.example")], None, None),
            (&[("forwarded", "proto=https"), ("x-forwarded-proto", "http")], None, None),
        ] {
            let said = said("10.0.0.9", lines);
            assert_eq!((said.scheme, said.host.as_deref()), (scheme, host), "{lines:?}");
        }
    }
}
