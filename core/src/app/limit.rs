//! How often somebody may do what costs us something: sign in, refresh, buy a ticket, connect.

use std::net::IpAddr;
use std::time::Duration;

use super::Services;
use crate::error::Failure;
use crate::id::{SessionId, UserId};
use crate::ports::{Allowance, Taken};

/// Allowances a minute; 0 switches one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sign-ins of one address, and of one account.
    pub sign_in: u32,
    /// Refreshes of one session, and attempts without an authentic cookie from one address.
    pub refresh: u32,
    /// Tickets of one address, and of one account.
    pub ticket: u32,
    /// Connections from one address, and of one account.
    pub connect: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // Far above what people do, since many of them may share one address; far below what hurts.
        Self { sign_in: 1_200, refresh: 600, ticket: 600, connect: 12_000 }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Beginning a sign-in.
    BeginSignIn,
    /// Completing a sign-in.
    SignIn,
    /// A refresh.
    Refresh,
    /// A ticket.
    Ticket,
    /// A connection.
    Connect,
}

/// Whose allowance it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer<'a> {
    /// Everybody behind this network address.
    Address(&'a str),
    /// This account.
    Account(UserId),
    /// This session.
    Session(SessionId),
}

/// Takes one from an allowance. An empty one is [`Failure::TooMany`]. If the allowances themselves are out of reach, nobody is
/// held up: they protect the server, not the users' accounts.
pub async fn spend(services: &Services, what: Limited, payer: Payer<'_>) -> Result<(), Failure> {
    let limits = &services.settings.limits;
    let (name, amount) = match what {
        Limited::BeginSignIn => ("begin-sign-in", limits.sign_in),
        Limited::SignIn => ("sign-in", limits.sign_in),
        Limited::Refresh => ("refresh", limits.refresh),
        Limited::Ticket => ("ticket", limits.ticket),
        Limited::Connect => ("connect", limits.connect),
    };
    if amount == 0 {
        return Ok(());
    }
    let key = match payer {
        Payer::Address(address) => format!("{name}:address:{}", network(address)),
        Payer::Account(user) => format!("{name}:account:{user}"),
        Payer::Session(session) => format!("{name}:session:{session}"),
    };
    let allowance = Allowance { amount, period: Duration::from_mins(1) };
    match services.rate_limits.take(&key, allowance, services.clock.now()).await {
        Ok(Taken::Denied { retry_after }) => Err(Failure::TooMany { retry_after }),
        Ok(Taken::Allowed) | Err(_) => Ok(()),
    }
}

/// The address as it is counted: of IPv6 the first 64 bits, because whoever has one such network has all its addresses.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_payer() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::9"));
        assert_ne!(network("2001:db8:1:2::9"), network("2001:db8:1:3::9"));
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
    }
}
