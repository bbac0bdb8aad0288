//! Each column has a bound: its type has one, or a constraint of its table has one for it.

use tokio_postgres::Client;

use crate::support::server::database;

/// Each column of each table with the name of its type, whether the type has a length, and what the checks
/// say that name the column.
const COLUMNS: &str = "
    select c.relname::text as table, a.attname::text as column, t.typname::text as type,
           a.atttypmod >= 0 as has_length,
           coalesce((select string_agg(pg_get_constraintdef(k.oid), ' and ')
                       from pg_constraint k
                      where k.conrelid = c.oid and k.contype = 'c' and k.convalidated
                        and a.attnum = any(k.conkey)), '') as checks
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_type t on t.oid = a.atttypid
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
       and c.relname <> 'refinery_schema_history'
     order by 1, 2";

/// What a check of the column contains, of which one must be in it; empty for a type that has a bound.
fn bounds(kind: &str, column: &str) -> Vec<Vec<String>> {
    let at_most = |function: &str| {
        [
            vec![format!("{function}({column}) <= ")],
            vec![format!("{function}(({column})::text) <= ")],
        ]
    };
    match kind {
        "uuid" | "bool" | "int2" | "int4" | "int8" => Vec::new(),
        "timestamptz" | "timestamp" | "date" | "numeric" | "interval" | "float4" | "float8" => {
            vec![vec![format!("({column} >= "), format!("({column} <= ")]]
        }
        "text" | "varchar" | "bpchar" | "bytea" | "json" | "jsonb" => {
            let mut any: Vec<_> = ["octet_length", "char_length"]
                .iter()
                .flat_map(|name| at_most(name))
                .collect();
            any.push(vec![format!("octet_length({column}) = ")]);
            any.push(vec![format!("({column} = ANY (ARRAY['")]);
            any
        }
        array if array.starts_with('_') => vec![vec![format!("cardinality({column}) <= ")]],
        other => panic!("{column} has the type {other}: say here what bounds it"),
    }
}

/// The columns without a bound, as `table.column`.
async fn unbounded(dba: &Client) -> Vec<String> {
    let mut unbounded = Vec::new();
    let columns = dba.query(COLUMNS, &[]).await.unwrap();
    assert!(columns.len() > 70, "{}", columns.len());
    for row in columns {
        let [table, column, kind, checks] =
            ["table", "column", "type", "checks"].map(|name| row.get::<_, String>(name));
        let any = bounds(&kind, &column);
        let is_bounded = any.is_empty()
            || row.get::<_, bool>("has_length")
            || any
                .iter()
                .any(|all| all.iter().all(|part| checks.contains(part)));
        if !is_bounded {
            unbounded.push(format!("{table}.{column}"));
        }
    }
    unbounded
}

#[tokio::test]
async fn every_column_has_a_bound_also_one_that_is_added_later() {
    let database = database().await;
    let dba = database.connect().await;
    assert_eq!(unbounded(&dba).await, Vec::<String>::new());
    dba.batch_execute(
        "alter table sources add column later timestamptz, add column note text,
             add column amount numeric, add column extra jsonb, add column day date,
             add column tags text[], add column short varchar(10), add column much bytea,
             add constraint half check (later >= '2000-01-01' and note <> '' and amount > 0)",
    )
    .await
    .unwrap();
    let found = ["amount", "day", "extra", "later", "much", "note", "tags"];
    assert_eq!(
        unbounded(&dba).await,
        found.map(|column| format!("sources.{column}"))
    );
}
