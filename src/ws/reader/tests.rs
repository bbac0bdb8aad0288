//! The reader against the rules of RFC 6455, one by one, and against arbitrary bytes.

use super::*;
use proptest::prelude::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMIT: usize = 100_000;

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let len = payload.len();
    match len {
        0..126 => bytes.push(MASKED | u8::try_from(len).unwrap()),
        126..65_536 => {
            bytes.push(MASKED | 0x7e);
            bytes.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 0x7f);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn text(payload: &str) -> Incoming {
    Incoming::Message(Message::Text(payload.to_owned()))
}

fn binary(payload: &[u8]) -> Incoming {
    Incoming::Message(Message::Binary(payload.to_owned()))
}

/// All that is read from pieces, and how it ended. Checks the bound on memory at each step.
fn read_pieces<'a>(
    reader: &mut Reader,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Incoming>, Option<Violation>) {
    let mut all = Vec::new();
    for mut piece in pieces {
        loop {
            let step = reader.read(&mut piece);
            assert!(reader.held_bytes() <= reader.limit as usize + usize::from(MAX_CONTROL));
            match step {
                Ok(Some(incoming)) => all.push(incoming),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
            if matches!(all.last(), Some(Incoming::Close(..))) {
                return (all, None);
            }
        }
        assert!(piece.is_empty(), "all bytes are taken");
    }
    (all, None)
}

fn read(frames: &[Vec<u8>]) -> (Vec<Incoming>, Option<Violation>) {
    let bytes = frames.concat();
    let whole = read_pieces(&mut Reader::new(LIMIT, false), [bytes.as_slice()]);
    let single = read_pieces(&mut Reader::new(LIMIT, false), bytes.chunks(1));
    assert_eq!(whole, single);
    whole
}

fn refused(frames: &[Vec<u8>]) -> Violation {
    read(frames).1.expect("must be refused")
}

fn is_protocol(violation: Violation) -> bool {
    matches!(violation, Violation::Protocol(_))
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let ping = b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    let (all, violation) = read(&[hello, ping]);
    assert_eq!(all, [text("Hello"), Incoming::Ping(b"Hello".to_vec())]);
    assert_eq!(violation, None);
}

#[test]
fn all_lengths_are_read() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, LIMIT] {
        let payload = vec![b'*'; len];
        assert_eq!(read(&[frame(0x82, &payload)]).0, [binary(&payload)]);
    }
}

#[test]
fn a_longer_form_than_needed_is_refused() {
    for header in [
        b"\x82\xfe\x00\x7d".as_slice(),
        b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",
        b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00",
    ] {
        assert!(is_protocol(refused(&[header.to_vec(), MASK.to_vec()])));
    }
}

#[test]
fn fragments_make_one_message_with_control_frames_between() {
    let (all, violation) = read(&[
        frame(0x01, b"frag"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, b"pong"),
        frame(0x80, b"ments"),
        frame(0x82, b"next"),
    ]);
    let ping = Incoming::Ping(b"ping".to_vec());
    assert_eq!(
        all,
        [ping, Incoming::Pong, text("fragments"), binary(b"next")]
    );
    assert_eq!(violation, None);
}

#[test]
fn continuations_keep_their_order() {
    assert!(is_protocol(refused(&[frame(0x80, b"of nothing")])));
    assert!(is_protocol(refused(&[frame(0x00, b"of nothing")])));
    assert!(is_protocol(refused(&[
        frame(0x01, b"a"),
        frame(0x81, b"b")
    ])));
    assert!(is_protocol(refused(&[
        frame(0x01, b"a"),
        frame(0x80, b"b"),
        frame(0x80, b"c")
    ])));
}

