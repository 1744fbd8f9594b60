//! Bugs planted on purpose. Without the feature `mutants` every question is answered `false` at compile time.

macro_rules! mutants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// A bug that the simulator has to find.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mutant {
            $($(#[$doc])* $variant,)*
        }

        impl Mutant {
            #[cfg(feature = "mutants")]
            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

mutants! {
    /// Membership is not asked.
    NoMembership = "no-membership";
    /// A refresh writes its row without comparing.
    NoCompareAndSwap = "no-compare-and-swap";
    /// The RECEIPT goes out before the message is stored.
    #[cfg(feature = "mutants")]
    EarlyReceipt = "early-receipt";
    /// A refresh is granted though the session was ended.
    RefreshIgnoresRevocation = "refresh-ignores-revocation";
    /// The second of two tabs is given a generation of its own.
    GraceForks = "grace-forks";
    /// An old refresh token is taken for a lost response.
    ReuseForgiven = "reuse-forgiven";
    /// A lost response is taken for reuse.
    LossIsReuse = "loss-is-reuse";
    /// A rotation moves the absolute end of its session.
    RotationExtendsAbsolute = "rotation-extends-absolute";
    /// An access token is taken after its end.
    ExpiryIgnored = "expiry-ignored";
    /// All access tokens have one `jti`.
    JtiRepeats = "jti-repeats";
    /// An access token is taken without a look at its session.
    SessionNotAsked = "session-not-asked";
    /// Log-out everywhere ends the one session that asks.
    EverywhereEndsOne = "everywhere-ends-one";
    /// The end of a session is recorded twice.
    EndRecordedTwice = "end-recorded-twice";
    /// The sockets of a session that has ended are not told.
    LogOutKeepsSockets = "log-out-keeps-sockets";
    /// The sessions of sockets are not looked at again.
    LeaseNeverRechecked = "lease-never-rechecked";
    /// A node that cannot ask about its sockets' sessions keeps them for ever.
    PatienceWithoutEnd = "patience-without-end";
    /// A connection is a lease without a cookie.
    LeaseWithoutCookie = "lease-without-cookie";
    /// A frame with a newer token renews nothing.
    RenewalForgotten = "renewal-forgotten";
    /// A frame with another user's token is done.
    SwitchedTokenAccepted = "switched-token-accepted";
    /// A ticket is good twice.
    TicketTwice = "ticket-twice";
    /// What providers granted is not given back.
    GrantsKept = "grants-kept";
}

/// Whether this bug is planted: the environment's `TRANSTALK_MUTANT` names it.
#[cfg(feature = "mutants")]
pub(crate) fn planted(mutant: Mutant) -> bool {
    use std::sync::OnceLock;
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| std::env::var("TRANSTALK_MUTANT").unwrap_or_default());
    name == mutant.name()
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}
