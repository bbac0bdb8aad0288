//! The triggers that the schema has, how those of a database differ from them, and the statements
//! that mend it. What should be is read from `sql/schema.sql`, which a test holds against the
//! migrations.

use super::{Finding, Level, followed};
use crate::{
    db::declared::{self, Follower, SCHEMA},
    error::Result,
    pg::{Client, advice},
};

const ABOUT: &str = "triggers";

/// Rows whose derived columns no trigger has derived.
const REDERIVE: &str = "update public.sources set updated_at = updated_at
     where next_status is distinct from case
               when next_update is null then 'unscheduled'
               when next_update between '0001-01-01' and '9999-12-31' then to_char(next_update::timestamp, 'YYYY-MM-DD')
               else next_status end
        or datadelivery_status is distinct from public.delivery_status(current_update, public.local_date())";

/// A trigger as the schema has it.
#[derive(Clone, Copy, Debug)]
struct Trigger {
    table: &'static str,
    name: &'static str,
    /// The statement that makes it.
    create: &'static str,
}

/// Those of the schema.
fn declared() -> impl Iterator<Item = Trigger> {
    SCHEMA.lines().filter_map(|line| {
        let create = line.strip_suffix(';')?;
        let mut words = create.strip_prefix("CREATE TRIGGER ")?.split(' ');
        let name = words.next()?;
        words.find(|word| *word == "ON")?;
        let table = words.next()?.strip_prefix("public.")?;
        Some(Trigger {
            table,
            name,
            create,
        })
    })
}

/// What is wrong with a trigger of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Missing,
    /// It never fires.
    Off,
    /// It fires in some sessions alone.
    Partly,
    /// It is another one of the same name.
    Different,
}

impl Trigger {
    fn enable(&self) -> String {
        format!(
            "alter table public.{} enable always trigger {}",
            self.table, self.name
        )
    }

    /// The statements that mend it.
    fn mend(&self, fault: Fault) -> String {
        let Self {
            table,
            name,
            create,
        } = self;
        let enable = self.enable();
        match (fault, Follower::of(create)) {
            (Fault::Off | Fault::Partly, _) => enable,
            (_, Some(follower)) => follower.call(),
            (Fault::Missing, _) => format!("{create}; {enable}"),
            (Fault::Different, _) => {
                format!("drop trigger {name} on public.{table}; {create}; {enable}")
            }
        }
    }

    /// What does not happen without it.
    fn effect(&self) -> &'static str {
        let (_, call) = self
            .create
            .split_once(" EXECUTE FUNCTION public.")
            .unwrap_or_default();
        match call.split('(').next().unwrap_or_default() {
            "derive_source" => "derived columns are not updated",
            "end_sessions" => "users who are disabled stay signed in",
            "note_pipeline_run_state" => "the history of runs is incomplete",
            "touch_pipeline_run" => "updated_at of runs is not updated",
            "forget_name_keys" => "a renamed user keeps the keys of the old name",
            _ => "changes reach dashboards late (within 5 s)",
        }
    }

    fn finding(&self, fault: Fault) -> Finding {
        let (level, what) = match fault {
            Fault::Missing => (Level::Fail, "is missing"),
            Fault::Off => (Level::Fail, "is disabled"),
            Fault::Partly => (Level::Warn, "does not fire in every session"),
            Fault::Different => (Level::Fail, "is not the one that this program makes"),
        };
        let mut found = format!("{} of {} {what}", self.name, self.table);
        if fault != Fault::Different {
            found = format!("{found}: {}", self.effect());
        }
        Finding::of(level, ABOUT, found, &self.mend(fault))
    }
}

/// Functions of the schema that the database lacks. A trigger cannot be made without its function, unless
/// `follow_table` makes both.
pub(super) async fn functions(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "functions";
    let is_made_with_its_triggers = |function: &&str| {
        declared::followers().any(|one| *function == format!("notify_{}()", one.table))
    };
    let declared: Vec<&str> = declared::functions()
        .filter(|function| !is_made_with_its_triggers(function))
        .collect();
    let sql = "select coalesce(string_agg(wanted, ', '), '') missing from unnest($1::text[]) wanted
                where to_regprocedure('public.' || wanted) is null";
    let rows = client
        .query_typed(sql, &[(&declared, tokio_postgres::types::Type::TEXT_ARRAY)])
        .await?;
    let missing: String = rows
        .first()
        .map_or(Ok(String::new()), |row| row.try_get("missing"))?;
    Ok(vec![if missing.is_empty() {
        Finding::ok(ABOUT, format!("all {} are there", declared.len()))
    } else {
        let advice =
            "make them again as sql/schema.sql has them, or restore a backup; then look again";
        Finding::of(Level::Fail, ABOUT, format!("missing: {missing}"), advice)
    }])
}

