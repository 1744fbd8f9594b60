//! Two providers at once: each is asked by its name, and no answer of one passes for the other's (RFC 9700 section 4.4).

use super::{Browser, Provider, no_session, parameter, server};
use crate::support::{Anon, User, refused};

#[tokio::test]
async fn the_first_provider_is_the_default_and_each_is_found_by_its_name() {
    // In the order of the file, not of the alphabet.
    let (work, home) = (Provider::start("us").await, Provider::start("us-at-home").await);
    let server = server(&[("work", &work), ("home", &home)]).await;
    let mut browser = Browser::new(&server);
    for (provider, asked) in [(None, &work), (Some("work"), &work), (Some("home"), &home)] {
        let page = browser.begin(provider).await.page;
        assert!(page.starts_with(&asked.issuer), "{provider:?}: {page}");
        assert_eq!(parameter(&page, "client_id"), asked.client_id);
    }
    let anon = Anon::new(&server);
    for unknown in ["nobody", "dev", "Work", "work,home"] {
        refused(anon.get(&format!("/api/v1/auth?provider={unknown}")).await, 404, "UNKNOWN_PROVIDER").await;
    }
    // The same subject and e-mail at another issuer is somebody else.
    let at_work = browser.sign_in("carol", Some("work")).await;
    let at_home = browser.sign_in("carol", Some("home")).await;
    assert_ne!(at_work.id, at_home.id);
}

#[tokio::test]
async fn an_answer_of_one_provider_is_not_taken_to_another() {
    let (mut work, mut home) = (Provider::start("us").await, Provider::start("us-at-home").await);
    let server = server(&[("work", &work), ("home", &home)]).await;
    let mut browser = Browser::new(&server);
    let at_work = browser.begin(Some("work")).await;
    let at_home = browser.begin(Some("home")).await;
    let answer = browser.come_back(&at_home.page, "carol").await;
    assert!(answer.contains("iss="), "the provider names itself: {answer}");
    let code = parameter(&format!("?{answer}"), "code");

    // The answer says of whom it is: nobody's token endpoint sees the code.
    let issuer = |provider: &Provider| provider.issuer.replace(':', "%3A").replace('/', "%2F");
    let (works, homes) = (format!("iss={}", issuer(&work)), format!("iss={}", issuer(&home)));
    let swapped = answer.replace(&homes, &works);
    assert_ne!(swapped, answer);
    no_session(browser.complete(&format!("code={code}&{homes}"), Some(&at_work.cookie)).await, "CODE_REFUSED").await;
    no_session(browser.complete(&swapped, Some(&at_home.cookie)).await, "CODE_REFUSED").await;
    for stranger in ["https%3A%2F%2Fevil.example", "", &format!("{}%2F", issuer(&home))] {
        let query = format!("code={code}&iss={stranger}");
        no_session(browser.complete(&query, Some(&at_home.cookie)).await, "CODE_REFUSED").await;
    }
    // So it is still good where it belongs.
    let carol = User::signed_in(Anon::new(&server), browser.complete(&answer, Some(&at_home.cookie)).await).await;
    assert_eq!(super::sessions(&carol).await, 1);
    home.said("granted authorization_code").await;

    // The first client returns the code alone, so the one is asked that the cookie names, and does not know it.
    let at_home = browser.begin(Some("home")).await;
    let answer = browser.come_back(&at_home.page, "carol").await;
    let code = parameter(&format!("?{answer}"), "code");
    no_session(browser.complete(&format!("code={code}"), Some(&at_work.cookie)).await, "CODE_REFUSED").await;
    work.said("refused invalid_grant").await;
    assert_eq!(super::sessions(&carol).await, 1);
}
