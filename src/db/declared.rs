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
/// without any right to execute them; or only the owner of the tables calls them.
pub(super) fn callable() -> impl Iterator<Item = &'static str> {
    let for_others = |signature: &&str| {
        !["refuse_foreign_table(", "follow_table(", "unfollow_table("]
            .iter()
            .any(|name| signature.starts_with(name))
    };
    functions().filter(for_others).filter(|signature| {
        let trigger = format!("CREATE FUNCTION public.{signature} RETURNS trigger");
        !SCHEMA.contains(&trigger)
    })
}

/// A trigger that `follow_table` makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    pub(super) table: &'static str,
    /// What it fires on, as in `AFTER INSERT OR UPDATE ON`.
    pub(super) events: &'static str,
    /// Whether it fires for rows that logical replication applies, and not for statements.
    pub(super) is_for_rows: bool,
    rules: &'static str,
    recorded: &'static str,
}

impl Follower {
    /// Reads it from the statement that makes it.
    pub(super) fn of(create: &'static str) -> Option<Self> {
        let (_, rest) = create
            .strip_prefix("CREATE TRIGGER follow_")?
            .split_once(" AFTER ")?;
        let (events, rest) = rest.split_once(" ON public.")?;
        let (table, rest) = rest.split_once(' ')?;
        let (_, call) = rest.split_once(" EXECUTE FUNCTION public.")?;
        let (_, arguments) = call.split_once('(')?;
        let (rules, recorded) = arguments.strip_suffix(')')?.rsplit_once(", ")?;
        Some(Self {
            table,
            events,
            is_for_rows: rest.contains("FOR EACH ROW"),
            rules,
            recorded,
        })
    }

    /// The statement that makes it again, and the others of its table.
    pub(super) fn call(&self) -> String {
        let Self {
            table,
            rules,
            recorded,
            ..
        } = self;
        format!("select public.follow_table('{table}'::text, {rules}::jsonb, {recorded}::boolean)")
    }
}

/// All triggers that `follow_table` makes.
pub(super) fn followers() -> impl Iterator<Item = Follower> {
    SCHEMA
        .lines()
        .filter_map(|line| Follower::of(line.strip_suffix(';')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followed_tables_are_read_from_the_schema() {
        let of_users: Vec<_> = followers().filter(|one| one.table == "users").collect();
        let events: Vec<_> = of_users
            .iter()
            .map(|one| (one.events, one.is_for_rows))
            .collect();
        let expected = [
            ("DELETE OR UPDATE", true),
            ("DELETE", false),
            ("TRUNCATE", false),
            ("UPDATE", false),
        ];
        assert_eq!(events, expected);
        for one in of_users {
            let call = one.call();
            let begins = call.starts_with("select public.follow_table('users'::text, '[{");
            assert!(
                begins && call.ends_with("}]'::jsonb, 'false'::boolean)"),
                "{call}"
            );
        }
        let in_schema = SCHEMA.matches("CREATE TRIGGER follow_").count();
        assert_eq!(followers().count(), in_schema);
    }

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