#[test]
fn unmasked_frames_are_refused() {
    assert!(is_protocol(refused(&[b"\x81\x05Hello".to_vec()])));
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for bits in [0x10, 0x20, 0x40, 0x50, 0x70] {
        assert!(is_protocol(refused(&[frame(0x81 | bits, b"")])));
        assert!(is_protocol(refused(&[frame(0x89 | bits, b"")])));
    }
    for opcode in (3..=7).chain(11..=15) {
        assert!(is_protocol(refused(&[frame(0x80 | opcode, b"")])));
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [8, 9, 10] {
        assert!(is_protocol(refused(&[frame(opcode, b"")])));
        assert!(is_protocol(refused(&[frame(0x80 | opcode, &[0; 126])])));
    }
    assert_eq!(
        read(&[frame(0x89, &[7; 125])]).0,
        [Incoming::Ping(vec![7; 125])]
    );
}

#[test]
fn a_close_is_checked() {
    let closed = |payload: &[u8]| read(&[frame(0x88, payload)]);
    assert_eq!(closed(b"").0, [Incoming::Close(None, String::new())]);
    assert_eq!(
        closed(b"\x03\xe8bye").0,
        [Incoming::Close(Some(1000), "bye".to_owned())]
    );
    assert!(is_protocol(closed(b"\x03").1.unwrap()));
    assert!(is_protocol(closed(b"\x03\xed").1.unwrap()));
    assert_eq!(closed(b"\x03\xe8\xce\xba\xe1").1, Some(Violation::NotUtf8));
}

#[test]
fn texts_are_utf8() {
    let greek = "κόσμε-𐍈";
    assert_eq!(read(&[frame(0x81, greek.as_bytes())]).0, [text(greek)]);
    let halves = greek.as_bytes().split_at(5);
    assert_eq!(
        read(&[frame(0x01, halves.0), frame(0x80, halves.1)]).0,
        [text(greek)]
    );
    for bad in [
        b"\xff".as_slice(),
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"cut short \xf0\x9f\x98",
    ] {
        assert_eq!(refused(&[frame(0x81, bad)]), Violation::NotUtf8);
        assert_eq!(
            refused(&[frame(0x01, bad), frame(0x80, b"")]),
            Violation::NotUtf8
        );
    }
}

#[test]
fn a_wrong_byte_is_noticed_before_the_text_ends() {
    let mut reader = Reader::new(LIMIT, false);
    let good = frame(0x01, b"\xce\xba\xe1\xbd\xb9");
    assert_eq!(read_pieces(&mut reader, [good.as_slice()]), (vec![], None));
    // Not even its frame has ended: only the first two of four bytes of a surrogate half too far.
    let bad = frame(0x80, b"\xf4\x90\x80\x80");
    assert_eq!(reader.read(&mut &bad[..7]), Ok(None));
    assert_eq!(reader.read(&mut &bad[7..8]), Err(Violation::NotUtf8));
}

#[test]
fn the_limit_is_for_the_whole_message() {
    assert_eq!(
        refused(&[frame(0x82, &vec![0; LIMIT + 1])]),
        Violation::TooBig
    );
    let half = vec![0; LIMIT / 2];
    let fits = [frame(0x02, &half), frame(0x80, &half)];
    assert_eq!(read(&fits).0, [binary(&vec![0; LIMIT])]);
    assert_eq!(
        refused(&[fits[0].clone(), frame(0x00, &half), frame(0x80, b"1")]),
        Violation::TooBig
    );
}

#[test]
fn an_announced_length_takes_no_memory() {
    let mut reader = Reader::new(1 << 20, false);
    let start = &frame(0x82, &vec![0; 1 << 20])[..20];
    assert_eq!(reader.read(&mut &*start), Ok(None));
    assert!(reader.held_bytes() <= 12);
}

#[test]
fn an_idle_reader_holds_nothing() {
    assert!(size_of::<Reader>() <= 96, "{}", size_of::<Reader>());
    let mut reader = Reader::new(LIMIT, true);
    let compressed = deflate::deflate(&[b'a'; 2000], 15, 0);
    let frames = [
        frame(0x82, &[0; 5000]),
        frame(0xc1, &compressed),
        frame(0x89, &[0; 125]),
        frame(0x8a, &[0; 125]),
    ];
    let (all, violation) = read_pieces(&mut reader, frames.iter().map(Vec::as_slice));
    assert_eq!((all.len(), violation), (4, None));
    assert_eq!(reader.held_bytes(), 0);
}

#[test]
fn a_million_empty_fragments_cost_nothing() {
    let mut reader = Reader::new(LIMIT, false);
    let fragments = frame(0x00, b"").repeat(1000);
    reader.read(&mut frame(0x01, b"start").as_slice()).unwrap();
    for _ in 0..1000 {
        assert_eq!(reader.read(&mut fragments.as_slice()), Ok(None));
    }
    assert!(reader.held_bytes() < 10);
    let end = frame(0x80, b"end");
    assert_eq!(reader.read(&mut end.as_slice()), Ok(Some(text("startend"))));
}

#[test]
fn compressed_messages_are_inflated() {
    let mut reader = Reader::new(LIMIT, true);
    let greek = "κόσμε ".repeat(1000);
    let compressed = deflate::deflate(greek.as_bytes(), 15, 0);
    let (start, end) = compressed.split_at(10);
    let frames = [
        frame(0x41, start),
        frame(0x89, b""),
        frame(0x80, end),
        frame(0xc2, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        frame(0x81, b"plain"),
    ];
    let (all, violation) = read_pieces(&mut reader, frames.iter().map(Vec::as_slice));
    let expected = [
        Incoming::Ping(vec![]),
        text(&greek),
        binary(b"Hello"),
        text("plain"),
    ];
    assert_eq!((all.as_slice(), violation), (expected.as_slice(), None));
}

#[test]
fn only_the_first_frame_of_a_message_says_that_it_is_compressed() {
    for frames in [
        vec![frame(0x41, b""), frame(0xc0, b"")],
        vec![frame(0xc9, b"")],
        vec![frame(0xc8, b"")],
    ] {
        let (_, violation) = read_pieces(
            &mut Reader::new(LIMIT, true),
            frames.iter().map(Vec::as_slice),
        );
        assert!(is_protocol(violation.unwrap()));
    }
}

#[test]
fn bombs_and_bad_texts_inside_deflate_are_refused() {
    let bomb = frame(0xc2, &deflate::deflate(&vec![0; LIMIT + 1], 15, 0));
    let broken = frame(0xc2, b"\xff\xff\xff");
    let not_text = frame(0xc1, &deflate::deflate(b"\xff", 15, 0));
    let read = |bytes: &[u8]| Reader::new(LIMIT, true).read(&mut &*bytes).unwrap_err();
    assert_eq!(read(&bomb), Violation::TooBig);
    assert!(is_protocol(read(&broken)));
    assert_eq!(read(&not_text), Violation::NotUtf8);
}

/// Frames of any kind, most of them well-formed, so that long sequences are read too.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        10 => prop::sample::select(vec![0x00, 0x01, 0x02, 0x80, 0x80, 0x81, 0x82, 0x89, 0x8a]),
        1 => prop::sample::select(vec![0x41, 0xc1, 0x88]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        "[a-zé𐍈]{0,50}".prop_map(String::into_bytes),
        "[a-zé𐍈]{0,200}".prop_map(|text| deflate::deflate(text.as_bytes(), 15, 0)),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

fn any_input() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(any_frame(), 0..20).prop_map(|frames| frames.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..500),
    ]
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_same_is_read(
        bytes in any_input(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        limit in 0usize..2000,
        deflate: bool,
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        let whole = read_pieces(&mut Reader::new(limit, deflate), [bytes.as_slice()]);
        let cut = read_pieces(&mut Reader::new(limit, deflate), pieces);
        let single = read_pieces(&mut Reader::new(limit, deflate), bytes.chunks(1));
        prop_assert_eq!(&whole, &cut);
        prop_assert_eq!(&whole, &single);
        for incoming in whole.0 {
            if let Incoming::Message(message) = incoming {
                let held = match &message {
                    Message::Text(text) => text.capacity(),
                    Message::Binary(bytes) => bytes.capacity(),
                };
                prop_assert!(held <= limit + 1);
            }
        }
    }

    #[test]
    fn messages_arrive_as_they_were_sent(
        messages in prop::collection::vec(prop::collection::vec("[a-zé𐍈]{0,400}", 1..5), 0..5),
        deflate: bool,
    ) {
        let mut bytes = Vec::new();
        let mut sent = Vec::new();
        for fragments in &messages {
            let whole = fragments.concat();
            let (payload, mut first) = if deflate {
                (deflate::deflate(whole.as_bytes(), 15, 0), 0x41)
            } else {
                (whole.clone().into_bytes(), 0x01)
            };
            let size = payload.len().div_ceil(fragments.len()).max(1);
            for part in payload.chunks(size) {
                bytes.extend(frame(first, part));
                first = 0x00;
            }
            bytes.extend(frame(first | 0x80, b""));
            sent.push(text(&whole));
        }
        let read = read_pieces(&mut Reader::new(LIMIT, deflate), bytes.chunks(7));
        prop_assert_eq!(read, (sent, None));
    }
}
