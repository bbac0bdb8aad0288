//! Frames of a given size that look like the product's: a list of sources, as JSON.

use bytes::BufMut;
use jiff::{Timestamp, ToSpan, civil::date, tz::TimeZone};
use marketplace::{
    db::sources::Source,
    local_time::{InZone, LocalTime},
    ws::Frame,
};
use uuid::Uuid;

/// A list whose payload has exactly `bytes` bytes and says that it is version `counter`.
pub(crate) fn list(bytes: usize, counter: u64) -> Frame {
    let end = format!(r#"],"version":"1785000000000:{counter}"}}"#);
    let mut text = String::from(r#"{"data":["#);
    let mut separator = "";
    for number in 0.. {
        let row = row(number);
        if text.len() + separator.len() + row.len() + end.len() > bytes {
            break;
        }
        text += separator;
        text += &row;
        separator = ",";
    }
    // What no row fits into is white space.
    text.extend(std::iter::repeat_n(' ', bytes - text.len() - end.len()));
    text += &end;
    Frame::text_from(bytes, |out| out.put_slice(text.as_bytes()))
}

fn row(number: i32) -> String {
    // Fixed, so that every run sends the same, and as hard to compress as what people type.
    let noise = |salt: u64| {
        let seed = u64::from(number.unsigned_abs()) * 16 + salt * 2;
        Uuid::from_u64_pair(mix(seed), mix(seed + 1))
    };
    let created = Timestamp::UNIX_EPOCH + (400_000 + i64::from(number)).hours();
    let next = date(2026, 1, 1).saturating_add((number % 300).days());
    let source = Source {
        id: noise(0),
        next_status: next.to_string(),
        created_at: LocalTime(created),
        updated_at: LocalTime(created + 1234.milliseconds()),
        created_by: format!("user_{}", number % 17),
        country: format!("Country {}", number % 60),
        data_vendor: noise(1).simple().to_string()[..8].to_owned(),
        panel: format!("Panel {number}"),
        panel_group: "DKM".into(),
        scope_of_subscription: noise(2).simple().to_string()[..24].to_owned(),
        data_type: noise(3).simple().to_string()[..12].to_owned(),
        granularity: "National".into(),
        end_date: Some(date(2027, 1, 1)),
        current_update: Some(next),
        next_update: Some(next),
        datadelivery_status: "awaiting".into(),
        status: "active".into(),
        ..Source::default()
    };
    serde_json::to_string(&InZone(&TimeZone::UTC, &source)).expect("keys are strings")
}

/// Mixes a small number into 64 bits that look random (the finaliser of splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
