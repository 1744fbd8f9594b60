//! What a world is like. All of it is drawn from the seed, so that some worlds are calm, some have one kind of trouble
//! and some have every kind at once (swarm testing: Groce et al., 2012).

use std::fmt;
use std::time::Duration;

use transtalk_core::auth::Lifetimes;

use crate::random::{Part, Random};
use crate::scenario::{ALL_PAIRS, Habits, Scenario};

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// No time, and nobody comes between.
    Still,
    /// No time, but others may come between.
    Prompt,
    /// A few milliseconds.
    Short,
    /// Up to a third of a second.
    Long,
    /// Mostly short, now and then seconds.
    Uneven,
}

impl Pace {
    /// So many milliseconds; `None` does not even let others go first.
    pub(crate) fn draw(self, random: &mut Random) -> Option<u64> {
        Some(match self {
            Self::Still => return None,
            Self::Prompt => 0,
            Self::Short => random.between(0, 5),
            Self::Long => random.between(0, 300),
            Self::Uneven if random.chance(50) => random.between(500, 4_000),
            Self::Uneven => random.between(0, 10),
        })
    }

    /// So many milliseconds, mostly.
    pub(crate) fn mostly(self) -> u64 {
        match self {
            Self::Still | Self::Prompt => 0,
            Self::Short => 3,
            Self::Long => 150,
            Self::Uneven => 5,
        }
    }
}

/// Of a world where tokens end, more are slow: something is under way then.
const PORTS: [Pace; 6] = [Pace::Still, Pace::Prompt, Pace::Prompt, Pace::Short, Pace::Long, Pace::Uneven];
const SLOW_PORTS: [Pace; 6] = [Pace::Prompt, Pace::Short, Pace::Short, Pace::Long, Pace::Long, Pace::Uneven];

/// The options of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// How many servers share the store.
    pub(crate) nodes: usize,
    /// How many browser tabs alice and bob have.
    pub(crate) tabs: [u64; 2],
    /// How many messages each tab wants to send.
    pub(crate) messages: u64,
    /// How long the trouble lasts, in milliseconds.
    pub(crate) trouble: u64,
    /// How long a call of a port takes, before the act and again after it.
    pub(crate) ports: Pace,
    /// How many calls of a thousand fail; half of them after the act.
    pub(crate) outages: u64,
    /// How many of a thousand events the bus loses.
    pub(crate) bus_loss: u64,
    /// How long the bus takes.
    pub(crate) bus: Pace,
    /// How long a translation takes.
    pub(crate) translator: Pace,
    /// How many of a thousand translations fail.
    pub(crate) untranslated: u64,
    /// How long bytes travel.
    pub(crate) network: Pace,
    /// Whether bytes arrive in other pieces than they were sent.
    pub(crate) pieces: bool,
    /// The mean time between two cuts of a link, in milliseconds; 0 for none.
    pub(crate) cuts: u64,
    /// How many of a thousand requests or their answers are lost.
    pub(crate) lost_requests: u64,
    /// How often a node is killed.
    pub(crate) kills: u64,
    /// How long an access token lives, in seconds.
    pub(crate) access: u64,
    /// How long a refresh token lives, in seconds.
    pub(crate) refresh: u64,
    /// The grace window, in seconds.
    pub(crate) grace: u64,
    /// How long a first publication waits, in milliseconds.
    pub(crate) hold: u64,
    /// The end of a session, however often it is refreshed, in seconds.
    pub(crate) absolute: u64,
    /// Whether alice's and bob's cookies are sent with the upgrade to a socket.
    pub(crate) same_site: [bool; 2],
    /// Whether in the end a node cannot ask about its sockets' sessions, for longer than its patience lasts.
    pub(crate) blackout: bool,
    /// Whether somebody else steals copies of tokens.
    pub(crate) thief: bool,
    /// What people like to do.
    pub(crate) habits: Habits,
    /// The mean pause between two actions of a tab, in milliseconds.
    pub(crate) pause: u64,
}

impl Options {
    /// The options of this seed, as the scenario would have them.
    pub(crate) fn draw(seed: u64, scenario: Scenario) -> Self {
        let mut random = Random::child(seed, Part::Options);
        let mut options = Self::any(&mut random);
        scenario.bias(&mut options, &mut random);
        options
    }

