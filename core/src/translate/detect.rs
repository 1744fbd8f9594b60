//! Guesses in which language a text is written. Short texts are hard: what the sender reads breaks the tie.

use whatlang::{Detector, Lang, Script, detect_script};

use super::Language;

/// The likely language among those that are offered; `None` if the text gives nothing away (digits, emoji).
pub fn detect(text: &str, offered: &[Language], sender_reads: Option<&Language>) -> Option<Language> {
    let script = detect_script(text)?;
    let candidates: Vec<&Language> = offered.iter().filter(|language| is_written_in(language, script)).collect();
    if let [only] = candidates.as_slice() {
        return Some((*only).clone());
    }
    let allowed: Vec<Lang> = candidates.iter().filter_map(|language| lang(language)).collect();
    let guess = Detector::with_allowlist(allowed).detect(text);
    let reads = sender_reads.filter(|reads| candidates.iter().any(|candidate| candidate.same_primary(reads)));
    match (guess, reads) {
        (Some(guess), _) if guess.is_reliable() => {
            candidates.into_iter().find(|c| lang(c) == Some(guess.lang())).cloned()
        }
        (_, Some(reads)) => Some(reads.clone()),
        (Some(guess), None) => candidates.into_iter().find(|c| lang(c) == Some(guess.lang())).cloned(),
        (None, None) => None,
    }
}

fn is_written_in(language: &Language, script: Script) -> bool {
    let scripts: &[Script] = match language.primary() {
        "ko" => &[Script::Hangul],
        "ja" => &[Script::Hiragana, Script::Katakana],
        "zh" => &[Script::Mandarin],
        "ru" | "uk" | "bg" | "sr" => &[Script::Cyrillic],
        "ar" | "fa" | "ur" => &[Script::Arabic],
        "he" => &[Script::Hebrew],
        "el" => &[Script::Greek],
        "th" => &[Script::Thai],
        "hi" | "mr" | "ne" => &[Script::Devanagari],
        _ => &[Script::Latin],
    };
    scripts.contains(&script)
}

fn lang(language: &Language) -> Option<Lang> {
    let code = match language.primary() {
        "en" => "eng",
        "es" => "spa",
        "fr" => "fra",
        "de" => "deu",
        "pt" => "por",
        "it" => "ita",
        "nl" => "nld",
        "ca" => "cat",
        "vi" => "vie",
        "id" => "ind",
        "tr" => "tur",
        "pl" => "pol",
        "ru" => "rus",
        "uk" => "ukr",
        "ar" => "ara",
        "hi" => "hin",
        _ => return None,
    };
    Lang::from_code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reads: Option<&str>, expect: Option<&str>) {
        let offered: Vec<Language> =
            ["ko", "es", "ja", "en-us", "zh"].iter().map(|tag| Language::new(tag).unwrap()).collect();
        let reads = reads.map(|tag| Language::new(tag).unwrap());
        let found = detect(text, &offered, reads.as_ref());
        assert_eq!(found.as_ref().map(Language::as_str), expect, "{text}");
    }

    #[test]
    fn a_script_gives_a_language_away() {
        check("안녕하세요", Some("en-us"), Some("ko"));
        check("こんにちは", None, Some("ja"));
        check("東京タワーへ行きます", None, Some("ja"));
        check("你好", Some("en-us"), Some("zh"));
        check("123 !? 🎉", Some("ko"), None);
    }

    #[test]
    fn a_latin_text_is_weighed_and_the_sender_breaks_a_tie() {
        check("The red house is big.", Some("ko"), Some("en-us"));
        check("¿Dónde está la biblioteca? Quiero leer un libro.", Some("en-us"), Some("es"));
        check("Hello", Some("en-us"), Some("en-us"));
        check("Hola", Some("es"), Some("es"));
    }
}
