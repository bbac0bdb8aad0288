//! What the migrations make, fact by fact: the type of a column, the body of a function, the owner of a
//! table. `sql/catalogue.txt` has the facts of a new database, which a test writes; here those of another
//! one are held against them. Triggers are looked at in [`super::triggers`].

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, types::Type};

use super::{Finding, Level};
use crate::{db::declared, error::Result};

const ABOUT: &str = "definitions";
/// The facts of a new database, as `kind|object|what it is`.
const EXPECTED: &str = include_str!("../../../sql/catalogue.txt");
/// So many findings are told one by one.
const MOST: usize = 20;

/// Kind and object of a fact, with what it is.
type Facts = BTreeMap<(String, String), String>;

/// The facts of a database. Texts are compared by kind and by length apart: `text` does for `varchar(255)`.
/// The body of `local_time_zone()` is the setting of an operator.
const FACTS: &str = "
with ours as (
    select c.oid, c.relname as name, c.relowner, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity
      from pg_catalog.pg_class c
     where c.relnamespace = pg_catalog.to_regnamespace('public') and c.relkind in ('r', 'p')
       and c.relname = any ($1)
), functions as (
    select p.*, wanted.signature
      from pg_catalog.unnest($2) wanted (signature)
      join pg_catalog.pg_proc p on p.oid = pg_catalog.to_regprocedure('public.' || wanted.signature)
), owner as (
    select coalesce((select relowner from ours where name = 'sources'), 0::oid) as id
), columns as (
    select o.name || '.' || a.attname as name, a.*, t.typcategory
      from ours o join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
      join pg_catalog.pg_type t on t.oid = a.atttypid
)
select 'table' as kind, name::text as object,
       pg_catalog.concat_ws(', ', case relpersistence when 'p' then 'permanent' else 'unlogged' end,
           case when relrowsecurity then 'row security' end,
           case when relforcerowsecurity then 'row security for its owner, too' end) as definition
  from ours
union all
select 'type', name, case typcategory when 'S' then 'text' else pg_catalog.format_type(atttypid, null) end from columns
union all
select 'length', name, pg_catalog.format_type(atttypid, atttypmod) from columns where typcategory = 'S'
union all
select 'null', name, case when attnotnull then 'not null' else 'null' end from columns
union all
select 'default', c.name, pg_catalog.concat_ws(' ', nullif(c.attidentity, ''), nullif(c.attgenerated, ''),
                                            coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), 'none'))
  from columns c left join pg_catalog.pg_attrdef d on d.adrelid = c.attrelid and d.adnum = c.attnum
union all
select 'constraint', o.name || '.' || c.conname, pg_catalog.pg_get_constraintdef(c.oid)
  from ours o join pg_catalog.pg_constraint c on c.conrelid = o.oid and c.contype in ('c', 'f', 'p', 'u', 'x')
union all
select case when i.indisunique then 'unique index' else 'index' end, o.name || '.' || x.relname,
       pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid), case when not i.indisvalid then 'invalid' end)
  from ours o join pg_catalog.pg_index i on i.indrelid = o.oid
  join pg_catalog.pg_class x on x.oid = i.indexrelid
 where not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.conrelid = o.oid)
union all
select 'function', f.signature,
       pg_catalog.concat_ws(' ', l.lanname, pg_catalog.format_type(f.prorettype, null),
           case when f.prosecdef then 'security definer' else 'security invoker' end, 'volatility', f.provolatile,
           pg_catalog.array_to_string(f.proconfig, ' '),
           case when f.proname <> 'local_time_zone'
                then pg_catalog.md5(coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), f.prosrc)) end)
  from functions f join pg_catalog.pg_language l on l.oid = f.prolang
union all
select 'owner', 'the table ' || name, case when relowner = owner.id then 'that of sources' else relowner::regrole::text end
  from ours, owner
union all
select 'owner', 'the function ' || signature,
       case when proowner = owner.id then 'that of sources' else proowner::regrole::text end
  from functions, owner
union all
select 'trigger', o.name || '.' || t.tgname, pg_catalog.pg_get_triggerdef(t.oid)
  from ours o join pg_catalog.pg_trigger t on t.tgrelid = o.oid and not t.tgisinternal and t.tgparentid = 0
