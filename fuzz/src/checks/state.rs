//! The cache file: any bytes are decoded or refused. The fuzzer cannot guess a checksum, so an input that
//! does not begin as a cache file is taken for the part behind the checksum.

use psstat_core::discovery::exits::KnownExits;
use psstat_core::state::{State, codec};

/// Length of the part of a cache file up to its checksum: the magic number and the version.
const BEFORE_CHECKSUM: usize = 10;

/// Puts a checksum that is right before the body of a cache file.
pub fn with_header(body: &[u8]) -> Vec<u8> {
    let mut file = codec::encode(&State::default());
    file.truncate(BEFORE_CHECKSUM);
    file.extend_from_slice(&crc32(body).to_le_bytes());
    file.extend_from_slice(body);
    file
}

/// CRC-32 as in ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}

/// Checks that the bytes are refused, or that what they mean survives encoding. Returns whether they are
/// accepted.
pub fn check(bytes: &[u8]) -> bool {
    let file = if bytes.starts_with(b"psstat\r\n") { bytes.to_vec() } else { with_header(bytes) };
    let Ok(state) = codec::decode(&file) else { return false };
    check_round_trip(&state);
    // Numbers can be written in more bytes than they need, so the bytes need not be the same.
    let encoded = codec::encode(&state);
    assert!(encoded.len() <= file.len(), "{} bytes became {}", file.len(), encoded.len());
    true
}

/// Checks that what is encoded is decoded to the same, but for what a cache file does not have.
pub fn check_round_trip(state: &State) {
    let encoded = codec::encode(state);
    let decoded = codec::decode(&encoded).expect("what was encoded is decoded");
    let mut expected = state.clone();
    expected.known.picked_by.clear();
    expected.exits = KnownExits::default();
    if let Some(tracker) = &mut expected.tracker {
        tracker.clocks = None;
    }
    assert_eq!(decoded, expected);
    assert!(codec::encode(&decoded) == encoded, "the bytes depend on more than the state");
}