/// Looks at every trigger of the schema.
pub(super) async fn look(client: &Client) -> Result<Vec<Finding>> {
    let faults = faults(client).await?;
    if faults.is_empty() {
        let found = format!("all {} are there and always fire", declared().count());
        return Ok(vec![Finding::ok(ABOUT, found)]);
    }
    let findings = faults
        .iter()
        .map(|(trigger, fault)| trigger.finding(*fault));
    Ok(findings.collect())
}

/// Mends every trigger that is not as it should be, and derives what none has derived meanwhile.
/// Gives a finding for each, and those of a second look.
pub(super) async fn mend(client: &Client) -> Result<Vec<Finding>> {
    let faults = faults(client).await?;
    let mut statements: Vec<String> = Vec::new();
    for (trigger, fault) in &faults {
        let statement = trigger.mend(*fault);
        // One call makes all triggers of a followed table.
        if !statements.contains(&statement) {
            statements.push(statement);
        }
    }
    let others = followed::mends(client).await?;
    let of_others = others.len();
    statements.extend(others);
    let mut findings = Vec::new();
    if !statements.is_empty() {
        // Nobody is kept waiting for long behind the lock that is waited for.
        let script = format!(
            "set local lock_timeout = '5s'; {}; commit",
            statements.join("; ")
        );
        client.begin().await?;
        if let Err(error) = client.raw().batch_execute(&script).await {
            client.raw().batch_execute("rollback").await?;
            let error = error.into();
            let advice = advice::on_statement(&error);
            let found = format!("could not be mended: {error}");
            findings.push(Finding::of(Level::Fail, ABOUT, found, &advice));
        } else {
            findings.extend(faults.iter().map(|(trigger, _)| {
                let found = format!("{} of {} was mended", trigger.name, trigger.table);
                Finding::ok(ABOUT, found)
            }));
            if of_others > 0 {
                let found = format!("{of_others} other followed tables were mended");
                findings.push(Finding::ok(ABOUT, found));
            }
        }
    }
    // Without its trigger a row would stay as it is.
    if findings.iter().all(|one| one.level == Level::Ok) {
        let rows = client.execute_typed(REDERIVE, &[]).await?;
        if rows > 0 {
            let found = format!("derived columns of {rows} sources were mended");
            findings.push(Finding::ok(ABOUT, found));
        }
    }
    findings.extend(look(client).await?);
    Ok(findings)
}

async fn faults(client: &Client) -> Result<Vec<(Trigger, Fault)>> {
    let sql = "select c.relname::text as table_name, t.tgname::text as trigger_name,
                      t.tgenabled::text as enabled, pg_get_triggerdef(t.oid) as definition
                 from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
                where not t.tgisinternal and c.relnamespace = to_regnamespace('public')";
    let mut found = Vec::new();
    for row in client.query_typed(sql, &[]).await? {
        let text = |column: &str| row.try_get::<_, String>(column);
        found.push((
            (text("table_name")?, text("trigger_name")?),
            text("enabled")?,
            text("definition")?,
        ));
    }
    let fault = |trigger: &Trigger| {
        let there = found.iter().find(|((table, name), ..)| {
            (table.as_str(), name.as_str()) == (trigger.table, trigger.name)
        });
        match there {
            None => Some(Fault::Missing),
            Some((_, _, definition)) if plain(definition) != plain(trigger.create) => {
                Some(Fault::Different)
            }
            Some((_, enabled, _)) => match enabled.as_str() {
                "A" => None,
                "D" => Some(Fault::Off),
                _ => Some(Fault::Partly),
            },
        }
    };
    Ok(declared()
        .filter_map(|trigger| fault(&trigger).map(|fault| (trigger, fault)))
        .collect())
}

/// A definition without what depends on `search_path` and on PostgreSQL's version.
fn plain(definition: &str) -> String {
    let definition = definition.replace("public.", "");
    let is_kept = |c: &char| !matches!(c, '(' | ')' | ' ' | '"');
    definition.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_triggers_are_read_from_the_schema() {
        let found: Vec<_> = declared().map(|one| (one.table, one.name)).collect();
        for wanted in [
            ("sources", "follow_truncate"),
            ("users", "follow_update"),
            ("pipeline_runs", "pipeline_runs_touched"),
        ] {
            assert!(found.contains(&wanted), "{wanted:?}");
        }
        assert_eq!(found.len(), SCHEMA.matches("CREATE TRIGGER").count());
    }

    #[test]
    fn every_trigger_of_the_schema_always_fires() {
        for trigger in declared() {
            let line = format!(
                "ALTER TABLE public.{} ENABLE ALWAYS TRIGGER {};",
                trigger.table, trigger.name
            );
            assert!(SCHEMA.contains(&line), "{line}");
        }
    }
}
