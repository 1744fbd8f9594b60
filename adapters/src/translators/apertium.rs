//! Apertium, a free engine that runs on one's own machine, through its web service `APy`.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, header, redirect};
use serde::Deserialize;
use transtalk_core::ports::{BoxError, Translated, TranslationRequest, Translator, TranslatorError};
use transtalk_core::translate::Language;

/// A client of one `APy` server.
pub struct Apertium {
    client: Client,
    endpoint: Url,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ApertiumConfigError {
    /// The address is not one.
    #[error("Apertium's address is not an http or https URL")]
    Address,
    /// The HTTP client cannot be made.
    #[error("no HTTP client can be made for Apertium")]
    Client(#[source] reqwest::Error),
}

impl Apertium {
    /// A client of the server at this address, which must answer within `timeout`.
    pub fn new(base_url: &str, timeout: Duration) -> Result<Self, ApertiumConfigError> {
        let mut endpoint = Url::parse(base_url).map_err(|_| ApertiumConfigError::Address)?;
        let plain = endpoint.query().is_none() && endpoint.fragment().is_none();
        if !plain || !matches!(endpoint.scheme(), "http" | "https") {
            return Err(ApertiumConfigError::Address);
        }
        endpoint.path_segments_mut().map_err(|()| ApertiumConfigError::Address)?.pop_if_empty().push("translate");
        // A text goes to the server that was configured, and not to where that one points.
        let client = Client::builder().timeout(timeout).redirect(redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(ApertiumConfigError::Client)?, endpoint })
    }

    async fn ask(&self, source: &str, target: &str, text: &str) -> Result<String, Failure> {
        let pair = format!("{source}|{target}");
        // An unknown word is left as it is, without an asterisk.
        let query = [("langpair", pair.as_str()), ("markUnknown", "no"), ("q", text)];
        let response = self.client.get(self.endpoint.clone()).query(&query).send().await?;
        match response.status() {
            StatusCode::OK => parse(&read(response).await?),
            status => Err(refused(status, &response)),
        }
    }
}

#[async_trait]
impl Translator for Apertium {
    async fn translate(&self, request: &TranslationRequest) -> Result<Translated, TranslatorError> {
        let unsupported = || TranslatorError::Unsupported { engine: self.name().to_owned() };
        let source = request.source.as_ref().ok_or_else(unsupported)?;
        let from = iso_639_3(source).ok_or_else(unsupported)?;
        let to = iso_639_3(&request.target).ok_or_else(unsupported)?;
        match self.ask(from, to, &request.text).await {
            Ok(text) => {
                Ok(Translated { text, source: Some(source.clone()), engine: self.name().to_owned(), cached: false })
            }
            Err(Failure::Unsupported) => Err(unsupported()),
            Err(Failure::Retryable { retry_after, source }) => {
                Err(TranslatorError::Retryable { engine: self.name().to_owned(), retry_after, source })
            }
        }
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// What went wrong, in the port's terms.
enum Failure {
    Unsupported,
    Retryable { retry_after: Option<Duration>, source: BoxError },
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        // The URL has the text in it.
        Self::Retryable { retry_after: None, source: error.without_url().into() }
    }
}

/// An answer that is no use. It quotes nothing of it.
#[derive(Debug, thiserror::Error)]
enum BadAnswer {
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is larger than {ANSWER_BYTES_MAX} bytes")]
    Large,
    #[error("its answer is not the JSON that is expected")]
    Malformed,
}

impl From<BadAnswer> for Failure {
    fn from(error: BadAnswer) -> Self {
        Self::Retryable { retry_after: None, source: error.into() }
    }
}

/// For example `{"responseData": {"translatedText": "Hola"}, "responseDetails": null, "responseStatus": 200}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    response_data: AnswerData,
    response_status: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerData {
    translated_text: String,
}

fn refused(status: StatusCode, response: &Response) -> Failure {
    let later = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    // 400 is "That pair is not installed"; 414 and its like a text that is too much for it. Neither mends itself.
    if status.is_client_error() && !later {
        return Failure::Unsupported;
    }
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(|seconds: u64| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    Failure::Retryable { retry_after, source: BadAnswer::Status(status.as_u16()).into() }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(BadAnswer::Large.into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse(body: &[u8]) -> Result<String, Failure> {
    // The parser's own words could quote the translation.
    let answer: Answer = serde_json::from_slice(body).map_err(|_| BadAnswer::Malformed)?;
    if answer.response_status != StatusCode::OK.as_u16() {
        return Err(BadAnswer::Status(answer.response_status).into());
    }
    let text = answer.response_data.translated_text;
    if text.trim().is_empty() { Err(BadAnswer::Malformed.into()) } else { Ok(text) }
}

/// The three letters by which Apertium names a language; those that have three in BCP 47 keep them.
fn iso_639_3(language: &Language) -> Option<&str> {
    let primary = language.primary();
    if primary.len() == 3 {
        return Some(primary);
    }
    CODES.iter().find(|(two, _)| *two == primary).map(|(_, three)| *three)
}

const NAME: &str = "apertium";
/// A chat message's translation is far smaller.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A server that asks for more patience than a day is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// ISO 639-1 to ISO 639-3.
const CODES: [(&str, &str); 58] = [
    ("af", "afr"),
    ("an", "arg"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bg", "bul"),
    ("br", "bre"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("cy", "cym"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("es", "spa"),
    ("et", "est"),
    ("eu", "eus"),
    ("fa", "fas"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("ga", "gle"),
    ("gl", "glg"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("id", "ind"),
    ("is", "isl"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("kk", "kaz"),
    ("ko", "kor"),
    ("lt", "lit"),
    ("lv", "lav"),
    ("mk", "mkd"),
    ("ms", "msa"),
    ("mt", "mlt"),
    ("nb", "nob"),
    ("nl", "nld"),
    ("nn", "nno"),
    ("no", "nob"),
    ("oc", "oci"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sc", "srd"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("th", "tha"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("vi", "vie"),
    ("zh", "zho"),
];
