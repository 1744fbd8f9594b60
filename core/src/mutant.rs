//! Bugs planted on purpose. Without the feature `mutants` every question is answered `false` at compile time.

/// A bug that the simulator has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Membership is not asked.
    NoMembership,
    /// A refresh writes its row without comparing.
    NoCompareAndSwap,
    /// The RECEIPT goes out before the message is stored.
    #[cfg(feature = "mutants")]
    EarlyReceipt,
}

/// Whether this bug is planted: the environment's `TRANSTALK_MUTANT` names it.
#[cfg(feature = "mutants")]
pub(crate) fn planted(mutant: Mutant) -> bool {
    use std::sync::OnceLock;
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| std::env::var("TRANSTALK_MUTANT").unwrap_or_default());
    name == match mutant {
        Mutant::NoMembership => "no-membership",
        Mutant::NoCompareAndSwap => "no-compare-and-swap",
        Mutant::EarlyReceipt => "early-receipt",
    }
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}
