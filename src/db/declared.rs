//! What the migrations make, as `sql/schema.sql` has it, which a test holds against them. The one place
//! that says which tables and functions are ours. It asks no database.

/// The schema as `pg_dump` writes it.
pub(super) const SCHEMA: &str = include_str!("../../sql/schema.sql");

/// Names of the tables.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    SCHEMA.lines().filter_map(|line| {
        line.strip_prefix("CREATE TABLE public.")?
            .strip_suffix(" (")
    })
}

/// Names of a table's columns, quoted where SQL needs it.
pub(super) fn columns(table: &str) -> impl Iterator<Item = &'static str> {
    let head = format!("CREATE TABLE public.{table} (");
    let lines = SCHEMA.lines().skip_while(move |line| *line != head).skip(1);
    lines
        .take_while(|line| !line.starts_with(')'))
        .filter_map(|line| line.trim_start().split(' ').next())
        .filter(|word| *word != "CONSTRAINT")
}

/// Signatures of the functions, such as `delivery_status(date, date)`.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    SCHEMA
        .lines()
        .filter_map(|line| {
            line.strip_prefix("-- Name: ")?
                .split_once("; Type: FUNCTION;")
        })
        .map(|(signature, _)| signature)
}

/// Signatures of the functions that statements call. The others are called by triggers: as their owner, or
/// without any right to execute them.
pub(super) fn callable() -> impl Iterator<Item = &'static str> {
    functions().filter(|signature| {
        let trigger = format!("CREATE FUNCTION public.{signature} RETURNS trigger");
        !SCHEMA.contains(&trigger) && !signature.starts_with("refuse_foreign_table(")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_functions_are_read_from_the_schema() {
        let tables: Vec<_> = tables().collect();
        assert_eq!(tables.len(), SCHEMA.matches("CREATE TABLE").count());
        assert!(tables.contains(&"sources") && tables.contains(&"day_turns"));
        for table in tables {
            assert!(columns(table).next().is_some(), "{table}");
        }
        let columns: Vec<_> = columns("day_turns").collect();
        assert_eq!(columns, ["day", "turned_at", "rederived"]);
        let functions: Vec<_> = functions().collect();
        assert_eq!(functions.len(), SCHEMA.matches("CREATE FUNCTION").count());
        let callable: Vec<_> = callable().collect();
        assert!(callable.contains(&"turn_day()"), "{callable:?}");
        assert!(!callable.contains(&"notify_sources()"), "{callable:?}");
    }
}
