//! Frames that are refused: each by an ERROR with a stable code and a close of its own; no refused message is stored.

use std::time::{Duration, Instant};

use crate::support::{Came, Server, Stomp, User};

/// Two people, their room, and somebody who is not in it. Errors to CONNECT come at once.
struct Scene {
    server: Server,
    alice: User,
    carla: User,
    room: u64,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::start(&[("GATEWAY__ERROR_DELAY", "0s")]).await;
        let (alice, carla) = (server.sign_in("alice").await, server.sign_in("carla").await);
        let room = alice.open_room("ko", "bob@example.com").await;
        Self { server, alice, carla, room }
    }

    /// A new connection of this user sends this, and is refused. Nothing is stored.
    async fn refuses(&self, user: &User, frame: &str, code: &str) {
        let before = self.stored().await;
        let mut socket = Stomp::connect(&self.server, user).await;
        socket.send(frame).await;
        socket.refused(code).await;
        assert_eq!(self.stored().await, before, "{frame:?}");
    }

    /// A connection without CONNECT sends this, and is refused.
    async fn refuses_first(&self, frame: &str, code: &str) {
        let mut socket = Stomp::open(&self.server, &[]).await.expect("an upgrade");
        socket.send(frame).await;
        socket.refused(code).await;
    }

    /// How many messages there are, those that wait for their translation among them.
    async fn stored(&self) -> usize {
        let answer = self.alice.get(&format!("/api/v1/chatRooms/{}/chats?pending=true", self.room)).await;
        let page = crate::support::data(answer).await;
        page["chats"].as_array().expect("a list").len()
    }
}

#[tokio::test]
async fn a_connect_with_a_wrong_missing_or_ended_token_is_refused() {
    let scene = Scene::new().await;
    for header in ["", "Authorization:\n", "Authorization:wrong\n", "Authorization:Bearer wrong\n"] {
        scene.refuses_first(&format!("CONNECT\naccept-version:1.2\n{header}\n\0"), "UNAUTHORIZED").await;
    }
    let request = scene.alice.request(reqwest::Method::POST, "/api/v1/auth/logout");
    crate::support::data(request.send().await.expect("an answer")).await;
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", scene.alice.jwt());
    scene.refuses_first(&connect, "SESSION_ENDED").await;
}

#[tokio::test]
async fn a_connect_with_an_expired_token_is_refused_and_its_error_held_back() {
    let server = Server::start(&[("AUTH__ACCESS_TTL", "1s"), ("GATEWAY__ERROR_DELAY", "1s")]).await;
    let alice = server.sign_in("alice").await;
    let expired = async { while alice.get("/api/v1/me").await.status() == 200 {} };
    crate::support::within("the end of the token", expired).await;
    let malformed = "CONNECT\naccept-version:1.2\nheart-beat:soon\n\n\0";
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", alice.jwt());
    for (frame, code) in [(connect.as_str(), "TOKEN_EXPIRED"), (malformed, "BAD_HEADER")] {
        let began = Instant::now();
        let mut socket = Stomp::open(&server, &[]).await.expect("an upgrade");
        socket.send(frame).await;
        socket.refused(code).await;
        assert!(began.elapsed() >= Duration::from_secs(1), "no client can loop fast");
    }
}

#[tokio::test]
async fn connect_comes_first_once_and_well_formed() {
    let scene = Scene::new().await;
    let subscribe = format!("SUBSCRIBE\nid:a\ndestination:/topic/chat/{}\n\n\0", scene.room);
    let send = format!("SEND\ndestination:/app/chat/{}\n\n{{\"content\":\"early\"}}\0", scene.room);
    for frame in [subscribe.as_str(), &send, "DISCONNECT\n\n\0", "CONNECTED\nversion:1.2\n\n\0"] {
        scene.refuses_first(frame, "UNEXPECTED_FRAME").await;
    }
    for version in ["accept-version:1.1,1.0\n", "accept-version:\n", "accept-version:2.0\n", ""] {
        scene.refuses_first(&format!("CONNECT\n{version}\n\0"), "NO_COMMON_VERSION").await;
    }
    for beat in ["soon", "0", "0,0,0", "-1,0", "1e3,0", "0;0", "99999999999999999999,0"] {
        let connect = format!("CONNECT\naccept-version:1.2\nheart-beat:{beat}\nAuthorization:x\n\n\0");
        scene.refuses_first(&connect, "BAD_HEADER").await;
    }
    let again = format!("CONNECT\naccept-version:1.2\nAuthorization:{}\n\n\0", scene.alice.jwt());
    scene.refuses(&scene.alice, &again, "UNEXPECTED_FRAME").await;
    assert_eq!(scene.stored().await, 0);
}

