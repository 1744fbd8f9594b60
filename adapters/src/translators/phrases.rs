//! A phrase memory: what people say most in a chat, translated by hand, at no cost and without a network.
//!
//! It knows a whole sentence or nothing. Case, blanks, commas and final marks make no difference, and several known
//! sentences in a row are known together. The phrases are in `data/phrases.toml`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;
use transtalk_core::ports::{Translated, TranslationRequest, Translator, TranslatorError};
use transtalk_core::translate::Language;

/// The phrases that come with the server.
pub struct Phrases {
    phrases: Vec<BTreeMap<Language, Saying>>,
    /// Every way to say it, with the phrase it belongs to.
    index: BTreeMap<Language, BTreeMap<Key, usize>>,
}

impl Phrases {
    /// The shipped memory.
    ///
    /// # Panics
    ///
    /// Never: the file is part of the program, and a test reads it.
    pub fn new() -> Self {
        Self::parse(include_str!("../../data/phrases.toml")).expect("the shipped phrases are well-formed")
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let file: PhraseFile = toml::from_str(text)?;
        let mut memory = Self { phrases: Vec::new(), index: BTreeMap::new() };
        for (number, row) in file.phrases.into_iter().enumerate() {
            let mut phrase = BTreeMap::new();
            for (tag, texts) in row {
                let language = Language::new(&tag).map_err(serde::de::Error::custom)?;
                let index = memory.index.entry(language.clone()).or_default();
                let texts = texts.into_vec();
                for text in &texts {
                    // The first to claim a text keeps it.
                    index.entry(Key::of(text)).or_insert(number);
                }
                phrase.extend(texts.first().map(|text| (language, Saying::new(text))));
            }
            memory.phrases.push(phrase);
        }
        Ok(memory)
    }

    /// The text in the target language, if all of it is known in this one.
    fn render(&self, text: &str, known: &BTreeMap<Key, usize>, target: &Language) -> Option<String> {
        let say = |sentence: &str| {
            let key = Key::of(sentence);
            // "Ready?" and "Ready" differ, but who asks may forget the mark, and anything can be asked.
            let number = *known.get(&key).or_else(|| known.get(&key.turned()))?;
            let (_, saying) = self.phrases[number].iter().find(|(language, _)| language.same_primary(target))?;
            Some(saying.with_marks(&split_marks(sentence).1, target.primary()))
        };
        let mut translated = String::new();
        for sentence in sentences(text) {
            translated.push_str(&say(sentence.text)?);
            translated.push_str(if sentence.gap.contains('\n') { sentence.gap } else { gap(target.primary()) });
        }
        let translated = translated.trim_end();
        (!translated.is_empty()).then(|| translated.to_owned())
    }
}

impl Default for Phrases {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Translator for Phrases {
    async fn translate(&self, request: &TranslationRequest) -> Result<Translated, TranslatorError> {
        let source = request.source.as_ref();
        let mut candidates =
            self.index.iter().filter(|(language, _)| source.is_none_or(|source| source.same_primary(language)));
        let found = candidates.find_map(|(language, known)| {
            let text = self.render(request.text.trim(), known, &request.target)?;
            Some((text, language.clone()))
        });
        let (text, language) = found.ok_or_else(|| TranslatorError::Unsupported { engine: self.name().to_owned() })?;
        let source = Some(request.source.clone().unwrap_or(language));
        Ok(Translated { text, source, engine: self.name().to_owned(), cached: false })
    }

    fn name(&self) -> &'static str {
        "phrases"
    }
}

/// What all spellings of one sentence have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    words: String,
    question: bool,
}

impl Key {
    fn of(sentence: &str) -> Self {
        let (body, marks) = split_marks(sentence);
        Self { words: normalize(body), question: is_question(&marks) }
    }

    fn turned(&self) -> Self {
        Self { words: self.words.clone(), question: !self.question }
    }
}

/// A phrase in one language, without what opens and ends it.
struct Saying {
    body: String,
    question: bool,
}

impl Saying {
    fn new(text: &str) -> Self {
        let (body, marks) = split_marks(text);
        Self { body: body.trim_start_matches(OPENING).to_owned(), question: is_question(&marks) }
    }

    /// With the writer's final marks, as this language writes them. A question stays one, whatever was typed.
    fn with_marks(&self, marks: &str, primary: &str) -> String {
        let mut marks = western(marks);
        if self.question && !marks.contains('?') {
            "?".clone_into(&mut marks);
        }
        let body = self.body.as_str();
        match primary {
            "ja" | "zh" => format!("{body}{}", full_width(&marks)),
            // An inner "¿" ("Hola, ¿qué tal?") opens the question already.
            "es" if body.contains(OPENING) => format!("{body}{marks}"),
            "es" if marks.contains('?') => format!("¿{body}{marks}"),
            "es" if marks.contains('!') => format!("¡{body}{marks}"),
            _ => format!("{body}{marks}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhraseFile {
    phrases: Vec<BTreeMap<String, Texts>>,
}

/// One way to say it, or several, of which the first is given as the translation.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// A sentence with its final marks, and the blanks after it.
struct Sentence<'a> {
    text: &'a str,
    gap: &'a str,
}

/// Splits after final marks and at line ends. A mark within a word ("3.5") ends nothing, unless it is a full-width one.
fn sentences(text: &str) -> Vec<Sentence<'_>> {
    let mut sentences = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (sentence, after) = rest.split_at(sentence_end(rest));
        let next = after.trim_start();
        sentences.push(Sentence { text: sentence, gap: &after[..after.len() - next.len()] });
        rest = next;
    }
    sentences
}

