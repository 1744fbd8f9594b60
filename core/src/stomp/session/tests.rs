//! The protocol's rules, by the numbers of the STOMP checklist.

use std::fmt::Write;

use super::*;

struct Talk {
    session: Session,
    now: u64,
    asked: Vec<(AskId, Ask)>,
    carried: Vec<String>,
    /// For how long the shell holds an ERROR back.
    delay: Duration,
}

impl Talk {
    fn new() -> Self {
        Self::with(SessionSettings::default())
    }

    fn with(settings: SessionSettings) -> Self {
        let session = Session::new(Monotonic::from_millis(0), settings, "c0".to_owned());
        Self { session, now: 0, asked: Vec::new(), carried: Vec::new(), delay: Duration::ZERO }
    }

    /// Connected, with whatever heart-beat.
    fn connected(beat: &str) -> Self {
        let mut talk = Self::new();
        assert_eq!(
            talk.says(&format!("CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:{beat}\nAuthorization:t\n\n\0")),
            "ask"
        );
        assert!(talk.answer(Reply::Done).starts_with("CONNECTED\nversion:1.2\n"));
        talk
    }

    fn input(&mut self, input: Input<'_>) -> String {
        self.session.handle(Monotonic::from_millis(self.now), input);
        let mut seen = String::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
                Output::Ask(id, ask) => {
                    self.asked.push((id, ask));
                    seen.push_str("ask");
                }
                Output::Carried(token) => self.carried.push(token),
                Output::Refusing(_) => seen.push_str(&self.input(Input::RefuseAfter(self.delay))),
                Output::Close(code) => write!(seen, "close {}", code.code()).unwrap(),
            }
        }
        seen
    }

    fn says(&mut self, bytes: &str) -> String {
        self.input(Input::Bytes(bytes.as_bytes()))
    }

    fn answer(&mut self, reply: Reply) -> String {
        let (id, _) = self.asked.remove(0);
        self.input(Input::Reply(id, reply))
    }

    fn at(&mut self, millis: u64) -> String {
        self.now = millis;
        self.input(Input::Tick)
    }
}

#[track_caller]
fn refused(seen: &str, code: &str) {
    assert!(seen.starts_with(&format!("ERROR\ncode:{code}\n")) && seen.ends_with("close 4007"), "{seen}");
}

#[test]
fn stomp_21_and_22_the_first_frame_is_connect_or_stomp_and_comes_once() {
    let mut talk = Talk::new();
    assert_eq!(talk.says("STOMP\naccept-version:1.2\n\n\0"), "ask");
    refused(&Talk::new().says("SUBSCRIBE\nid:1\ndestination:/topic/chat/1\n\n\0"), "UNEXPECTED_FRAME");
    refused(&Talk::connected("0,0").says("CONNECT\naccept-version:1.2\n\n\0"), "UNEXPECTED_FRAME");
}

#[test]
fn frames_that_come_behind_connect_wait_for_its_answer() {
    let mut talk = Talk::new();
    let both = "CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:a\ndestination:/topic/chat/1\n\n\0";
    assert_eq!(talk.says(both), "ask");
    assert!(!talk.session.wants_bytes());
    let seen = talk.answer(Reply::Done);
    assert!(seen.starts_with("CONNECTED\n") && seen.ends_with("ask"), "{seen}");
}

#[test]
fn stomp_23_and_24_only_a_common_version_connects() {
    for versions in ["1.0", "1.1", "2.0", "1.20", ""] {
        let mut talk = Talk::new();
        assert_eq!(talk.says(&format!("CONNECT\naccept-version:{versions}\n\n\0")), "");
        let seen = talk.at(3_000);
        refused(&seen, "NO_COMMON_VERSION");
        assert!(seen.contains("\nversion:1.2\n"));
    }
}

#[test]
fn stomp_27_a_refused_connect_gets_its_error_late_and_is_closed() {
    let mut talk = Talk::new();
    talk.says("CONNECT\naccept-version:1.2\n\n\0");
    assert_eq!(talk.answer(Reply::Refused(ErrorCode::Unauthorized)), "");
    assert_eq!(talk.session.next_deadline(), Some(Monotonic::from_millis(3_000)));
    assert_eq!(talk.at(2_999), "");
    refused(&talk.at(3_000), "UNAUTHORIZED");
}

#[test]
fn a_connection_that_does_not_connect_in_time_is_closed() {
    let mut talk = Talk::new();
    assert_eq!(talk.at(9_999), "");
    assert_eq!(talk.at(10_000), "close 4006");
}

