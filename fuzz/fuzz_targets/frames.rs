//! What clients send on a socket, cut in two anywhere: the same is read, within the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use marketplace::ws::{
    Violation,
    reader::{Incoming, Reader},
};

const LIMIT: usize = 4096;

fuzz_target!(|input: (bool, u16, &[u8])| {
    let (deflate, cut, bytes) = input;
    let (start, end) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = read(deflate, &[bytes]);
    assert_eq!(whole, read(deflate, &[start, end]));
});

fn read(deflate: bool, pieces: &[&[u8]]) -> (Vec<Incoming>, Option<Violation>) {
    let mut reader = Reader::new(LIMIT, deflate);
    let mut all = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            let step = reader.read(&mut piece);
            assert!(reader.held_bytes() <= LIMIT + 125);
            match step {
                Ok(Some(close @ Incoming::Close(..))) => {
                    all.push(close);
                    return (all, None);
                }
                Ok(Some(incoming)) => all.push(incoming),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
        }
    }
    (all, None)
}
