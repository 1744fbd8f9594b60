//! The translators: what each knows, how it fails, and that none of them gives a text away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use transtalk_adapters::translators::{Apertium, ApertiumConfigError, Chain, Phrases, Pseudo};
use transtalk_core::ports::{Translated, TranslationRequest, Translator, TranslatorError};
use transtalk_core::translate::Language;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn a_phrase_is_known_in_every_direction() {
    check_phrase("Thank you", Some("en-us"), "ko", Some("감사합니다")).await;
    check_phrase("감사합니다", Some("ko"), "es", Some("Gracias")).await;
    check_phrase("Gracias", Some("es"), "ja", Some("ありがとうございます")).await;
    check_phrase("ありがとうございます", Some("ja"), "zh", Some("谢谢")).await;
    check_phrase("谢谢", Some("zh"), "en-us", Some("Thank you")).await;
}

#[tokio::test]
async fn case_blanks_commas_and_marks_make_no_difference() {
    for text in ["good morning", "  GOOD   Morning ", "Good,morning"] {
        let expect = if text.contains(',') { None } else { Some("좋은 아침이에요") };
        check_phrase(text, Some("en-us"), "ko", expect).await;
    }
    check_phrase("no thank you", Some("en-us"), "ko", Some("아니요, 괜찮아요")).await;
    check_phrase("I’m hungry", Some("en-us"), "ko", Some("배고파요")).await;
    check_phrase("como estás", Some("es"), "en-us", None).await;
    check_phrase("cómo estás", Some("es"), "en-us", Some("How are you?")).await;
}

#[tokio::test]
async fn final_marks_are_kept_in_the_manner_of_the_language() {
    check_phrase("Hello!", Some("en-us"), "ko", Some("안녕하세요!")).await;
    check_phrase("Hello!", Some("en-us"), "es", Some("¡Hola!")).await;
    check_phrase("Hello!", Some("en-us"), "ja", Some("こんにちは！")).await;
    check_phrase("Hello.", Some("en-us"), "zh", Some("你好。")).await;
    check_phrase("你好。", Some("zh"), "en-us", Some("Hello.")).await;
    check_phrase("¡Gracias!", Some("es"), "en-us", Some("Thank you!")).await;
    check_phrase("Maybe...", Some("en-us"), "zh", Some("也许……")).await;
    check_phrase("Maybe...", Some("en-us"), "es", Some("Quizás...")).await;
    check_phrase("How are you", Some("en-us"), "es", Some("¿Cómo estás?")).await;
    check_phrase("Hello, how are you?", Some("en-us"), "es", Some("Hola, ¿cómo estás?")).await;
    check_phrase("How are you?!", Some("en-us"), "ja", Some("お元気ですか？！")).await;
}

#[tokio::test]
async fn a_question_and_a_statement_of_the_same_words_differ() {
    check_phrase("Ready?", Some("en-us"), "ko", Some("준비됐어요?")).await;
    check_phrase("Ready!", Some("en-us"), "ko", Some("준비됐습니다!")).await;
    check_phrase("배고파요?", Some("ko"), "en-us", Some("Are you hungry?")).await;
    check_phrase("배고파요", Some("ko"), "en-us", Some("I'm hungry")).await;
    check_phrase("Tomorrow?", Some("en-us"), "es", Some("¿Mañana?")).await;
}

#[tokio::test]
async fn known_sentences_in_a_row_are_known_together() {
    check_phrase(
        "Hi! How are you? See you tomorrow.",
        Some("en-us"),
        "ko",
        Some("안녕하세요! 어떻게 지내세요? 내일 봐요."),
    )
    .await;
    check_phrase("Thanks. Good night!", Some("en-us"), "ja", Some("ありがとうございます。おやすみなさい！")).await;
    check_phrase("谢谢。晚安！", Some("zh"), "en-us", Some("Thank you. Good night!")).await;
    check_phrase("Hola\n¿Qué tal?", Some("es"), "en-us", Some("Hello\nHow are you?")).await;
    check_phrase("Hi! The red house is big.", Some("en-us"), "ko", None).await;
}