#[test]
fn stomp_31_to_33_both_sides_show_life() {
    let mut talk = Talk::connected("60000,10000");
    assert_eq!(talk.at(10_000), "\n");
    talk.now = 15_000;
    talk.input(Input::Wrote);
    assert_eq!(talk.at(24_999), "");
    assert_eq!(talk.at(25_000), "\n");
    talk.now = 170_000;
    talk.says("\n");
    assert_eq!(talk.at(349_000), "\n");
    assert_eq!(talk.at(350_000), "close 4005");
}

#[test]
fn a_frame_that_never_ends_is_refused() {
    let mut talk = Talk::connected("0,0");
    assert_eq!(talk.says("SEND\ndestination:/app/chat/1\n\n{}"), "");
    assert_eq!(talk.at(29_999), "");
    refused(&talk.at(30_000), "BAD_FRAME");
}

#[test]
fn stomp_34_to_36_a_send_names_a_room_or_is_refused() {
    let mut talk = Talk::connected("0,0");
    assert_eq!(talk.says("SEND\ndestination:/app/chat/5\nclient-message-id:a\n\n{}\0"), "ask");
    let room = RoomId::new(5).unwrap();
    let client_id = ClientMessageId::new("a").ok();
    assert_eq!(talk.asked[0].1, Ask::Say { room, body: Bytes::from_static(b"{}"), client_id });
    for (frame, code) in [
        ("SEND\n\n\0", "BAD_HEADER"),
        ("SEND\ndestination:/topic/chat/5\n\n{}\0", "DESTINATION_REFUSED"),
        ("SEND\ndestination:/queue/x\n\n{}\0", "DESTINATION_REFUSED"),
        ("SEND\ndestination:/app/chat/5\nclient-message-id:a b\n\n{}\0", "BAD_CLIENT_MESSAGE_ID"),
        ("SEND\ndestination:/app/chat/5\ntransaction:t\n\n{}\0", "UNEXPECTED_FRAME"),
        ("MESSAGE\n\n\0", "UNEXPECTED_FRAME"),
        ("BEGIN\ntransaction:t\n\n\0", "UNEXPECTED_FRAME"),
    ] {
        refused(&Talk::connected("0,0").says(frame), code);
    }
}

#[test]
fn stomp_38_to_44_a_subscription_has_an_id_of_its_own() {
    let mut talk = Talk::connected("0,0");
    assert_eq!(
        talk.says("SUBSCRIBE\nid:a\ndestination:/topic/chat/1\nlast-seq:7\npending:immediate\nreceipt:r\n\n\0"),
        "ask"
    );
    assert_eq!(talk.answer(Reply::Done), "RECEIPT\nreceipt-id:r\n\n\0");
    assert_eq!(talk.says("SUBSCRIBE\nid:b\ndestination:/topic/chat/1\n\n\0"), "ask");
    assert_eq!(talk.says("UNSUBSCRIBE\nid:a\n\n\0"), "ask");
    assert_eq!(talk.says("SUBSCRIBE\nid:a\ndestination:/topic/chat/1\n\n\0"), "ask");
    for (frame, code) in [
        ("SUBSCRIBE\nid:b\ndestination:/topic/chat/1\n\n\0", "SUBSCRIPTION_EXISTS"),
        ("SUBSCRIBE\ndestination:/topic/chat/1\n\n\0", "BAD_HEADER"),
        ("SUBSCRIBE\nid:c\n\n\0", "BAD_HEADER"),
        ("SUBSCRIBE\nid:c\ndestination:/topic/chat/1\nack:what\n\n\0", "BAD_HEADER"),
        ("SUBSCRIBE\nid:c\ndestination:/topic/chat/1\nlast-seq:-1\n\n\0", "BAD_LAST_SEQ"),
        ("SUBSCRIBE\nid:c\ndestination:/topic/chat/abc\n\n\0", "DESTINATION_REFUSED"),
        ("UNSUBSCRIBE\nid:zzz\n\n\0", "SUBSCRIPTION_UNKNOWN"),
    ] {
        let mut talk = Talk::connected("0,0");
        talk.says("SUBSCRIBE\nid:b\ndestination:/topic/chat/1\n\n\0");
        talk.answer(Reply::Done);
        refused(&talk.says(frame), code);
    }
}

#[test]
fn stomp_42_a_refused_subscription_names_the_receipt_and_closes() {
    let mut talk = Talk::connected("0,0");
    talk.says("SUBSCRIBE\nid:a\ndestination:/topic/chat/1\nreceipt:r:1\n\n\0");
    let seen = talk.answer(Reply::Refused(ErrorCode::NotAMember));
    assert!(seen.contains("\nreceipt-id:r:1\n") || seen.contains("\nreceipt-id:r\\c1\n"), "{seen}");
    refused(&seen, "NOT_A_MEMBER");
}