    fn any(r: &mut Random) -> Self {
        let short_tokens = r.chance(450);
        Self {
            nodes: if r.chance(400) { 2 } else { 1 },
            tabs: [2, r.between(1, 2)],
            messages: r.between(2, 6),
            trouble: r.between(5, 14) * 1_000,
            ports: r.pick(if short_tokens { &SLOW_PORTS } else { &PORTS }),
            outages: r.pick(&[0, 0, 0, 5, 20, 60]),
            bus_loss: r.pick(&[0, 0, 50, 400]),
            bus: r.pick(&[Pace::Still, Pace::Prompt, Pace::Short, Pace::Long]),
            translator: r.pick(&[Pace::Prompt, Pace::Short, Pace::Long, Pace::Uneven]),
            untranslated: r.pick(&[0, 0, 100, 1_000]),
            network: r.pick(&[Pace::Prompt, Pace::Short, Pace::Short, Pace::Long, Pace::Uneven]),
            pieces: r.chance(500),
            cuts: r.pick(&[0, 0, 1_000, 4_000]),
            lost_requests: r.pick(&[0, 0, 50, 200]),
            kills: r.pick(&[0, 0, 0, 1, 2, 3]),
            access: if short_tokens { r.between(3, 10) } else { 1_800 },
            refresh: if r.chance(100) { r.between(10, 30) } else { 7 * 24 * 3_600 },
            grace: r.pick(&[10, 10, 2, 0]),
            hold: r.pick(&[800, 800, 100, 0]),
            absolute: if r.chance(100) { r.between(10, 40) } else { 30 * 24 * 3_600 },
            same_site: [r.chance(700), r.chance(700)],
            blackout: r.chance(10),
            thief: r.chance(250),
            habits: Habits {
                refreshes: r.pick(&[0, 50, 200, 400]),
                log_outs: r.pick(&[0, 0, 20, 60]),
                withdrawals: r.pick(&[0, 0, 0, 10]),
                callbacks: r.pick(&[0, 0, 15]),
                switches: r.pick(&[0, 300]),
                beside: r.pick(&[0, 200, 400]),
                pairs: ALL_PAIRS,
            },
            pause: r.pick(&[100, 400, 1_200]),
        }
    }

    /// How long the parts of a session live.
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: Duration::from_secs(self.access),
            refresh: Duration::from_secs(self.refresh),
            grace: Duration::from_secs(self.grace),
            absolute: Duration::from_secs(self.absolute),
        }
    }

    /// How soon after the end of a session its sockets are silent, in milliseconds (S1). Where the bus is up, it is quick; else the
    /// sessions of all sockets are looked at every half minute, which takes a moment.
    pub(crate) fn socket_delta(&self) -> u64 {
        let is_up = self.bus_loss == 0 && self.outages == 0;
        let is_quick = matches!(self.bus, Pace::Still | Pace::Prompt | Pace::Short);
        if is_up && is_quick { 1_000 } else { RECHECKED_WITHIN }
    }

    /// How long a call of a port takes here, mostly, in milliseconds.
    pub(crate) fn call_millis(&self) -> u64 {
        2 * self.ports.mostly()
    }
}

/// One line, for the first line of a run.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [alice, bob] = self.tabs;
        write!(f, "nodes={} tabs={alice}+{bob} messages={} trouble={}ms ", self.nodes, self.messages, self.trouble)?;
        write!(f, "ports={:?} outages={}/1000 bus={:?} ", self.ports, self.outages, self.bus)?;
        write!(f, "bus-loss={}/1000 translator={:?} ", self.bus_loss, self.translator)?;
        write!(f, "untranslated={}/1000 network={:?} pieces={} ", self.untranslated, self.network, self.pieces)?;
        write!(f, "cuts={}ms lost-requests={}/1000 kills={} ", self.cuts, self.lost_requests, self.kills)?;
        write!(f, "access={}s refresh={}s grace={}s ", self.access, self.refresh, self.grace)?;
        write!(f, "absolute={}s hold={}ms same-site={:?} ", self.absolute, self.hold, self.same_site)?;
        let Habits { refreshes, log_outs, withdrawals, callbacks, switches, beside, .. } = self.habits;
        write!(f, "refreshes={refreshes} log-outs={log_outs} withdrawals={withdrawals} callbacks={callbacks} ")?;
        write!(f, "switches={switches} beside={beside} thief={} blackout={} ", self.thief, self.blackout)?;
        write!(f, "pause={}ms", self.pause)
    }
}

/// The sessions of all sockets are looked at every half minute.
pub(crate) const RECHECKED_WITHIN: u64 = 31_000;