union all
select 'rule', o.name || '.' || r.rulename, pg_catalog.pg_get_ruledef(r.oid)
  from ours o join pg_catalog.pg_rewrite r on r.ev_class = o.oid
union all
select 'policy', o.name || '.' || p.polname, ''
  from ours o join pg_catalog.pg_policy p on p.polrelid = o.oid";

/// The facts of a database in the form of `sql/catalogue.txt`.
///
/// # Errors
/// When the database cannot be asked.
pub async fn facts(client: &Client) -> Result<String> {
    let facts = read(client).await?;
    let lines = facts
        .iter()
        .map(|((kind, object), definition)| format!("{kind}|{object}|{definition}\n"));
    Ok(lines.collect())
}

async fn read(client: &Client) -> Result<Facts> {
    let tables: Vec<&str> = declared::tables().collect();
    let functions: Vec<&str> = declared::functions().collect();
    // Times in constraints are written in the zone of whoever asks, and names as their path has it. Behind a
    // pooler a setting holds for a transaction alone.
    client
        .batch_execute(
            "begin; set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; \
             set local search_path = pg_catalog, pg_temp",
        )
        .await?;
    let rows = client
        .query_typed(
            FACTS,
            &[(&tables, Type::TEXT_ARRAY), (&functions, Type::TEXT_ARRAY)],
        )
        .await;
    client.batch_execute("rollback").await?;
    let mut facts = Facts::new();
    for row in rows? {
        let text = |column| row.try_get::<_, String>(column);
        let definition = text("definition")?.replace('\n', " ");
        facts.insert((text("kind")?, text("object")?), definition);
    }
    Ok(facts)
}

fn expected() -> Facts {
    let fact = |line: &str| {
        let mut parts = line.splitn(3, '|').map(str::to_owned);
        Some(((parts.next()?, parts.next()?), parts.next()?))
    };
    EXPECTED.lines().filter_map(fact).collect()
}

/// Looks whether everything is as the migrations make it.
pub(super) async fn look(client: &Client) -> Result<Vec<Finding>> {
    let found = read(client).await?;
    let expected = expected();
    let mut findings = differences(&expected, &found);
    if findings.is_empty() {
        let found = format!("all {} are as the migrations make them", expected.len());
        findings.push(Finding::ok(ABOUT, found));
    }
    if findings.len() > MOST {
        let more = format!("and {} more", findings.len() - MOST);
        findings.truncate(MOST);
        let advice = "make a new database with `marketplace migrate`, and bring the rows there";
        findings.push(Finding::of(Level::Fail, ABOUT, more, advice));
    }
    Ok(findings)
}

fn differences(expected: &Facts, found: &Facts) -> Vec<Finding> {
    let has = |kind: &str, object: &str| found.contains_key(&(kind.into(), object.into()));
    let missing_tables: BTreeSet<&str> = expected
        .keys()
        .filter(|(kind, object)| kind == "table" && !has(kind, object))
        .map(|(_, object)| object.as_str())
        .collect();
    let is_of_missing = |kind: &str, object: &str| {
        let table = object.strip_prefix("the table ").unwrap_or(object);
        let table = table.split('.').next().unwrap_or_default();
        let column_is_missing =
            matches!(kind, "null" | "default" | "length") && !has("type", object);
        kind != "table" && missing_tables.contains(table) || column_is_missing
    };
    let mut findings = Vec::new();
    for ((kind, object), wanted) in expected {
        // Missing functions and triggers are told by those who look at them.
        let is_told = matches!(kind.as_str(), "function" | "owner" | "trigger");
        match found.get(&(kind.clone(), object.clone())) {
            None if is_told || is_of_missing(kind, object) => {}
            None => findings.push(missing(kind, object, wanted)),
            Some(_) if kind == "trigger" => {}
            Some(there) if plain(there) == plain(wanted) => {}
            Some(there) => findings.push(different(kind, object, wanted, there)),
        }
    }
    for ((kind, object), there) in found {
        if !expected.contains_key(&(kind.clone(), object.clone())) {
            findings.extend(foreign(kind, object, there, found));
        }
    }
    findings
}

