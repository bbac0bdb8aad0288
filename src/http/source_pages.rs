//! `GET /api/sources/`: pages of sources, filtered and ordered as windows on `ws/live/` are, from the
//! same rows in memory.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::tz::TimeZone;
use tokio::time::timeout;
use warp::http::{HeaderValue, StatusCode, header::LINK};

use utoipa::openapi::{ObjectBuilder, Type};

use super::{
    documents::description::Description,
    operation::{Call, Viewer},
};
use crate::{
    db::sources::Source,
    local_time::InZone,
    reply::{self, Problem, Response},
    table::{
        column::{Column, Kind},
        filter::{Errors, Query},
        order::Key,
        window::MOST_ROWS,
    },
};

/// So many sources a page has when nobody says how many.
const DEFAULT_LIMIT: usize = 100;
/// Whoever comes first waits so long for the rows to be read.
const PATIENCE: Duration = Duration::from_secs(20);
/// Parameters that are about the page.
const OF_PAGES: [&str; 2] = ["limit", "after"];

/// Which page is asked for.
struct Asked {
    query: Query,
    limit: usize,
    after: Option<Key>,
}

/// A page of sources.
pub(super) async fn read(call: Call<Viewer>) -> Result<Response, Problem> {
    let Call { app, request, .. } = call;
    let zone = &app.settings.time_zone;
    let parameters: Vec<(String, String)> = form_urlencoded::parse(request.query.as_bytes())
        .into_owned()
        .collect();
    let asked = match asked(&parameters, zone) {
        Ok(asked) => asked,
        Err(errors) => return Ok(reply::json(StatusCode::BAD_REQUEST, &errors)),
    };
    let windows = app.live.groups.windows.clone();
    let page = windows.page(asked.query, asked.after, asked.limit);
    let page = timeout(PATIENCE, page).await.map_err(|_| {
        Problem::detail(
            StatusCode::SERVICE_UNAVAILABLE,
            "The sources are still being read. Please try again.",
        )
    })?;
    let page = page.ok_or(Problem::Busy)?;
    let rows: Vec<_> = page
        .sources
        .iter()
        .map(|source| InZone(zone, source))
        .collect();
    let mut response = reply::json(StatusCode::OK, &rows);
    let headers = response.headers_mut();
    headers.insert("x-total-count", page.total.into());
    if let Some(key) = &page.next {
        let next = HeaderValue::from_str(&next(&parameters, key));
        headers.insert(LINK, next.expect("an encoded query is ASCII"));
    }
    Ok(response)
}

/// Documents the parameters: those of each column follow from the table of columns.
pub(super) fn describe(mut it: Description) -> Description {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let day = || text().description(Some("A date such as 2026-12-31"));
    for column in Column::ALL {
        let name = column.name();
        let range = |it: Description| {
            it.asks(&format!("{name}_from"), "The earliest.", text())
                .asks(&format!("{name}_to"), "The latest.", text())
        };
        it = match column.kind() {
            Kind::Text(_) => it.asks(name, "One of these; may be repeated.", text()),
            Kind::Date(_) => range(it.asks(name, "One of these, or null; may be repeated.", day())),
            Kind::Time(_) => range(it),
            Kind::Id | Kind::Upload => it,
        };
    }
    it.note("Same filters and order as on `/ws/live/`. `X-Total-Count` says how many sources match; `Link` names the next page.")
        .asks("q", "Words; each must be in some text of the source.", text())
        .asks("order", "Column names with commas between; `-` before one for descending.", text())
        .asks("limit", "From 1 to 500; 100 by default.", ObjectBuilder::new().schema_type(Type::Integer))
        .asks("after", "From the `Link` of the page before.", text())
        .lists::<Source>()
        .or(400)
}

fn asked(parameters: &[(String, String)], zone: &TimeZone) -> Result<Asked, Errors> {
    let given = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let query = Query::new(given, &OF_PAGES, zone);
    let mut errors = query.as_ref().err().cloned().unwrap_or_default();
    let mut wrong = |name: &str, why: &str| {
        errors.insert(name.to_owned(), vec![why.to_owned()]);
    };
    let once = |name: &str| {
        let mut values = parameters.iter().filter(|(given, _)| given == name);
        (
            values.next().map(|(_, value)| value.as_str()),
            values.next().is_none(),
        )
    };
    let (limit, is_once) = once("limit");
    let limit = match limit.map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if is_once && (1..=MOST_ROWS).contains(&limit) => limit,
        Some(_) => {
            wrong("limit", "Give a number from 1 to 500, once.");
            DEFAULT_LIMIT
        }
    };
    let (after, is_once) = once("after");
    let key = after.and_then(|after| {
        let json = BASE64_URL_SAFE_NO_PAD.decode(after).ok()?;
        let (order, key): (String, Key) = serde_json::from_slice(&json).ok()?;
        let fits = query.as_ref().ok()?.order.fits(&key);
        (is_once && fits && order == self::order(parameters)).then_some(key)
    });
    if after.is_some() && key.is_none() && query.is_ok() {
        wrong(
            "after",
            "Give what the Link of the page before has, with the same order.",
        );
    }
    match query {
        Ok(query) if errors.is_empty() => Ok(Asked {
            query,
            limit,
            after: key,
        }),
        _ => Err(errors),
    }
}

/// The order as it was asked for.
fn order(parameters: &[(String, String)]) -> String {
    let named = parameters.iter().filter(|(name, _)| name == "order");
    named
        .map(|(_, value)| value.as_str())
        .collect::<Vec<_>>()
        .join(",")
}

/// Where the next page is.
fn next(parameters: &[(String, String)], after: &Key) -> String {
    let key = serde_json::to_vec(&(order(parameters), after)).expect("they are JSON");
    let kept = parameters.iter().filter(|(name, _)| name != "after");
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair("after", &BASE64_URL_SAFE_NO_PAD.encode(key))
        .finish();
    format!("</api/sources/?{query}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(query: &str) -> Vec<String> {
        let parameters: Vec<_> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let errors = asked(&parameters, &TimeZone::UTC).err().unwrap_or_default();
        errors.into_keys().collect()
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        for (query, expected) in [
            ("", &[][..]),
            (
                "limit=500&country=France&country=Spain&q=a+b&order=-next_update",
                &[],
            ),
            ("limit=0", &["limit"]),
            ("limit=501", &["limit"]),
            ("limit=1&limit=2", &["limit"]),
            ("after=x", &["after"]),
            ("page=2&limit=x", &["limit", "page"]),
            ("next_update_from=yesterday", &["next_update_from"]),
            ("order=nowhere", &["order"]),
        ] {
            assert_eq!(wrong(query), expected, "{query}");
        }
    }
}
