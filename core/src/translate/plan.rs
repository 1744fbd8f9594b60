//! Which translations a message needs, and which of them stands for all on the wire.

use std::collections::BTreeMap;

use super::Language;
use crate::chat::Translation;

/// What is to be done for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The language whose translation is the wire's `translatedMessage`; `None` when nothing is to be translated.
    pub shown: Option<Language>,
    /// By language: pending, or skipped where the text is in that language already.
    pub translations: BTreeMap<Language, Translation>,
}

/// Each language that somebody in the room reads, once each. A member without a language of their own reads the room's.
///
/// The room's language was chosen when it was opened, so it is what the wire shows; where the text is already in it,
/// the wire shows what the others read.
pub fn plan(
    source: Option<&Language>,
    room: &Language,
    others_read: &[Option<Language>],
    sender_reads: Option<&Language>,
) -> Plan {
    let others = others_read.iter().map(|own| own.as_ref().unwrap_or(room));
    let wanted: Vec<&Language> = std::iter::once(room).chain(others).chain(sender_reads).collect();
    let is_source = |language: &Language| source.is_some_and(|source| source.same_primary(language));
    let translations = wanted
        .iter()
        .map(|language| {
            let translation = if is_source(language) { Translation::skipped(1) } else { Translation::pending(1) };
            ((*language).clone(), translation)
        })
        .collect();
    let shown = wanted.into_iter().find(|language| !is_source(language)).cloned();
    Plan { shown, translations }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::TranslationStatus::{Pending, Skipped};

    #[test]
    fn a_message_goes_into_each_language_that_is_read_and_not_into_its_own() {
        let language = |tag: &str| Language::new(tag).unwrap();
        let (en, ko, es, gb) = (language("en-us"), language("ko"), language("es"), language("en-gb"));
        let check = |source: Option<&Language>,
                     room: &Language,
                     other: Option<&Language>,
                     sender: Option<&Language>,
                     shown: Option<&Language>,
                     expect: &[(&Language, _)]| {
            let plan = plan(source, room, &[other.cloned()], sender);
            assert_eq!(plan.shown.as_ref(), shown);
            let states: Vec<_> = plan.translations.iter().map(|(language, t)| (language.clone(), t.status)).collect();
            let expect: Vec<_> = expect.iter().map(|(language, status)| ((*language).clone(), *status)).collect();
            assert_eq!(states, expect);
        };
        // English into a Korean room: Korean.
        check(Some(&en), &ko, Some(&ko), Some(&en), Some(&ko), &[(&en, Skipped), (&ko, Pending)]);
        // Korean in a Korean room: what the other reads.
        check(Some(&ko), &ko, Some(&en), Some(&ko), Some(&en), &[(&en, Pending), (&ko, Skipped)]);
        // Nobody has a language of their own: the room's.
        check(Some(&en), &es, None, None, Some(&es), &[(&es, Pending)]);
        check(Some(&es), &es, None, None, None, &[(&es, Skipped)]);
        // An unknown source is translated for all.
        check(None, &ko, Some(&ko), Some(&en), Some(&ko), &[(&en, Pending), (&ko, Pending)]);
        // American English is not translated into British.
        check(Some(&en), &gb, Some(&gb), Some(&en), None, &[(&gb, Skipped), (&en, Skipped)]);
    }
}
