//! The shortest story: two people, one message, both languages.

use crate::support::{Server, Stomp};

#[tokio::test]
async fn alice_writes_english_and_bob_reads_korean() {
    let server = Server::start(&[]).await;
    let (alice, bob) = (server.sign_in("alice").await, server.sign_in("bob").await);
    let room = alice.open_room("ko", "bob@example.com").await;
    let mut socket = Stomp::connect(&server, &bob).await;
    socket.subscribe("sub-0", &format!("/topic/chat/{room}"), &[]).await;
    let mut sender = Stomp::connect(&server, &alice).await;
    sender.say(room, "Hello", Some("m-1")).await;
    let message = socket.next("MESSAGE").await;
    let chat = message.json();
    assert_eq!(chat["originalMessage"], "Hello");
    assert_eq!(chat["translatedMessage"], "안녕하세요");
    assert_eq!(chat["seq"], 1);
    assert_eq!(alice.history(room).await["chats"][0]["chatId"], chat["chatId"]);
}