fn missing(kind: &str, object: &str, wanted: &str) -> Finding {
    let (level, name) = match kind {
        "index" => (Level::Warn, kind),
        "type" => (Level::Fail, "column"),
        _ => (Level::Fail, kind),
    };
    let found = format!("the {name} {object} is missing");
    let advice = match kind {
        "index" | "unique index" => wanted.to_lowercase(),
        "constraint" => {
            let (table, name) = object.split_once('.').unwrap_or_default();
            format!("alter table public.{table} add constraint {name} {wanted}")
        }
        _ => RESTORE.into(),
    };
    Finding::of(level, ABOUT, found, &advice)
}

/// What to do about something whose rows or text only its maker knows.
const RESTORE: &str =
    "make it again as sql/schema.sql has it, give it its name back, or restore a backup";

fn different(kind: &str, object: &str, wanted: &str, there: &str) -> Finding {
    let (table, column) = object.split_once('.').unwrap_or((object, ""));
    let level = match kind {
        "length" | "index" => Level::Warn,
        _ => Level::Fail,
    };
    let found = match kind {
        "function" => format!("the function {object} is not the one that the migrations make"),
        "table" => format!("the table {object} is {there}, not {wanted}"),
        "owner" => format!("{object} belongs to {there}"),
        "type" | "length" => format!("the column {object} is {there}, not {wanted}"),
        "null" | "default" => format!("the column {object} has {kind} {there}, not {wanted}"),
        _ => format!("the {kind} {object} is {there}, not {wanted}"),
    };
    let advice = match kind {
        "table" if there.contains("row security") => {
            format!(
                "alter table public.{table} no force row level security, disable row level security"
            )
        }
        "table" => format!("alter table public.{table} set logged"),
        "owner" => format!(
            "alter {} owner to the role that owns sources",
            object
                .trim_start_matches("the ")
                .replacen(' ', " public.", 1)
        ),
        "type" | "length" => format!("alter table public.{table} alter {column} type {wanted}"),
        "null" => format!("alter table public.{table} alter {column} set {wanted}"),
        "default" => format!("alter table public.{table} alter {column} set default {wanted}"),
        "function" => declared::followers()
            .find(|one| object == format!("notify_{}()", one.table))
            .map_or_else(|| RESTORE.into(), |one| one.call()),
        _ => RESTORE.into(),
    };
    Finding::of(level, ABOUT, found, &advice)
}

/// What others have made on our tables, where it may refuse or change what is written.
fn foreign(kind: &str, object: &str, there: &str, found: &Facts) -> Option<Finding> {
    let (level, what) = match kind {
        // It replaces statements by others, of which the program is told nothing.
        "rule" => (Level::Fail, "rule"),
        "trigger" | "policy" | "constraint" | "unique index" => (Level::Warn, kind),
        "null" if there == "not null" => {
            let default = found.get(&("default".into(), object.into()));
            if default.is_none_or(|default| default != "none") {
                return None;
            }
            (Level::Fail, "column that has to be given a value")
        }
        _ => return None,
    };
    let (table, name) = object.split_once('.').unwrap_or_default();
    let found = format!(
        "{table} has the {what} {name}, which no migration has made: it may refuse or change what is written"
    );
    let advice =
        format!("look whether it is meant to be there; otherwise drop it: {name} of {table}");
    Some(Finding::of(level, ABOUT, found, &advice))
}

/// A definition without what depends on `search_path`, on PostgreSQL's version, and on whether a dump was
/// restored, which writes out casts of texts in other places.
fn plain(definition: &str) -> String {
    let mut definition = definition.replace("public.", "");
    for cast in ["::character varying", "::text"] {
        definition = definition.replace(cast, "");
    }
    let is_kept = |c: &char| !matches!(c, '(' | ')' | ' ' | '"' | '[' | ']');
    definition.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_name_every_table_and_function() {
        let expected = expected();
        assert_eq!(expected.len(), EXPECTED.lines().count());
        for table in declared::tables() {
            assert!(
                expected.contains_key(&("table".into(), table.into())),
                "{table}"
            );
        }
        for function in declared::functions() {
            let key = ("function".into(), function.to_owned());
            assert!(expected.contains_key(&key), "{function}");
        }
        assert!(differences(&expected, &expected).is_empty());
    }
}
