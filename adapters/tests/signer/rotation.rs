//! New keys beside older ones, on a server that runs on.

use std::fs;
use std::time::Duration;

use serde_json::json;
use transtalk_adapters::signer::{
    KeyFileError, KeyFileSigner, KeyUse, Reloaded, RotateOptions, SigningAlgorithm, list, rotate,
};
use transtalk_core::ports::{MacPurpose, TokenKind, TokenSigner};

use crate::support::*;

#[test]
fn a_new_key_signs_after_a_minute_and_the_old_one_verifies_on() {
    let folder = Folder::new();
    let (node, other) = (folder.signer(), folder.signer());
    let before = made(&node);
    let rotated = folder.rotate(10, |_| ());
    assert_eq!((rotated.added.len(), rotated.dropped.len()), (2, 0));

    // The nodes read the file at different times; until the minute is over nobody makes anything with the new keys.
    assert_eq!(node.reload(at(20)).unwrap(), Reloaded::Changed);
    let waiting = made(&node);
    assert_eq!(waiting.kid(), before.kid());
    assert_eq!(waiting.code, before.code);
    waiting.check(&other);
    assert_eq!(other.reload(at(69)).unwrap(), Reloaded::Changed);
    assert_eq!(made(&other).kid(), before.kid());

    assert_eq!(node.reload(at(69)).unwrap(), Reloaded::Unchanged);
    assert_eq!(node.reload(at(70)).unwrap(), Reloaded::Changed);
    assert_eq!(node.reload(at(71)).unwrap(), Reloaded::Unchanged);
    let after = made(&node);
    assert_eq!(after.kid(), rotated.added[0].kid);
    assert_ne!(after.code, before.code);
    // The other node has not looked again, and knows the new keys all the same.
    for signer in [&node, &other, &folder.signer()] {
        before.check(signer);
        after.check(signer);
    }
}

#[test]
fn public_keys_are_published_before_they_are_used() {
    let folder = Folder::new();
    let node = folder.signer();
    let rotated = folder.rotate(10, |_| ());
    node.reload(at(11)).unwrap();
    assert!(node.jwks().contains(&rotated.added[0].kid));
}

#[test]
fn a_key_is_dropped_by_the_first_rotation_after_its_overlap() {
    let folder = Folder::new();
    let node = folder.signer();
    let first = made(&node);
    // The second keys take over at 60, so the first ones are kept until 3660.
    folder.rotate(0, |_| ());
    node.reload(at(60)).unwrap();
    let second = made(&node);

    assert_eq!(folder.rotate(3_660, |_| ()).dropped, Vec::<String>::new());
    node.reload(at(3_660)).unwrap();
    first.check(&node);

    let dropped = folder.rotate(3_661, |_| ()).dropped;
    // The secret only opens from now on, and is listed as such.
    assert_eq!(dropped, [first.kid()]);
    // A server that has not looked yet still believes it, and remembers it.
    first.check(&node);
    assert_eq!(node.reload(at(3_662)).unwrap(), Reloaded::Changed);
    first.check_no_longer_believed(&node);
    // What it sealed is opened for as long as anybody may have it, and by no leaked secret.
    assert_eq!(node.open(b"context", &first.sealed).as_deref(), Some(b"secret".as_slice()));
    let listed = list(&folder.file()).unwrap();
    assert_eq!(listed.iter().filter(|key| key.usage == KeyUse::Opening).count(), 1);
    second.check(&node);
    assert!(!node.jwks().contains(&first.kid()));
    folder.rotate(9_000, |options| options.immediately = true);
    node.reload(at(9_000)).unwrap();
    first.check_gone(&node);
}

#[test]
fn after_a_leak_all_older_keys_are_gone_at_once() {
    let folder = Folder::new();
    let node = folder.signer();
    let first = made(&node);
    folder.rotate(0, |_| ());
    node.reload(at(100)).unwrap();
    let second = made(&node);
    first.check(&node);

    let rotated = folder.rotate(100, |options| options.immediately = true);
    assert_eq!(rotated.dropped.len(), 4);
    assert_eq!(rotated.added[0].active_from, at(100));
    assert_eq!(node.reload(at(100)).unwrap(), Reloaded::Replaced);
    first.check_gone(&node);
    second.check_gone(&node);
    let third = made(&node);
    assert_eq!(third.kid(), rotated.added[0].kid);
    third.check(&folder.signer());
    assert_eq!(list(&folder.file()).unwrap(), rotated.added);
}