#[tokio::test]
async fn somebody_elses_room_or_an_unknown_one_takes_and_gives_nothing() {
    let scene = Scene::new().await;
    let (alice, carla, room) = (&scene.alice, &scene.carla, scene.room);
    for (user, room, code) in [(carla, room, "NOT_A_MEMBER"), (alice, 7, "ROOM_NOT_FOUND")] {
        for frame in [
            format!("SEND\ndestination:/app/chat/{room}\n\n{{\"content\":\"hello\"}}\0"),
            format!("SEND\ndestination:/app/chat/{room}/read\n\n\0"),
            format!("SEND\ndestination:/app/chat/{room}/typing\n\n\0"),
            format!("SUBSCRIBE\nid:a\ndestination:/topic/chat/{room}\n\n\0"),
            format!("SUBSCRIBE\nid:a\ndestination:/topic/chat/{room}/events\n\n\0"),
        ] {
            scene.refuses(user, &frame, code).await;
        }
    }
}

#[tokio::test]
async fn a_destination_that_is_not_ones_own_is_refused() {
    let scene = Scene::new().await;
    let room = scene.room;
    let body = "{\"content\":\"hello\"}";
    for destination in [
        format!("/topic/chat/{room}"),
        format!("/topic/chat/{room}/events"),
        format!("/topic/users/{}/chatRoom", scene.alice.id),
        "/queue/anything".to_owned(),
        "/user/queue/session".to_owned(),
        format!("/app/chat/{room}/other"),
        format!("/app/chat/{room}/"),
        format!("/app/chat/0{room}"),
        "/app/chat/0".to_owned(),
        "/app/chat/abc".to_owned(),
        "/app/chat/9007199254740992".to_owned(),
        format!("app/chat/{room}"),
        String::new(),
    ] {
        let frame = format!("SEND\ndestination:{destination}\n\n{body}\0");
        scene.refuses(&scene.alice, &frame, "DESTINATION_REFUSED").await;
    }
    for destination in [
        format!("/topic/users/{}/chatRoom", scene.carla.id),
        format!("/app/chat/{room}"),
        format!("/topic/chat/{room}/"),
        "/topic/chat/*".to_owned(),
        "/topic/anything".to_owned(),
        "/user/queue/anything".to_owned(),
    ] {
        let frame = format!("SUBSCRIBE\nid:a\ndestination:{destination}\n\n\0");
        scene.refuses(&scene.alice, &frame, "DESTINATION_REFUSED").await;
    }
    scene.refuses(&scene.alice, &format!("SEND\n\n{body}\0"), "BAD_HEADER").await;
    scene.refuses(&scene.alice, "SUBSCRIBE\nid:a\n\n\0", "BAD_HEADER").await;
}

#[tokio::test]
async fn a_message_without_text_or_with_too_much_is_not_stored() {
    let scene = Scene::new().await;
    let long = format!("{{\"content\":\"{}\"}}", "x".repeat(5_001));
    for (body, code) in [
        ("", "BAD_JSON"),
        ("hello", "BAD_JSON"),
        ("{\"content\":\"hello\"", "BAD_JSON"),
        ("{\"content\":7}", "BAD_JSON"),
        ("[\"hello\",7]", "BAD_JSON"),
        ("{}", "EMPTY_MESSAGE"),
        ("{\"content\":null}", "EMPTY_MESSAGE"),
        ("{\"content\":\"\"}", "EMPTY_MESSAGE"),
        ("{\"content\":\"  \\n\\t \\u3000\"}", "EMPTY_MESSAGE"),
        (&long, "MESSAGE_TOO_LONG"),
    ] {
        let frame = format!("SEND\ndestination:/app/chat/{}\nreceipt:r\n\n{body}\0", scene.room);
        scene.refuses(&scene.alice, &frame, code).await;
    }
    let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
    socket.say(scene.room, &"가".repeat(5_000), None).await;
    assert_eq!(scene.stored().await, 1, "at the limit it is stored");
}

