//! What the people of a world like to do, and how close together. A scenario is a bias of what is drawn, never code of its own:
//! in each of them everything can happen.

use crate::counters::Act;
use crate::options::{Options, Pace};
use crate::random::Random;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scenario {
    /// No bias.
    #[default]
    Everything,
    /// A refresh, and a log-out that comes before, after or between.
    RefreshBesideLogOut,
    /// Two tabs, one cookie, one moment.
    RefreshBesideRefresh,
    /// Messages around the end of a token.
    ExpiryDuringSend,
    /// A sign-in returns while the session before it ends.
    CallbackBesideLogOut,
    /// Somebody has copies.
    StolenToken,
    /// Answers do not arrive.
    LostAnswer,
    /// Another account signs in beside an open connection.
    AccountSwitch,
    /// People leave for good and come again.
    Withdrawal,
    /// Connections that live on their session.
    Lease,
}

/// What people like to do: so many of a thousand actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    /// Refresh, though nothing asks for it.
    pub(crate) refreshes: u64,
    /// End the session, another one of theirs, or all.
    pub(crate) log_outs: u64,
    /// Leave for good.
    pub(crate) withdrawals: u64,
    /// Sign in again beside the session that there is.
    pub(crate) callbacks: u64,
    /// Of a thousand sign-ins, how many are with somebody else's account.
    pub(crate) switches: u64,
    /// Two things at once.
    pub(crate) beside: u64,
    /// Which two, and which is meant to be first.
    pub(crate) pairs: &'static [(Act, Act)],
}

impl Scenario {
    /// All of them: the name, and what it is about.
    pub const ALL: [(Self, &'static str, &'static str); 10] = [
        (Self::Everything, "everything", "no bias: everything happens, as in life"),
        (Self::RefreshBesideLogOut, "refresh-beside-logout", "a refresh, and a log-out before, after or between"),
        (Self::RefreshBesideRefresh, "refresh-beside-refresh", "two tabs present one cookie at one moment"),
        (Self::ExpiryDuringSend, "expiry-during-send", "messages around the end of the access token"),
        (Self::CallbackBesideLogOut, "callback-beside-logout", "a sign-in returns while the session before it ends"),
        (Self::StolenToken, "stolen-token", "a thief uses copies of tokens, old and new"),
        (Self::LostAnswer, "lost-answer", "requests and answers are lost, clients ask again"),
        (Self::AccountSwitch, "account-switch", "another account signs in beside an open connection"),
        (Self::Withdrawal, "withdrawal", "people leave for good, and come again as somebody new"),
        (Self::Lease, "lease", "connections outlive their tokens and end with their session"),
    ];

    /// The scenario of this name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(scenario, ..)| *scenario);
        found.ok_or_else(|| "there is no such scenario: `transtalk-sim scenarios` lists them".to_owned())
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(scenario, ..)| *scenario == self).map_or("", |(_, name, _)| name)
    }

    /// Changes what was drawn.
    pub(crate) fn bias(self, options: &mut Options, random: &mut Random) {
        let r = random;
        let habits = &mut options.habits;
        match self {
            Self::Everything => {}
            Self::RefreshBesideLogOut => {
                (habits.beside, habits.log_outs, habits.pairs) = (250, 30, REFRESH_AND_LOG_OUT);
            }
            Self::RefreshBesideRefresh => {
                (habits.beside, habits.refreshes, habits.pairs) = (300, 150, REFRESH_AND_REFRESH);
                (habits.log_outs, options.grace) = (10, r.pick(&[10, 10, 2, 0]));
            }
            Self::ExpiryDuringSend => {
                (habits.beside, habits.pairs) = (300, EXPIRY);
                (options.access, options.ports) = (r.between(3, 6), r.pick(&SLOW));
            }
            Self::CallbackBesideLogOut => {
                (habits.beside, habits.callbacks, habits.pairs) = (250, 60, CALLBACK);
            }
            Self::StolenToken => {
                (options.thief, habits.refreshes, options.grace) = (true, 250, r.pick(&[10, 2, 2, 0]));
            }
            Self::LostAnswer => {
                (options.lost_requests, options.outages) = (r.pick(&[100, 200, 300]), r.pick(&[0, 20, 60]));
                (habits.refreshes, habits.log_outs) = (250, r.pick(&[0, 10]));
                options.kills = r.pick(&[0, 1, 2]);
            }
            Self::AccountSwitch => (habits.callbacks, habits.switches) = (80, 700),
            Self::Withdrawal => (habits.withdrawals, habits.log_outs) = (60, 10),
            Self::Lease => {
                (options.access, options.same_site) = (r.between(3, 6), [true; 2]);
                (habits.log_outs, options.bus_loss) = (20, r.pick(&[0, 0, 400]));
            }
        }
    }
}

/// Everything beside everything, in both orders. What is rarely under way at the very end of a token stands here more than once.
pub(crate) const ALL_PAIRS: &[(Act, Act)] = &[
    (Act::Refresh, Act::Refresh),
    (Act::Refresh, Act::LogOut),
    (Act::LogOut, Act::Refresh),
    (Act::Refresh, Act::Callback),
    (Act::Callback, Act::Refresh),
    (Act::Refresh, Act::Send),
    (Act::Send, Act::Refresh),
    (Act::LogOut, Act::Callback),
    (Act::Callback, Act::LogOut),
    (Act::LogOut, Act::Send),
    (Act::Send, Act::LogOut),
    (Act::Callback, Act::Send),
    (Act::Send, Act::Callback),
    (Act::Expiry, Act::Refresh),
    (Act::Refresh, Act::Expiry),
    (Act::Expiry, Act::LogOut),
    (Act::LogOut, Act::Expiry),
    (Act::Expiry, Act::Callback),
    (Act::Callback, Act::Expiry),
    (Act::Expiry, Act::Send),
    (Act::Send, Act::Expiry),
    (Act::Refresh, Act::Expiry),
    (Act::LogOut, Act::Expiry),
    (Act::LogOut, Act::Expiry),
    (Act::Callback, Act::Expiry),
    (Act::Callback, Act::Expiry),
    (Act::Callback, Act::Expiry),
    (Act::Expiry, Act::Callback),
];
const REFRESH_AND_LOG_OUT: &[(Act, Act)] = &[(Act::Refresh, Act::LogOut), (Act::LogOut, Act::Refresh)];
const REFRESH_AND_REFRESH: &[(Act, Act)] = &[(Act::Refresh, Act::Refresh)];
const EXPIRY: &[(Act, Act)] = &[(Act::Send, Act::Expiry), (Act::Expiry, Act::Send), (Act::Expiry, Act::Refresh)];
const CALLBACK: &[(Act, Act)] = &[
    (Act::Callback, Act::LogOut),
    (Act::LogOut, Act::Callback),
    (Act::Callback, Act::Expiry),
    (Act::Expiry, Act::Callback),
];
/// Calls that take long enough for something to happen meanwhile.
const SLOW: [Pace; 3] = [Pace::Short, Pace::Long, Pace::Uneven];
