//! What anybody with a connection may NOTIFY.
#![no_main]

use libfuzzer_sys::fuzz_target;
use marketplace::live::channel::Payload;

fuzz_target!(|text: &str| {
    let payload = Payload::parse(text);
    let ids = payload.ids.map_or(0, |ids| ids.len());
    assert!(ids * 32 <= text.len(), "no ids that were not there");
});
