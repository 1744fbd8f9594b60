//! Asking a provider over HTTP. Nothing that it answers is believed to be short, quick or well-formed.
//!
//! No redirect is followed and no proxy is taken from the environment: a code goes to the address that was configured.
//! An error quotes nothing of an answer but an error code, because providers repeat codes and tokens in theirs.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header, redirect};
use serde::de::DeserializeOwned;
use transtalk_core::ports::IdentityError;

/// The client of one provider.
pub(super) struct Http {
    client: Client,
    time_limit: Duration,
}

impl Http {
    /// A client that waits so long for all that one act asks: whatever is asked is asked inside [`Http::within`].
    pub(super) fn new(time_limit: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            // GitHub refuses whoever does not say who they are.
            .user_agent(concat!("TransTalk/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            // A connection that the other side has closed meanwhile would cost somebody their sign-in.
            .pool_idle_timeout(IDLE)
            .build()?;
        Ok(Self { client, time_limit })
    }

    /// Does this, or gives it up when the time is over.
    pub(super) async fn within<T>(&self, work: impl Future<Output = Result<T, Failure>> + Send) -> Result<T, Failure> {
        match tokio::time::timeout(self.time_limit, work).await {
            Ok(done) => done,
            Err(_) => Err(Trouble::Slow(self.time_limit).into()),
        }
    }

    /// A question that changes nothing, to be answered in this media type.
    pub(super) fn get(&self, url: &Url, accept: &str) -> RequestBuilder {
        self.client.get(url.clone()).header(header::ACCEPT, accept)
    }

    /// A form.
    pub(super) fn post(&self, url: &Url, pairs: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.client
            .post(url.clone())
            .header(header::ACCEPT, JSON)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    }

    /// A deletion, with its body in JSON.
    pub(super) fn delete(&self, url: &Url, accept: &str, body: String) -> RequestBuilder {
        let request = self.client.delete(url.clone()).header(header::ACCEPT, accept);
        request.header(header::CONTENT_TYPE, JSON).body(body)
    }

    /// Sends a request and reads what comes back, whole and of bearable size. A provider that is ill or busy is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut response = request.send().await.map_err(Trouble::from)?;
        let status = response.status();
        if status.is_server_error() || is_limited(&response) {
            let seconds = header_text(&response, "retry-after").and_then(|text| text.parse().ok());
            return Err(match seconds {
                Some(seconds) => Trouble::Busy { status: status.as_u16(), seconds }.into(),
                None => Trouble::Status(status.as_u16()).into(),
            });
        }
        let is_json = response.headers().get(header::CONTENT_TYPE).is_none_or(is_json);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Trouble::from)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::Large.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, is_json, body })
    }

    /// What a resource says, to whoever carries this token.
    pub(super) async fn read<T: DeserializeOwned>(&self, url: &Url, bearer: Option<&str>) -> Result<T, Failure> {
        let request = self.get(url, JSON);
        let request = if let Some(token) = bearer { request.bearer_auth(token) } else { request };
        self.send(request).await?.ok()
    }
}

/// What came back.
pub(super) struct Answer {
    /// Not 5xx, and none that asks for patience.
    pub(super) status: StatusCode,
    is_json: bool,
    body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    pub(super) fn ok<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if self.status == StatusCode::OK { self.json() } else { Err(Trouble::Status(self.status.as_u16()).into()) }
    }

    /// The body, whatever the status.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !self.is_json {
            return Err(Trouble::NotJson.into());
        }
        serde_json::from_slice(&self.body).map_err(|_| Trouble::Malformed.into())
    }
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was brought is not good, and this is why.
    Refused(String),
    /// There is no usable answer.
    Unavailable(Trouble),
}

impl Failure {
    /// The same in the port's terms. Why somebody was refused is for the log only.
    pub(super) fn of(self, provider: &str) -> IdentityError {
        let provider = provider.to_owned();
        match self {
            Self::Refused(reason) => {
                tracing::info!(%provider, %reason, "an identity provider's answer was not accepted");
                IdentityError::Refused { provider }
            }
            Self::Unavailable(trouble) => IdentityError::Unavailable { provider, source: trouble.into() },
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Unavailable(trouble)
    }
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("it did not answer within {0:?}")]
    Slow(Duration),
    #[error("it could not be reached, or broke off")]
    Unreachable(#[source] reqwest::Error),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("it answered with status {status}, and may be asked again in {seconds} s")]
    Busy { status: u16, seconds: u32 },
    #[error("its answer is larger than {ANSWER_BYTES_MAX} bytes")]
    Large,
    #[error("its answer is not of a JSON type")]
    NotJson,
    #[error("its answer is not the JSON that is expected")]
    Malformed,
    #[error("its answer has no {0}")]
    Lacks(&'static str),
    /// An operator's fault, or the provider's.
    #[error("it refused this server with {0}")]
    Code(String),
    #[error("its metadata are those of another issuer")]
    OtherIssuer,
    #[error("its metadata name a {0} that is neither https nor on this machine")]
    Insecure(&'static str),
    #[error("it signs ID tokens with no algorithm that is accepted here")]
    NoAlgorithm,
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url())
    }
}

/// GitHub says with 403 as well that this server asks too often, and by these headers.
fn is_limited(response: &Response) -> bool {
    let told = || {
        header_text(response, "retry-after").is_some() || header_text(response, "x-ratelimit-remaining") == Some("0")
    };
    match response.status() {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => told(),
        _ => false,
    }
}

fn header_text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// `application/json`, `text/json` or `application/jwk-set+json`, with or without parameters.
fn is_json(value: &header::HeaderValue) -> bool {
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Far more than any key set or profile has.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const IDLE: Duration = Duration::from_secs(10);
pub(super) const JSON: &str = "application/json";
