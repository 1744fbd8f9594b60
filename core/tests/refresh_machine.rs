//! What a presented refresh token is: [`Session::classify`] and [`Session::rotated`] beside a model that can be checked by eye.
//!
//! The model keeps no session: it keeps what happened (when each token was made, which were used, whether it is over) and says in one
//! sentence each what a token is.

use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use transtalk_core::auth::{Device, Generation, Lifetimes, Presented, Session};
use transtalk_core::{Timestamp, UserId};

const GRACE: u64 = 10;
const SLIDING: u64 = 7 * 24 * 60 * 60;
const ABSOLUTE: u64 = 30 * 24 * 60 * 60;

#[derive(Clone, Debug)]
enum Step {
    /// So many seconds pass.
    Wait(u64),
    /// Somebody presents the refresh token of this number.
    Present(u32),
    /// Somebody uses an access token that came with this number.
    Use(u32),
    /// The user logs out.
    LogOut,
}

/// What happened so far.
#[derive(Clone, Debug)]
struct Story {
    now: u64,
    /// When each refresh token was made, the first one's moment first.
    made: Vec<u64>,
    /// The newest number of which an access token was used.
    used: u32,
    /// Logged out, or an old token came back.
    ended: bool,
    /// What the last presented token was.
    verdict: Option<Presented>,
}

impl Story {
    fn newest(&self) -> u32 {
        u32::try_from(self.made.len()).unwrap()
    }

    fn newest_made(&self) -> u64 {
        *self.made.last().unwrap()
    }

    fn is_over(&self) -> bool {
        self.ended || self.now >= self.newest_made() + SLIDING || self.now >= self.made[0] + ABSOLUTE
    }

    fn judge(&self, number: u32) -> Presented {
        let age = self.now - self.newest_made();
        if self.is_over() {
            Presented::Ended
        } else if number == self.newest() {
            Presented::Current
        } else if number + 1 == self.newest() && age <= GRACE {
            Presented::Concurrent
        } else if number + 1 == self.newest() && self.used < self.newest() {
            Presented::LostResponse
        } else {
            Presented::Reuse
        }
    }
}

struct Model;

impl ReferenceStateMachine for Model {
    type State = Story;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Story> {
        Just(Story { now: 1_000, made: vec![1_000], used: 1, ended: false, verdict: None }).boxed()
    }

    fn transitions(story: &Story) -> BoxedStrategy<Step> {
        let newest = story.newest();
        let seconds = prop_oneof![
            4 => 0..=GRACE + 2,
            2 => GRACE..=60u64,
            1 => Just(SLIDING - 1),
            1 => Just(SLIDING),
            2 => 0..4 * 24 * 60 * 60u64,
        ];
        prop_oneof![
            4 => seconds.prop_map(Step::Wait),
            // The current one most often, then those behind it, and one that was never made.
            5 => Just(Step::Present(newest)),
            4 => Just(Step::Present(newest.saturating_sub(1).max(1))),
            1 => (1..=newest + 1).prop_map(Step::Present),
            3 => (1..=newest).prop_map(Step::Use),
            1 => Just(Step::LogOut),
        ]
        .boxed()
    }

    fn apply(mut story: Story, step: &Step) -> Story {
        story.verdict = None;
        match step {
            Step::Wait(seconds) => story.now += seconds,
            Step::Use(number) => {
                if !story.is_over() {
                    story.used = story.used.max(*number);
                }
            }
            Step::LogOut => story.ended = true,
            Step::Present(number) => {
                let verdict = story.judge(*number);
                story.verdict = Some(verdict);
                match verdict {
                    Presented::Current => story.made.push(story.now),
                    Presented::Reuse => story.ended = true,
                    Presented::Concurrent | Presented::LostResponse | Presented::Ended => {}
                }
            }
        }
        story
    }
}

/// The real rules, with the row that a store would keep.
struct Real {
    session: Session,
    lifetimes: Lifetimes,
    now: Timestamp,
    absolute_end: Timestamp,
}

struct Refreshing;

impl StateMachineTest for Refreshing {
    type SystemUnderTest = Real;
    type Reference = Model;

    fn init_test(story: &Story) -> Real {
        let lifetimes = Lifetimes {
            refresh: Duration::from_secs(SLIDING),
            absolute: Duration::from_secs(ABSOLUTE),
            grace: Duration::from_secs(GRACE),
            ..Lifetimes::default()
        };
        let id = "00112233445566778899aabbccddeeff".parse().unwrap();
        let now = Timestamp::from_secs(story.now);
        let session = Session::begin(id, UserId::new(1).unwrap(), Device::default(), &lifetimes, now);
        Real { absolute_end: session.absolute_expires_at, session, lifetimes, now }
    }

    fn apply(mut real: Real, story: &Story, step: Step) -> Real {
        let Real { session, lifetimes, now, .. } = &mut real;
        match step {
            Step::Wait(seconds) => *now = now.plus(Duration::from_secs(seconds)),
            Step::Use(number) => {
                if session.is_live(*now) {
                    session.acknowledged = session.acknowledged.max(Generation(number).min(session.generation));
                }
            }
            Step::LogOut => {
                session.revoked_at.get_or_insert(*now);
            }
            Step::Present(number) => {
                let before = session.clone();
                let found = session.classify(Generation(number), lifetimes.grace, *now);
                assert_eq!(Some(found), story.verdict, "{number} of {before:?} at {now}");
                assert_eq!(*session, before, "to ask changes nothing");
                let honoured = session.honours(Generation(number), lifetimes.grace, *now);
                assert_eq!(honoured, !matches!(found, Presented::Reuse | Presented::Ended));
                match found {
                    Presented::Current => *session = session.rotated(lifetimes, *now),
                    Presented::Reuse => session.revoked_at = Some(*now),
                    Presented::Concurrent | Presented::LostResponse | Presented::Ended => {}
                }
            }
        }
        real
    }

    fn check_invariants(real: &Real, story: &Story) {
        let Real { session, lifetimes, now, absolute_end } = real;
        let verdict = |number| session.classify(Generation(number), lifetimes.grace, *now);
        let all: Vec<Presented> = (1..=story.newest() + 1).map(verdict).collect();
        // T1, T2: there is one current token at most, and the answer to its predecessor is that same one.
        let current = all.iter().filter(|found| **found == Presented::Current).count();
        assert_eq!(current, usize::from(session.is_live(*now)), "T1");
        let same = all.iter().filter(|found| matches!(found, Presented::Concurrent | Presented::LostResponse)).count();
        assert!(same <= 1, "T1: grace reaches one back");
        // T3, T4: what is over stays over, whatever is presented.
        assert_eq!(session.is_live(*now), !story.is_over(), "T4");
        if story.ended {
            assert!(all.iter().all(|found| *found == Presented::Ended), "T3");
        }
        // T9: no rotation moves the absolute end, nor outlives it.
        assert_eq!(session.absolute_expires_at, *absolute_end, "T9");
        assert!(session.expires_at <= *absolute_end, "T9");
        assert_eq!(session.generation.0, story.newest());
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t1_t2_t3_t4_t9_t10_every_presented_token_is_what_the_model_says(sequential 1..40 => Refreshing);
}
