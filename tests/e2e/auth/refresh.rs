//! Many tabs, one refresh token.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::{lines_of, trail};
use crate::support::{Options, Server, alone, claims, refreshed};

const TABS: usize = 64;

#[tokio::test]
async fn t1_t2_sixty_four_refreshes_at_once_are_one_generation_later_on_sqlite() {
    rounds("sqlite:", 60).await;
}

#[tokio::test]
async fn t1_t2_sixty_four_refreshes_at_once_are_one_generation_later_in_memory() {
    rounds("memory:", 60).await;
}

async fn rounds(storage: &str, rounds: u64) {
    let _alone = alone().await;
    let server = Server::start(&[("STORAGE__URL", storage), ("LIMITS__REFRESH", "0")]).await;
    let mut alice = server.sign_in("alice").await;
    let session = alice.sid();
    assert_eq!(claims(&alice.token)["gen"], 1);
    for round in 1..=rounds {
        let answers = join_all((0..TABS).map(|_| alice.anon.refresh(&alice.cookie))).await;
        let (mut cookies, mut tokens, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for answer in answers {
            let (cookie, token) = refreshed(answer).await;
            let says = claims(&token);
            assert_eq!((&says["gen"], says["sid"].as_str()), (&(round + 1).into(), Some(session.as_str())));
            names.insert(says["jti"].as_str().expect("a name").to_owned());
            cookies.insert(cookie);
            tokens.insert(token);
        }
        assert_eq!(cookies.len(), 1, "T1, T2: one child");
        assert!(!cookies.contains(&alice.cookie), "and it is a new one");
        assert_eq!(names.len(), TABS, "T11: no two access tokens have one name");
        alice.cookie = cookies.pop_first().expect("one");
        alice.token = tokens.pop_first().expect("one");
        let newest: Vec<_> = trail(&alice).await.into_iter().take(TABS).collect();
        assert_eq!(lines_of(&newest, &session, "REFRESHED").len(), 1, "round {round}");
        assert_eq!(lines_of(&newest, &session, "CONCURRENT").len(), TABS - 1, "round {round}");
    }
}

#[tokio::test]
async fn t10_t12_a_refresh_whose_answer_was_lost_with_the_server_is_answered_after_the_restart() {
    // No grace, so that only the lost answer helps.
    let env = [("AUTH__REFRESH_GRACE", "0s")];
    let mut server = Server::start(&env).await;
    let mut alice = server.sign_in("alice").await;
    for _ in 0..6 {
        let (before, anon) = (alice.cookie.clone(), alice.anon.clone());
        let asked = tokio::spawn(async move {
            let request = anon.request(reqwest::Method::GET, "/api/v1/auth/refresh");
            request.header(reqwest::header::COOKIE, before).send().await.map(|answer| answer.status())
        });
        // Whatever it was doing, it is gone.
        let data = server.kill().await;
        let _ = asked.await.expect("no panic");
        server = Server::start_with(Options { env: &env, data: Some(data), ..Options::default() }).await;
        alice.follow(&server);
        // Either the old one is still good, or it leads to the one that was made: never neither.
        alice.refresh().await;
        assert_eq!(alice.get("/api/v1/me").await.status(), 200);
    }
}
