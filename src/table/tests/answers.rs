//! Whatever happens to the rows, the table answers as the model does.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

use super::{
    events::{Event, Rows, borrowed, event, happen},
    model::{self, Cell, NaiveWindow, Where, cell},
    random,
};
use crate::{
    db::sources::Source,
    table::{
        Limits, Number, Table,
        column::{Column, Kind},
        counts::By,
        difference::Difference,
        filter::Filter,
        order::Order,
        window::{Anchor, Content, Window},
    },
};

const LIMITS: Limits = Limits {
    views: 20,
    counts: 80,
};

/// What a client holds of a window.
struct Client {
    view: usize,
    window: Window,
    naive: NaiveWindow,
    content: Arc<Content>,
    rows: Vec<Source>,
}

fn zone() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get("Europe/Paris").unwrap()
}

fn check_view(table: &Table, number: Number, expected: &[Source]) {
    let view = table.view(number);
    let slots: Vec<u32> = view.slots().collect();
    let rows: Vec<Source> = slots
        .iter()
        .map(|&slot| table.store().source(slot))
        .collect();
    assert_eq!(rows, expected);
    assert_eq!(view.len(), expected.len());
    for (index, &slot) in slots.iter().enumerate() {
        assert_eq!(view.index(table.store(), slot), Some(index));
        assert_eq!(view.from(index).next(), Some(slot));
        let key = view.key(table.store(), slot);
        assert_eq!(view.index_of_key(table.store(), &key), index);
        assert!(view.fits(&key));
    }
}

fn check_client(
    table: &mut Table,
    client: &mut Client,
    rows: &Rows,
    (filter, order): &(Where, Vec<String>),
    is_plain: bool,
) {
    let list = model::list(rows, filter, order);
    let (first, expected) = client.naive.cut(&list, rows, order);
    let after = table.content(&mut client.window);
    let mut twin = client.window.clone();
    assert!(
        Arc::ptr_eq(&after, &table.content(&mut twin)),
        "one content for one place"
    );

    let before = Arc::clone(&client.content);
    let is_same = client.rows == expected && before.total == list.len() && before.first == first;
    let difference = Difference::new(&before, &after);
    if is_same && is_plain {
        assert_eq!(difference, Difference::None, "nothing for the same answer");
    }
    assert!(is_same || difference != Difference::None);
    assert_eq!((after.total, after.first), (list.len(), first));
    receive(table, &mut client.rows, &after, &difference);
    assert_eq!(client.rows, expected, "{difference:?}");
    if let Difference::Some { splices, .. } = &difference {
        let inserted: usize = splices.iter().map(|splice| splice.inserted.len()).sum();
        assert!(
            inserted < expected.len().max(1),
            "a whole window is sent as one"
        );
    }
    client.content = after;
}

/// Does what a client does with a message.
fn receive(table: &Table, rows: &mut Vec<Source>, content: &Content, difference: &Difference) {
    let source = |index: usize| {
        let shown = content.rows[index];
        assert_eq!(shown.revision, table.store().revision(shown.slot));
        table.store().source(shown.slot)
    };
    match difference {
        Difference::None | Difference::Numbers => {}
        Difference::Whole => *rows = (0..content.rows.len()).map(source).collect(),
        Difference::Some { splices, changed } => {
            for splice in splices {
                let inserted: Vec<Source> = splice.inserted.clone().map(source).collect();
                rows.splice(splice.position..splice.position + splice.removed, inserted);
            }
            for row in changed.iter().map(|&index| source(index)) {
                let held = rows
                    .iter_mut()
                    .find(|held| held.id == row.id)
                    .expect("it is held");
                *held = row;
            }
        }
    }
}