/// Where the first sentence ends; never at 0, for a text that begins with something other than a blank.
fn sentence_end(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((start, char)) = chars.next() {
        let next = chars.peek().copied();
        let ends = match (char, next) {
            ('\n', _) => return start,
            (mark, Some((_, next))) if MARKS.contains(&mark) => {
                !MARKS.contains(&next) && (next.is_whitespace() || FULL_WIDTH_MARKS.contains(&mark))
            }
            _ => false,
        };
        if ends {
            return start + char.len_utf8();
        }
    }
    text.len()
}

/// A text, and the marks that end it, without the blanks among them.
fn split_marks(text: &str) -> (&str, String) {
    let is_end = |c: char| MARKS.contains(&c) || c.is_whitespace();
    let body = text.trim_end_matches(is_end);
    (body, text[body.len()..].chars().filter(|c| !c.is_whitespace()).collect())
}

fn is_question(marks: &str) -> bool {
    marks.contains(['?', '？'])
}

/// Without case, commas and surplus blanks.
fn normalize(body: &str) -> String {
    let plain: String = body
        .chars()
        .filter(|c| !OPENING.contains(c) && !COMMAS.contains(c))
        .map(|c| if c == '’' { '\'' } else { c })
        .flat_map(char::to_lowercase)
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn western(marks: &str) -> String {
    let western = |c| match c {
        '。' => '.',
        '！' => '!',
        '？' => '?',
        other => other,
    };
    marks.chars().map(western).collect()
}

fn full_width(marks: &str) -> String {
    if marks.len() > 1 && marks.bytes().all(|b| b == b'.') {
        return "……".to_owned();
    }
    let wide = |c| match c {
        '.' => '。',
        '!' => '！',
        '?' => '？',
        other => other,
    };
    marks.chars().map(wide).collect()
}

fn gap(primary: &str) -> &'static str {
    if matches!(primary, "ja" | "zh") { "" } else { " " }
}

const MARKS: [char; 7] = ['.', '!', '?', '。', '！', '？', '…'];
const FULL_WIDTH_MARKS: [char; 3] = ['。', '！', '？'];
const OPENING: [char; 2] = ['¿', '¡'];
const COMMAS: [char; 3] = [',', '，', '、'];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn file() -> PhraseFile {
        toml::from_str(include_str!("../../data/phrases.toml")).unwrap()
    }

    #[test]
    fn every_phrase_is_in_all_five_languages() {
        let phrases = file().phrases;
        assert!(phrases.len() >= 120, "{}", phrases.len());
        for row in &phrases {
            let tags: Vec<&str> = row.keys().map(String::as_str).collect();
            assert_eq!(tags, ["en-us", "es", "ja", "ko", "zh"], "{:?}", row["en-us"].first());
        }
    }

    #[test]
    fn no_text_belongs_to_two_phrases() {
        let mut seen = BTreeSet::new();
        for row in file().phrases {
            for (tag, texts) in row {
                for (place, text) in texts.into_vec().iter().enumerate() {
                    let key = Key::of(text);
                    assert!(!key.words.is_empty(), "{tag} {text:?}");
                    // What is said first may be the upper row's too; what is only understood may not.
                    assert!(seen.insert((tag.clone(), key)) || place == 0, "{tag} {text:?} is there twice");
                }
            }
        }
    }

    #[test]
    fn a_question_is_one_in_every_language() {
        for row in Phrases::new().phrases {
            let questions: BTreeSet<bool> = row.values().map(|saying| saying.question).collect();
            assert_eq!(questions.len(), 1, "{:?}", row.values().next().map(|saying| &saying.body));
        }
    }

    #[test]
    fn sentences_end_at_marks_and_lines() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            let found: Vec<_> = sentences(text).iter().map(|s| (s.text, s.gap)).collect();
            assert_eq!(found, expect, "{text:?}");
        };
        check("Hi. How are you?! Fine", &[("Hi.", " "), ("How are you?!", " "), ("Fine", "")]);
        check("你好。谢谢！", &[("你好。", ""), ("谢谢！", "")]);
        check("Hi\n\nBye...", &[("Hi", "\n\n"), ("Bye...", "")]);
        check("at 3.5 today", &[("at 3.5 today", "")]);
        check("  ", &[]);
    }

    impl Texts {
        fn first(&self) -> Option<&str> {
            match self {
                Self::One(text) => Some(text),
                Self::Several(texts) => texts.first().map(String::as_str),
            }
        }
    }
}