#[tokio::test]
async fn bytes_that_are_not_stomp_are_refused() {
    let scene = Scene::new().await;
    let send = format!("SEND\ndestination:/app/chat/{}\n", scene.room);
    let body = "{\"content\":\"hello\"}";
    for frame in [
        format!("{send}content-length:5\n\n{body}\0"),
        format!("{send}content-length:x\n\n{body}\0"),
        format!("{send}content-length:1\ncontent-length:2\n\n{body}\0"),
        format!("{}\0", send.trim_end()),
        format!("{send}\0"),
        format!("{send}no colon\n\n{body}\0"),
        format!("{send}x:\\t\n\n{body}\0"),
        "NONSENSE\n\n\0".to_owned(),
        "send\ndestination:/app/chat/1\n\n{}\0".to_owned(),
        "SUBSCRIBE\nid:a\ndestination:/user/queue/session\n\nbody\0".to_owned(),
        "{\"content\":\"hello\"}\n".to_owned(),
    ] {
        scene.refuses(&scene.alice, &frame, "BAD_FRAME").await;
    }
    for frame in ["ACK\nid:1\n\n\0", "BEGIN\ntransaction:t\n\n\0", "MESSAGE\n\n\0", "RECEIPT\nreceipt-id:1\n\n\0"] {
        scene.refuses(&scene.alice, frame, "UNEXPECTED_FRAME").await;
    }
}

#[tokio::test]
async fn a_frame_beyond_the_limits_is_refused() {
    let scene = Scene::new().await;
    let send = format!("SEND\ndestination:/app/chat/{}\n", scene.room);
    let many = "h:x\n".repeat(64);
    let spread = format!("h:{}\n", "x".repeat(6_000)).repeat(3);
    for frame in [
        format!("{send}\n{}\0", "x".repeat(64 * 1024 + 1)),
        format!("{send}content-length:65537\n\n"),
        format!("{send}content-length:99999999999999999999\n\n"),
        format!("{send}h:{}\n\n{{}}\0", "x".repeat(8 * 1024)),
        format!("{send}h:{}", "x".repeat(8 * 1024)),
        format!("{send}{many}\n{{}}\0"),
        format!("{send}{spread}\n{{}}\0"),
    ] {
        scene.refuses(&scene.alice, &frame, "FRAME_TOO_LARGE").await;
    }
    // Beyond every frame, the WebSocket's own code for it (RFC 6455 section 7.4.1).
    let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
    socket.send(&format!("{send}\n{}\0", "x".repeat(200_000))).await;
    assert!(matches!(socket.came().await, Came::Closed(1009, _)));
    assert_eq!(scene.stored().await, 0);
}

#[tokio::test]
async fn headers_of_subscribe_and_send_are_measured() {
    let scene = Scene::new().await;
    let room = scene.room;
    for (header, code) in [
        ("last-seq:-1", "BAD_LAST_SEQ"),
        ("last-seq:abc", "BAD_LAST_SEQ"),
        ("last-seq:", "BAD_LAST_SEQ"),
        ("last-seq:1.0", "BAD_LAST_SEQ"),
        ("last-seq:99999999999999999", "BAD_LAST_SEQ"),
        ("pending:later", "BAD_HEADER"),
        ("ack:client", "BAD_HEADER"),
    ] {
        let frame = format!("SUBSCRIBE\nid:a\ndestination:/topic/chat/{room}\n{header}\n\n\0");
        scene.refuses(&scene.alice, &frame, code).await;
    }
    for id in [String::new(), "id:\n".to_owned(), format!("id:{}\n", "x".repeat(256))] {
        let frame = format!("SUBSCRIBE\n{id}destination:/topic/chat/{room}\n\n\0");
        scene.refuses(&scene.alice, &frame, "BAD_HEADER").await;
    }
    let twice = format!("SUBSCRIBE\nid:a\ndestination:/topic/chat/{room}\n\n\0").repeat(2);
    scene.refuses(&scene.alice, &twice, "SUBSCRIPTION_EXISTS").await;
    scene.refuses(&scene.alice, "UNSUBSCRIBE\nid:a\n\n\0", "SUBSCRIPTION_UNKNOWN").await;
    let long = "x".repeat(65);
    for id in ["", "a b", "a.b", "ä", &long] {
        let frame = format!("SEND\ndestination:/app/chat/{room}\nclient-message-id:{id}\n\n{{\"content\":\"x\"}}\0");
        scene.refuses(&scene.alice, &frame, "BAD_CLIENT_MESSAGE_ID").await;
    }
}