fn check_counts(table: &Table, counts: &[(Number, usize, Option<By>)], lists: &[Vec<Source>]) {
    for (number, list, by) in counts {
        let counted = table.counted(*number);
        let list = &lists[*list];
        assert_eq!(counted.total, list.len());
        let Some(by) = by else {
            assert_eq!(counted.groups, None);
            continue;
        };
        let mut groups = BTreeMap::<String, u32>::new();
        for row in list {
            let name = match cell(row, by.column().name()) {
                Cell::Text(text) => text.to_owned(),
                Cell::Date(date) => date.map_or("null".into(), |date| date.to_string()),
                _ => unreachable!(),
            };
            *groups.entry(name).or_default() += 1;
        }
        let told = counted.groups.unwrap();
        assert!(told.is_sorted_by(|a, b| a.1 >= b.1), "largest first");
        assert_eq!(
            told.into_iter()
                .map(|(name, n)| (name.into_owned(), n))
                .collect::<BTreeMap<_, _>>(),
            groups
        );
        assert_eq!(counted.more, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_table_answers_as_the_model_does(
        initial in vec(random::row(), 0..60),
        lists in vec((random::filter(), random::order()), 1..7),
        places in vec((any::<prop::sample::Index>(), random::anchor(), 1_usize..20), 0..12),
        groups in vec((any::<prop::sample::Index>(), prop::option::of(prop::sample::select(
            Column::ALL.into_iter()
                .filter(|column| matches!(column.kind(), Kind::Text(_) | Kind::Date(_)))
                .map(Column::name).collect::<Vec<_>>()
        ))), 0..8),
        events in vec(event(), 1..12),
        opened_after in 0_usize..3,
    ) {
        let mut table = Table::new(LIMITS);
        let mut rows = Rows::new();
        table.begin_load(initial.len());
        for part in initial.chunks(7) {
            table.load(borrowed(part));
        }
        rows.extend(initial.iter().map(|row| (row.id, row.clone())));
        // Some views are opened before the rows are there, some after the first changes.
        if opened_after > 0 {
            table.end_load();
        }
        let (early, late) = events.split_at(opened_after.saturating_sub(1).min(events.len()));
        for event in early {
            happen(&mut table, &mut rows, event);
        }
        let open = |table: &mut Table, (filter, order): &(Where, Vec<String>)| {
            let filter = Filter::from_json(&filter.json(), &zone()).unwrap();
            let order = Order::new(order.iter().map(String::as_str)).unwrap();
            table.open_view(&filter, &order).unwrap()
        };
        let views: Vec<Number> = lists.iter().map(|list| open(&mut table, list)).collect();
        let counts: Vec<_> = groups.iter().map(|(list, by)| {
            let list = list.index(lists.len());
            let filter = Filter::from_json(&lists[list].0.json(), &zone()).unwrap();
            let by = by.map(|by| By::new(by).unwrap());
            (table.open_count(&filter, by).unwrap(), list, by)
        }).collect();
        if opened_after == 0 {
            table.end_load();
        }
        let mut clients: Vec<Client> = places.iter().map(|(list, anchor, limit)| {
            let view = list.index(lists.len());
            let mut window = Window::new(views[view], *anchor, *limit);
            let mut naive = NaiveWindow { anchor: *anchor, limit: *limit, row: None };
            let (filter, order) = &lists[view];
            let all = model::list(&rows, filter, order);
            let (first, expected) = naive.cut(&all, &rows, order);
            let content = table.content(&mut window);
            assert_eq!((content.total, content.first), (all.len(), first));
            let mut held = Vec::new();
            receive(&table, &mut held, &content, &Difference::Whole);
            assert_eq!(held, expected);
            Client { view, window, naive, content, rows: held }
        }).collect();
        for event in std::iter::once(None).chain(late.iter().map(Some)) {
            if let Some(event) = event {
                happen(&mut table, &mut rows, event);
            }
            prop_assert_eq!(table.store().len(), rows.len());
            let expected: Vec<Vec<Source>> =
                lists.iter().map(|(filter, order)| model::list(&rows, filter, order)).collect();
            for (view, expected) in views.iter().zip(&expected) {
                check_view(&table, *view, expected);
            }
            check_counts(&table, &counts, &expected);
            for client in &mut clients {
                let is_plain = event.is_none_or(Event::is_plain);
                check_client(&mut table, client, &rows, &lists[client.view], is_plain);
            }
        }
        // A move is a difference too.
        for client in &mut clients {
            let anchor = Anchor::Index(client.content.first + 2);
            client.window = Window::new(client.window.view(), anchor, 10);
            client.naive = NaiveWindow { anchor, limit: 10, row: None };
            check_client(&mut table, client, &rows, &lists[client.view], true);
        }
    }

    #[test]
    fn a_client_that_comes_back_is_sent_what_is_missing(
        initial in vec(random::row(), 0..60),
        list in (random::filter(), random::order()),
        anchor in random::anchor(),
        events in vec(event(), 0..5),
    ) {
        let (filter, order) = list;
        let mut table = Table::new(LIMITS);
        let mut rows = Rows::new();
        table.begin_load(0);
        table.end_load();
        happen(&mut table, &mut rows, &Event::Batch { changed: initial, gone: vec![] });
        let view = table.open_view(
            &Filter::from_json(&filter.json(), &zone()).unwrap(),
            &Order::new(order.iter().map(String::as_str)).unwrap(),
        ).unwrap();
        let mut window = Window::new(view, anchor, 15);
        let content = table.content(&mut window);
        let mut held = Vec::new();
        receive(&table, &mut held, &content, &Difference::Whole);
        let since = table.tick();
        for event in &events {
            happen(&mut table, &mut rows, event);
        }
        let ids: Vec<Uuid> = held.iter().map(|row| row.id).collect();
        let mut window = Window::new(view, anchor, 15);
        let before = table.resume(&mut window, &ids, since);
        let after = table.content(&mut window);
        let difference = Difference::new(&before, &after);
        prop_assert_ne!(&difference, &Difference::None, "the numbers are told");
        receive(&table, &mut held, &after, &difference);
        let expected: Vec<Source> =
            after.rows.iter().map(|shown| table.store().source(shown.slot)).collect();
        prop_assert_eq!(held, expected);
        if events.is_empty() {
            prop_assert_eq!(difference, Difference::Numbers);
        }
    }
}