#[tokio::test]
async fn an_unknown_source_is_told_by_the_phrase() {
    for (text, source) in
        [("Good night", "en-us"), ("잘 자요", "ko"), ("Buenas noches", "es"), ("おやすみ", "ja"), ("晚安", "zh")]
    {
        let translated = Phrases::new().translate(&request(text, None, "ko")).await.unwrap();
        assert_eq!(translated.source, Some(language(source)), "{text}");
        assert_eq!(translated.text, "안녕히 주무세요");
        assert_eq!((translated.engine.as_str(), translated.cached), ("phrases", false));
    }
}

#[tokio::test]
async fn a_region_makes_no_difference_to_a_phrase() {
    check_phrase("Hello", Some("en-gb"), "es-mx", Some("Hola")).await;
    let translated = Phrases::new().translate(&request("Hello", Some("en-gb"), "zh-tw")).await.unwrap();
    assert_eq!(translated.source, Some(language("en-gb")));
}

#[tokio::test]
async fn what_the_phrases_do_not_know_is_unsupported() {
    check_phrase("The red house is big.", Some("en-us"), "ko", None).await;
    check_phrase("Hello", Some("en-us"), "fr", None).await;
    check_phrase("Hello", Some("fr"), "ko", None).await;
    check_phrase("Hello", Some("ko"), "es", None).await;
    for text in ["", " ", "!!!", "...\n?", "¿?", "🎉", "\n"] {
        check_phrase(text, None, "ko", None).await;
    }
}

#[tokio::test]
async fn the_pseudo_translator_marks_its_answer() {
    let translated = Pseudo.translate(&request("hello", Some("en-us"), "ko")).await.unwrap();
    assert_eq!(translated.text, "[ko] hello");
    assert_eq!(translated.source, Some(language("en-us")));
    assert_eq!(translated.engine, "pseudo");
    assert_eq!(Pseudo.translate(&request("", None, "zh-hant")).await.unwrap().text, "[zh-hant] ");
}

#[tokio::test]
async fn apertium_translates() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/translate"))
        .and(query_param("langpair", "eng|spa"))
        .and(query_param("q", SECRET))
        .and(query_param("markUnknown", "no"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer("La casa roja es grande & vieja.")))
        .expect(1)
        .mount(&server)
        .await;
    let translated = apertium(&server.uri()).translate(&request(SECRET, Some("en-us"), "es")).await.unwrap();
    assert_eq!(translated.text, "La casa roja es grande & vieja.");
    assert_eq!(translated.source, Some(language("en-us")));
    assert_eq!((translated.engine.as_str(), translated.cached), ("apertium", false));
}

#[tokio::test]
async fn apertium_may_live_under_a_path_and_keeps_three_letter_tags() {
    let server = MockServer::start().await;
    Mock::given(path("/apy/translate"))
        .and(query_param("langpair", "crh|zho"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer("x")))
        .mount(&server)
        .await;
    for base in [format!("{}/apy", server.uri()), format!("{}/apy/", server.uri())] {
        assert!(apertium(&base).translate(&request(SECRET, Some("crh"), "zh-tw")).await.is_ok());
    }
}

