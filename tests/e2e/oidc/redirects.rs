//! Nobody is sent where the server does not know them to be: exact redirect addresses, and no open redirect (RFC 9700 sections 2.1 and 4.11).

use reqwest::Method;
use reqwest::header::{HOST, LOCATION};

use crate::support::{Anon, Server, json, refused, within};

#[tokio::test]
async fn the_sign_in_page_sends_to_the_exact_address_only_and_otherwise_nowhere() {
    let server = Server::start(&[("AUTH__REDIRECT_URI", "https://chat.example/oauth/callback")]).await;
    let anon = Anon::new(&server);
    let (_, page) = anon.begin().await;
    let known = "https%3A%2F%2Fchat.example%2Foauth%2Fcallback";
    assert!(page.contains(&format!("redirect_uri={known}")), "{page}");
    let location = sent(&anon, &page).await.expect("the address itself is good");
    assert!(location.starts_with("https://chat.example/oauth/callback?code="), "{location}");
    for other in [
        "https%3A%2F%2Fevil.example%2Foauth%2Fcallback",
        "https%3A%2F%2Fchat.example.evil.example%2Foauth%2Fcallback",
        "https%3A%2F%2Fevil.chat.example%2Foauth%2Fcallback",
        "https%3A%2F%2Fchat.example%40evil.example%2Foauth%2Fcallback",
        "https%3A%2F%2Fuser%40chat.example%2Foauth%2Fcallback",
        "https%3A%2F%2Fchat.example%3A443%2Foauth%2Fcallback",
        "https%3A%2F%2Fchat.example%3A8443%2Foauth%2Fcallback",
        "https%3A%2F%2FCHAT.example%2Foauth%2Fcallback",
        "HTTPS%3A%2F%2Fchat.example%2Foauth%2Fcallback",
        "http%3A%2F%2Fchat.example%2Foauth%2Fcallback",
        "javascript%3Aalert(1)",
        "%2F%2Fchat.example%2Foauth%2Fcallback",
        "%2Foauth%2Fcallback",
        "https%3A%2F%2Fchat.example%2Foauth%2Fcallback%2F",
        "https%3A%2F%2Fchat.example%2Foauth%2Fcallback%2F..%2F..%2Felsewhere",
        "https%3A%2F%2Fchat.example%2Foauth%2F.%2Fcallback",
        "https%3A%2F%2Fchat.example%2Foauth%2Fcallback%3Fnext%3Dhttps%3A%2F%2Fevil.example",
        "https%3A%2F%2Fchat.example%2Foauth%2Fcallback%23fragment",
        "https%3A%2F%2Fchat.example%2Foauth%252Fcallback",
        "https%3A%2F%2Fchat.example%2Foauth%2Fcallback%00",
        "https%3A%2F%2Fchat.example%2Foauth%2Fcallback%0d%0aX-Evil%3A1",
        "+https%3A%2F%2Fchat.example%2Foauth%2Fcallback",
        "https%3A%2F%2Fchat.example%5C%40evil.example%2Foauth%2Fcallback",
        "",
    ] {
        let page = page.replace(known, other);
        assert_eq!(sent(&anon, &page).await, None, "{other}");
    }
    // Neither without one, nor with two of which one is good.
    let without = page.replace(&format!("redirect_uri={known}"), "x=y");
    assert_eq!(sent(&anon, &without).await, None);
    let evil = "redirect_uri=https%3A%2F%2Fevil.example";
    for two in [format!("{page}&{evil}"), page.replace("redirect_uri=", &format!("{evil}&redirect_uri="))] {
        let location = sent(&anon, &two).await;
        assert!(
            location.as_deref().is_none_or(|to| to.starts_with("https://chat.example/oauth/callback?")),
            "{location:?}"
        );
    }
}

#[tokio::test]
async fn the_sign_in_page_wants_pkce_by_s256() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    let (_, page) = anon.begin().await;
    for (good, bad) in [
        ("code_challenge_method=S256", "code_challenge_method=plain"),
        ("code_challenge_method=S256", "x=y"),
        ("code_challenge=", "x="),
        ("code_challenge=", "code_challenge=short&x="),
        ("response_type=code", "response_type=token"),
        ("response_type=code", "response_type=code+id_token"),
    ] {
        let page = page.replacen(good, bad, 1);
        assert_eq!(sent(&anon, &page).await, None, "{bad}");
    }
    assert!(sent(&anon, &page).await.is_some());
}

#[tokio::test]
async fn no_parameter_and_no_header_of_a_request_says_where_a_sign_in_leads() {
    let server = Server::start(&[]).await;
    let anon = Anon::new(&server);
    for query in ["redirect_uri=https://evil.example", "redirect=https://evil.example", "next=//evil.example"] {
        let begun = anon.get(&format!("/api/v1/auth?{query}")).await;
        let begun = json(begun).await.to_string();
        assert!(!begun.contains("evil.example"), "{begun}");
    }
    // Whoever names another host is shown the page there, which sends back to the server's own address all the same.
    let elsewhere = anon.request(Method::GET, "/api/v1/auth").header(HOST, "evil.example");
    let begun = json(within("begin", elsewhere.send()).await.expect("an answer")).await.to_string();
    assert!(begun.contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A"), "{begun}");
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/"),
    ] {
        let request = anon.request(Method::GET, "/api/v1/auth").header(name, value);
        let begun = json(within("begin", request.send()).await.expect("an answer")).await.to_string();
        assert!(!begun.contains("evil.example"), "{name}: {begun}");
    }
    for unknown in ["https://evil.example", "//evil.example", "%0d%0aLocation:%20https://evil.example"] {
        let answer = anon.get(&format!("/api/v1/auth?provider={unknown}")).await;
        assert!(!answer.headers().contains_key(LOCATION));
        refused(answer, 404, "UNKNOWN_PROVIDER").await;
    }
}

/// Where the sign-in page sends alice, if it sends her anywhere.
async fn sent(anon: &Anon, page: &str) -> Option<String> {
    let answer = anon.get(&format!("{page}&login_hint=alice")).await;
    let location = answer.headers().get(LOCATION).map(|to| to.to_str().expect("text").to_owned());
    let status = answer.status().as_u16();
    if location.is_some() {
        assert_eq!(status, 302);
    } else {
        assert!((400..500).contains(&status), "{page}: {status}");
        let said = within("a page", answer.text()).await.expect("text");
        assert!(!said.contains("evil.example"), "nothing to click on: {said}");
    }
    location
}