#[test]
fn stomp_55_a_receipt_id_comes_back_byte_for_byte() {
    let mut talk = Talk::connected("0,0");
    talk.says("SUBSCRIBE\nid:a\ndestination:/topic/chat/1\nreceipt:a\\cb\\\\ \n\n\0");
    assert_eq!(talk.answer(Reply::Done), "RECEIPT\nreceipt-id:a\\cb\\\\ \n\n\0");
}

#[test]
fn stomp_57_and_58_disconnect_is_answered_and_nothing_after_it_is_done() {
    let mut talk = Talk::connected("0,0");
    let seen = talk.says("DISCONNECT\nreceipt:bye\n\n\0SEND\ndestination:/app/chat/1\n\n{}\0");
    assert_eq!(seen, "ask");
    assert_eq!(talk.says("SEND\ndestination:/app/chat/1\n\n{}\0"), "");
    assert_eq!(talk.answer(Reply::Done), "RECEIPT\nreceipt-id:bye\n\n\0close 1000");
}

#[test]
fn stomp_62_nothing_follows_an_error() {
    let mut talk = Talk::connected("0,0");
    refused(&talk.says("NONSENSE\n\n\0"), "BAD_FRAME");
    assert_eq!(talk.says("SEND\ndestination:/app/chat/1\n\n{}\0"), "");
    assert_eq!(talk.session.next_deadline(), None);
}

#[test]
fn a_frame_that_is_refused_waits_for_the_answers_to_those_before_it() {
    let mut talk = Talk::connected("0,10000");
    let send = "SEND\ndestination:/app/chat/1\nreceipt:1\n\n{}\0";
    assert_eq!(talk.says(&format!("{send}{send}NONSENSE\n\n\0{send}")), "askask");
    assert_eq!(talk.says(send), "");
    assert_eq!(talk.answer(Reply::Done), "RECEIPT\nreceipt-id:1\n\n\0");
    assert_eq!(talk.at(10_000), "\n");
    let seen = talk.answer(Reply::Done);
    refused(seen.strip_prefix("RECEIPT\nreceipt-id:1\n\n\0").unwrap_or_default(), "BAD_FRAME");
    assert_eq!(talk.says(send), "");
    // Of two refusals the one that came first is told.
    let mut talk = Talk::connected("0,0");
    talk.says(&format!("{send}NONSENSE\n\n\0"));
    refused(&talk.answer(Reply::Refused(ErrorCode::NotAMember)), "NOT_A_MEMBER");
}

#[test]
fn a_refused_connect_owes_no_heart_beat() {
    let settings = SessionSettings { error_delay: Duration::from_mins(1), ..SessionSettings::default() };
    let mut talk = Talk::with(settings);
    talk.says("CONNECT\naccept-version:1.2\nheart-beat:1000,1000\n\n\0");
    talk.answer(Reply::Refused(ErrorCode::Unauthorized));
    assert_eq!(talk.session.next_deadline(), Some(Monotonic::from_millis(60_000)));
}

#[test]
fn a_token_on_a_frame_is_handed_over_before_what_the_frame_asks() {
    let mut talk = Talk::connected("0,0");
    assert_eq!(talk.says("SUBSCRIBE\nid:1\ndestination:/topic/chat/1\nAuthorization:Bearer x\n\n\0"), "ask");
    assert_eq!(talk.says("UNSUBSCRIBE\nid:1\n\n\0"), "ask");
    assert_eq!(talk.carried, ["Bearer x"]);
}

#[test]
fn an_error_is_held_back_in_silence_for_as_long_as_the_shell_says() {
    let mut talk = Talk::connected("10000,10000");
    talk.delay = Duration::from_secs(30);
    assert_eq!(talk.says("SEND\ndestination:/topic/chat/1\n\nx\0"), "");
    assert_eq!(talk.says("SUBSCRIBE\nid:1\ndestination:/topic/chat/1\n\n\0"), "", "nothing more is taken in");
    assert_eq!(talk.at(29_999), "", "nor does a heart-beat leave");
    refused(&talk.at(30_000), "DESTINATION_REFUSED");
}

#[test]
fn connected_and_error_name_the_connection() {
    let mut talk = Talk::new();
    talk.says("CONNECT\naccept-version:1.2\n\n\0");
    assert!(talk.answer(Reply::Done).contains("\nsession:c0\n"));
    assert!(talk.says("SEND\ndestination:/topic/chat/1\n\nx\0").contains("\nconnection:c0\n"));
}