#[tokio::test]
async fn apertium_is_not_asked_what_it_cannot_know() {
    let server = MockServer::start().await;
    let apertium = apertium(&server.uri());
    for (source, target) in [(None, "es"), (Some("qq"), "es"), (Some("en"), "qq"), (Some("abcd"), "es")] {
        check_unsupported(&apertium.translate(&request(SECRET, source, target)).await);
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pair_that_is_not_installed_or_a_text_too_long_is_unsupported() {
    for status in [400, 404, 414, 431] {
        let body = json!({"status": "error", "code": status, "message": "Bad Request", "explanation": "That pair is not installed"});
        check_unsupported(&ask(ResponseTemplate::new(status).set_body_json(body)).await);
    }
}

#[tokio::test]
async fn an_overload_is_retryable_and_says_when() {
    for (status, header, expect) in [
        (500, None, None),
        (502, None, None),
        (503, Some("7"), Some(7)),
        (429, Some("3"), Some(3)),
        (429, Some("99999999999"), Some(86_400)),
        (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (429, Some("-1"), None),
        (408, None, None),
        (204, None, None),
        (302, None, None),
    ] {
        let mut response = ResponseTemplate::new(status).set_body_string(SECRET);
        if let Some(seconds) = header {
            response = response.insert_header("Retry-After", seconds);
        }
        let retry_after = check_retryable(ask(response).await);
        assert_eq!(retry_after, expect.map(Duration::from_secs), "{status} {header:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = MockServer::start().await;
    let elsewhere = format!("{}/elsewhere", server.uri());
    Mock::given(path("/translate"))
        .respond_with(ResponseTemplate::new(307).insert_header("Location", elsewhere))
        .mount(&server)
        .await;
    check_retryable(apertium(&server.uri()).translate(&request(SECRET, Some("en"), "es")).await);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_slow_answer_is_retryable() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_body_json(answer("x")).set_delay(Duration::from_mins(1));
    Mock::given(method("GET")).respond_with(slow).mount(&server).await;
    let apertium = Apertium::new(&server.uri(), Duration::from_millis(50)).unwrap();
    check_retryable(apertium.translate(&request(SECRET, Some("en"), "es")).await);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_retryable() {
    // Port 1 of this machine: nobody listens there.
    check_retryable(apertium("http://127.0.0.1:1").translate(&request(SECRET, Some("en"), "es")).await);
}

#[tokio::test]
async fn a_malformed_answer_is_retryable() {
    let secret = SECRET;
    for body in [
        String::new(),
        secret.to_owned(),
        format!("\"{secret}\""),
        "{}".to_owned(),
        json!({"responseData": secret, "responseStatus": 200}).to_string(),
        json!({"responseData": {"translatedText": null}, "responseStatus": 200}).to_string(),
        json!({"responseData": {"translatedText": " "}, "responseStatus": 200}).to_string(),
        json!({"responseData": {"translatedText": secret}, "responseStatus": 500}).to_string(),
        json!({"responseData": {"translatedText": secret}}).to_string(),
    ] {
        check_retryable(ask(ResponseTemplate::new(200).set_body_string(body)).await);
    }
    check_retryable(ask(ResponseTemplate::new(200).set_body_bytes([b'"', 0xff, 0xfe, b'"'])).await);
}

#[tokio::test]
async fn a_huge_answer_is_retryable_and_one_of_bearable_size_is_not() {
    let sized = |bytes: usize| {
        let frame = answer("").to_string().len();
        ResponseTemplate::new(200).set_body_string(answer(&"x".repeat(bytes - frame)).to_string())
    };
    check_retryable(ask(sized(1024 * 1024 + 1)).await);
    check_retryable(ask(sized(8 * 1024 * 1024)).await);
    assert!(ask(sized(1024 * 1024)).await.is_ok());
}

#[test]
fn an_address_of_apertium_is_checked_at_once() {
    for address in ["", "localhost:2737", "ftp://localhost", "http://", "http://localhost?x=1", "http://localhost#x"] {
        let refused = Apertium::new(address, Duration::from_secs(1)).err();
        assert!(matches!(refused, Some(ApertiumConfigError::Address)), "{address}");
    }
}

#[tokio::test]
async fn a_chain_asks_one_engine_after_the_other() {
    let chain = Chain::new(vec![Arc::new(Phrases::new()), Arc::new(Pseudo)]);
    let known = chain.translate(&request("Hello", Some("en-us"), "ko")).await.unwrap();
    assert_eq!((known.text.as_str(), known.engine.as_str()), ("안녕하세요", "phrases"));
    let unknown = chain.translate(&request("A red house", Some("en-us"), "ko")).await.unwrap();
    assert_eq!((unknown.text.as_str(), unknown.engine.as_str()), ("[ko] A red house", "pseudo"));
    assert_eq!(chain.name(), "chain");
}

#[tokio::test]
async fn a_chain_goes_on_after_any_error() {
    for failing in [Fails::Retryable, Fails::Quota, Fails::Unsupported] {
        let chain = Chain::new(vec![Arc::new(Failing("first", failing)), Arc::new(Pseudo)]);
        assert_eq!(chain.translate(&request("x", None, "ko")).await.unwrap().engine, "pseudo");
    }
}

#[tokio::test]
async fn a_chain_that_fails_gives_the_most_hopeful_error_and_the_last_of_equals() {
    use Fails::{Quota, Retryable, Unsupported};
    for (engines, expect) in [
        (vec![], "chain does not translate this"),
        (vec![Failing("a", Unsupported), Failing("b", Unsupported)], "b does not translate this"),
        (vec![Failing("a", Retryable), Failing("b", Unsupported)], "a could not answer"),
        (vec![Failing("a", Retryable), Failing("b", Quota), Failing("c", Retryable)], "c could not answer"),
        (vec![Failing("a", Unsupported), Failing("b", Quota), Failing("c", Unsupported)], "b has no allowance left"),
    ] {
        let engines = engines.into_iter().map(|engine| Arc::new(engine) as Arc<dyn Translator>).collect();
        let error = Chain::new(engines).translate(&request("x", None, "ko")).await.unwrap_err();
        assert_eq!(error.to_string(), expect);
    }
}

async fn check_phrase(text: &str, source: Option<&str>, target: &str, expect: Option<&str>) {
    let translated = Phrases::new().translate(&request(text, source, target)).await;
    match expect {
        Some(expect) => assert_eq!(translated.unwrap().text, expect, "{text:?}"),
        None => check_unsupported(&translated),
    }
}

#[track_caller]
fn check_unsupported(result: &Result<Translated, TranslatorError>) {
    assert!(matches!(result, Err(TranslatorError::Unsupported { .. })), "{result:?}");
}

/// When to ask again, of an error that tells nothing of the text.
#[track_caller]
fn check_retryable(result: Result<Translated, TranslatorError>) -> Option<Duration> {
    let error = result.unwrap_err();
    let mut told = format!("{error:?} {error:#?}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        told.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!told.contains("house") && !told.contains("langpair"), "{told}");
    match error {
        TranslatorError::Retryable { retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    }
}

async fn ask(response: ResponseTemplate) -> Result<Translated, TranslatorError> {
    let server = MockServer::start().await;
    Mock::given(method("GET")).and(path("/translate")).respond_with(response).mount(&server).await;
    apertium(&server.uri()).translate(&request(SECRET, Some("en"), "es")).await
}

fn apertium(base_url: &str) -> Apertium {
    Apertium::new(base_url, Duration::from_secs(30)).unwrap()
}

fn answer(text: &str) -> serde_json::Value {
    json!({"responseData": {"translatedText": text}, "responseDetails": null, "responseStatus": 200})
}

fn request(text: &str, source: Option<&str>, target: &str) -> TranslationRequest {
    TranslationRequest { text: text.to_owned(), source: source.map(language), target: language(target) }
}

fn language(tag: &str) -> Language {
    Language::new(tag).unwrap()
}

#[derive(Clone, Copy)]
enum Fails {
    Retryable,
    Quota,
    Unsupported,
}

struct Failing(&'static str, Fails);

#[async_trait]
impl Translator for Failing {
    async fn translate(&self, _: &TranslationRequest) -> Result<Translated, TranslatorError> {
        let engine = self.0.to_owned();
        Err(match self.1 {
            Fails::Retryable => TranslatorError::Retryable { engine, retry_after: None, source: "down".into() },
            Fails::Quota => TranslatorError::Quota { engine },
            Fails::Unsupported => TranslatorError::Unsupported { engine },
        })
    }

    fn name(&self) -> &str {
        self.0
    }
}

/// A text that must not appear in any error.
const SECRET: &str = "The red house is big & old: 100%?";