#[test]
fn rotations_in_quick_succession_leave_one_key_that_signs() {
    let folder = Folder::new();
    let node = folder.signer();
    let first = made(&node);
    // The later rotation takes over earlier.
    let late = folder.rotate(0, |options| options.activate_after = Duration::from_mins(10)).added[0].kid.clone();
    let soon = folder.rotate(10, |_| ()).added[0].kid.clone();
    for (secs, expect) in [(11, &first.kid()), (69, &first.kid()), (70, &soon), (599, &soon), (601, &soon)] {
        node.reload(at(secs)).unwrap();
        let token = made(&node);
        assert_eq!(&token.kid(), expect, "{secs}");
        first.check(&node);
    }
    let kids: Vec<String> = list(&folder.file()).unwrap().into_iter().map(|key| key.kid).take(3).collect();
    assert_eq!(kids, [soon, late, first.kid()]);
}

#[test]
fn rotations_at_once_do_not_lose_one_another() {
    let folder = Folder::new();
    folder.signer();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| folder.rotate(0, |_| ()));
        }
    });
    assert_eq!(list(&folder.file()).unwrap().len(), 2 * 9);
    assert_eq!(folder.names(), ["keys.json", "keys.json.lock"]);
}

#[test]
fn a_rotation_may_change_the_algorithm_and_servers_follow() {
    let folder = Folder::new();
    let node = folder.signer();
    let first = made(&node);
    for (index, algorithm) in [SigningAlgorithm::Es256, SigningAlgorithm::Hs256].into_iter().enumerate() {
        let secs = 100 * index as u64;
        let added = folder.rotate(secs, |options| options.algorithm = Some(algorithm)).added;
        assert_eq!(added[0].algorithm, algorithm.name());
        node.reload(at(secs + 60)).unwrap();
        let next = made(&node);
        assert_eq!(header_of(&next.token)["alg"], algorithm.name());
        next.check(&node);
        first.check(&node);
    }
}

#[test]
fn where_a_configured_secret_signs_only_the_other_secrets_are_rotated() {
    let folder = Folder::new();
    let node = folder.signer_of_secret(SECRET);
    let before = made(&node);
    let rotated = folder.rotate(0, |options| options.algorithm = None);
    assert_eq!(rotated.added.len(), 1);
    assert_eq!(rotated.added[0].usage, KeyUse::Mac);
    node.reload(at(60)).unwrap();
    let after = made(&node);
    assert_eq!(before.token, after.token);
    assert_ne!(before.code, after.code);
    before.check(&node);
}

#[test]
fn the_list_shows_times_and_no_secret() {
    let folder = Folder::new();
    folder.signer();
    folder.rotate(10, |options| options.algorithm = Some(SigningAlgorithm::Hs256));
    let document = folder.document();
    let listed = list(&folder.file()).unwrap();
    let rows: Vec<_> = listed
        .iter()
        .map(|key| (key.usage.name(), key.algorithm, key.created_at, key.active_from, key.retired_at))
        .collect();
    assert_eq!(
        rows,
        [
            ("signing", "HS256", at(10), at(70), None),
            ("signing", "EdDSA", at(0), at(0), Some(at(70))),
            ("mac", "HMAC-SHA256", at(10), at(70), None),
            ("mac", "HMAC-SHA256", at(0), at(0), Some(at(70))),
        ]
    );
    let shown = format!("{listed:?}");
    for index in 0..2 {
        for (list, member) in [("keys", "private_key"), ("mac_secrets", "secret")] {
            assert!(!shown.contains(document[list][index][member].as_str().unwrap()));
        }
    }
}