#[tokio::test]
async fn a_client_message_id_belongs_to_one_text() {
    let scene = Scene::new().await;
    let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
    socket.say(scene.room, "Hello", Some("m-1")).await;
    socket.say(scene.room, "Hello", Some("m-1")).await;
    assert_eq!(scene.stored().await, 1, "a repetition is answered and stored once");
    let other = format!(
        "SEND\ndestination:/app/chat/{}\nclient-message-id:m-1\nreceipt:r\n\n{{\"content\":\"Bye\"}}\0",
        scene.room
    );
    scene.refuses(&scene.alice, &other, "MESSAGE_ID_REUSED").await;
}

#[tokio::test]
async fn a_refused_frame_names_the_receipt_that_it_asked_for() {
    let scene = Scene::new().await;
    for body in ["{\"content\":\" \"}", "hello"] {
        let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
        socket.send(&format!("SEND\ndestination:/app/chat/{}\nreceipt:mine\n\n{body}\0", scene.room)).await;
        let code = if body == "hello" { "BAD_JSON" } else { "EMPTY_MESSAGE" };
        assert_eq!(socket.refused(code).await.header("receipt-id"), Some("mine"));
    }
}

#[tokio::test]
async fn a_frame_in_pieces_and_several_frames_in_one_piece_are_the_same_frames() {
    let scene = Scene::new().await;
    let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
    let frame = |text: &str, receipt: &str| {
        format!("SEND\ndestination:/app/chat/{}\nreceipt:{receipt}\n\n{{\"content\":\"{text}\"}}\0", scene.room)
    };
    let whole = frame("in pieces", "r-1");
    for at in (0..whole.len()).step_by(20) {
        socket.send(&whole[at..whole.len().min(at + 20)]).await;
    }
    assert_eq!(socket.next("RECEIPT").await.header("receipt-id"), Some("r-1"));
    socket.send(&format!("\n{}\n\r\n{}", frame("first", "r-2"), frame("second", "r-3"))).await;
    for receipt in ["r-2", "r-3"] {
        assert_eq!(socket.next("RECEIPT").await.header("receipt-id"), Some(receipt));
    }
    assert_eq!(scene.stored().await, 3);
}

#[tokio::test]
async fn what_came_before_a_refused_frame_is_stored_and_what_came_after_can_be_sent_again() {
    let scene = Scene::new().await;
    let room = scene.room;
    let send = |id: &str, content: &str| {
        format!(
            "SEND\ndestination:/app/chat/{room}\nclient-message-id:{id}\nreceipt:{id}\n\n{{\"content\":\"{content}\"}}\0"
        )
    };
    // Refused by the room, by the protocol, and by the parser.
    let to_topic = format!("SEND\ndestination:/topic/chat/{room}\nreceipt:no\n\n{{\"content\":\"no\"}}\0");
    for (round, (bad, code)) in [
        (send("no", " "), "EMPTY_MESSAGE"),
        (to_topic, "DESTINATION_REFUSED"),
        ("NONSENSE\n\n\0".to_owned(), "BAD_FRAME"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = |part: &str| format!("{part}-{round}");
        let before: String = (0..3).map(|n| send(&name(&format!("before-{n}")), &name("before"))).collect();
        let after: String = (0..3).map(|n| send(&name(&format!("after-{n}")), &name("after"))).collect();
        let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
        socket.send(&format!("{before}{bad}{after}")).await;
        for n in 0..3 {
            let receipt = socket.next("RECEIPT").await;
            assert_eq!(receipt.header("receipt-id"), Some(name(&format!("before-{n}")).as_str()));
        }
        socket.refused(code).await;
        // Without a RECEIPT nobody knows, so it is sent again, under the same name.
        let mut socket = Stomp::connect(&scene.server, &scene.alice).await;
        socket.send(&after).await;
        for _ in 0..3 {
            socket.next("RECEIPT").await;
        }
        assert_eq!(scene.stored().await, (round + 1) * 6);
    }
}