#[test]
fn nothing_is_rotated_or_listed_where_there_is_no_file() {
    let folder = Folder::new();
    let options = RotateOptions::new(Some(SigningAlgorithm::EdDsa), Duration::ZERO);
    let error = rotate(&folder.file(), at(0), &options, &TestEntropy(0)).unwrap_err();
    assert!(matches!(error, KeyFileError::Unreadable { .. }), "{error:?}");
    assert!(matches!(list(&folder.file()), Err(KeyFileError::Unreadable { .. })));
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[test]
fn a_broken_file_leaves_the_keys_in_use_and_is_told() {
    let folder = Folder::new();
    let node = folder.signer();
    let before = made(&node);
    let good = folder.document();
    for broken in ["", "{}", "{\"version\": 9}"] {
        folder.write(broken);
        assert!(matches!(node.reload(at(1)), Err(KeyFileError::Malformed { .. })));
        before.check(&node);
        assert_eq!(made(&node).token, before.token);
    }
    // A file without a key is one for a configured secret.
    let mut bare = good.clone();
    bare["keys"] = json!([]);
    folder.write(&bare.to_string());
    assert!(matches!(node.reload(at(1)), Err(KeyFileError::Malformed { .. })));
    fs::remove_file(folder.file()).unwrap();
    assert!(matches!(node.reload(at(1)), Err(KeyFileError::Unreadable { .. })));
    before.check(&node);

    folder.write(&good.to_string());
    assert_eq!(node.reload(at(2)).unwrap(), Reloaded::Changed);
    before.check(&node);
}

#[test]
fn a_file_that_could_not_be_read_again_is_never_written() {
    let folder = Folder::new();
    let node = folder.signer();
    let before = made(&node);
    let options = RotateOptions::new(Some(SigningAlgorithm::Es256), Duration::from_secs(1_000_000));
    let full = (0..1_000).find_map(|secs| rotate(&folder.file(), at(secs), &options, &TestEntropy(0)).err()).unwrap();
    assert!(matches!(full, KeyFileError::Full { .. }), "{full:?}");
    assert!(full.to_string().contains("too many keys"), "{full}");
    assert!(list(&folder.file()).unwrap().len() > 100);
    node.reload(at(2_000)).unwrap();
    before.check(&node);
    // With a shorter overlap there is room again.
    let rotated = folder.rotate(1_000_000, |options| options.overlap = Duration::ZERO);
    assert!(rotated.dropped.len() > 100);
}

#[test]
fn a_clock_that_stands_before_all_keys_still_finds_one() {
    let folder = Folder::new();
    let first = made(&folder.signer());
    folder.rotate(10, |_| ());
    let early = transtalk_core::Timestamp::from_secs(1);
    let signer = KeyFileSigner::open(folder.options(), early, &TestEntropy(0)).unwrap();
    assert_eq!(made(&signer).kid(), first.kid());
}

/// One of everything that a signer makes.
struct Made {
    token: String,
    code: [u8; 32],
    sealed: Vec<u8>,
}

fn made(signer: &KeyFileSigner) -> Made {
    Made {
        token: signer.sign(TokenKind::Access, &claims()),
        code: signer.mac(MacPurpose::Refresh, b"bytes"),
        sealed: signer.seal([1; 12], b"context", b"secret"),
    }
}

impl Made {
    fn kid(&self) -> String {
        header_of(&self.token)["kid"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn check(&self, signer: &KeyFileSigner) {
        check_accepted(signer, &self.token);
        assert!(signer.mac_matches(MacPurpose::Refresh, b"bytes", &self.code));
        assert_eq!(signer.open(b"context", &self.sealed).as_deref(), Some(b"secret".as_slice()));
    }

    #[track_caller]
    fn check_no_longer_believed(&self, signer: &KeyFileSigner) {
        check_refused(signer, &self.token);
        assert!(!signer.mac_matches(MacPurpose::Refresh, b"bytes", &self.code));
    }

    fn check_gone(&self, signer: &KeyFileSigner) {
        self.check_no_longer_believed(signer);
        assert_eq!(signer.open(b"context", &self.sealed), None);
    }
}
