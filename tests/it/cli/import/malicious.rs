//! A dump is not trusted: whatever it says, nothing runs beyond the databases that are thrown away.

use std::fs;

use super::dumps::{Place, with};

/// What is planted, and what the import says of it. `%` stands for a file that must not come to be.
const PLANTED: [(&str, &str); 23] = [
    // Commands of psql.
    ("\\! touch %", "is a command for psql"),
    ("\\o |touch %", "is a command for psql"),
    ("\\copy t from program 'touch %'", "is a command for psql"),
    ("\\i /etc/passwd", "is a command for psql"),
    ("\\set x `touch %`", "is a command for psql"),
    ("\\unrestrict x\n\\! touch %", "is a command for psql"),
    ("select 1 \\g |touch %", "a backslash"),
    ("select 'touch %' \\gexec", "a backslash"),
    // Statements that pg_dump does not write.
    ("COPY t FROM PROGRAM 'touch %';", "pg_dump does not write"),
    ("COPY (SELECT 1) TO '%';", "pg_dump does not write"),
    (
        "SELECT pg_catalog.lo_export(1, '%');",
        "pg_dump does not write",
    ),
    (
        "DO $$ begin execute 'copy (select 1) to program ''touch %'''; end $$;",
        "pg_dump does not write",
    ),
    ("LOAD '%';", "pg_dump does not write"),
    // Statements that it writes, with what they must not do.
    (
        "CREATE TABLE public.t (x text);\nINSERT INTO public.t VALUES (pg_read_file('/etc/passwd'));",
        "42501",
    ),
    (
        "CREATE TABLE public.t (x oid);\nINSERT INTO public.t VALUES (lo_import('/etc/passwd'));",
        "42501",
    ),
    (
        "CREATE TABLE public.t (x oid DEFAULT lo_import('/etc/passwd'), y int);\nCOPY public.t (y) FROM stdin;\n1\n\\.\n",
        "42501",
    ),
    (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql AS $$ begin execute 'copy (select 1) to program ''touch %'''; return 1; end $$;\n\
         CREATE TABLE public.t (x int DEFAULT public.f(), y int);\nINSERT INTO public.t (y) VALUES (1);",
        "42501",
    ),
    (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$ begin execute 'alter role importer superuser'; return 1; end $$;\n\
         CREATE TABLE public.t (x int);\nINSERT INTO public.t VALUES (public.f());",
        "42501",
    ),
    (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpgsql AS $$ begin execute 'set role marketplace'; return 1; end $$;\n\
         CREATE TABLE public.t (x int);\nINSERT INTO public.t VALUES (public.f());",
        "42501",
    ),
    (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE plpython3u AS $$ import os; os.system('touch %') $$;\n\
         CREATE TABLE public.t (x int);\nINSERT INTO public.t VALUES (public.f());",
        "plpython3u",
    ),
    (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE c AS 'libc.so.6', 'system';\n\
         CREATE TABLE public.t (x int);\nINSERT INTO public.t VALUES (public.f());",
        "42501",
    ),
    (
        "SELECT pg_catalog.set_config('search_path', pg_read_file('/etc/passwd'), false);",
        "pg_dump does not write",
    ),
    (
        "\\connect \"host=/tmp user=postgres\"\nCOPY t FROM PROGRAM 'touch %';",
        "pg_dump does not write",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_dump_runs_outside_of_its_databases() {
    let place = Place::new().await;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&place.home.dir, open).unwrap();
    let marker = place.home.dir.join("marker");
    for (planted, why) in PLANTED {
        let planted = planted.replace('%', marker.to_str().unwrap());
        let file = place.file("dump", with(&planted));
        let (code, said) = place.import(&file).await;
        assert!(!marker.exists(), "{planted}: it ran");
        assert!(code == 1 && said.contains(why), "{planted}: {said}");
        assert!(!said.contains("root:"), "{planted}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_run_when_tables_are_read_runs_as_nobody() {
    let place = Place::new().await;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&place.home.dir, open).unwrap();
    let marker = place.home.dir.join("marker");
    // Triggers, rules and policies are not made; a cast of the dump's own runs when the tables are read.
    let planted = format!(
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ begin execute 'copy (select 1) to program ''touch {0}'''; return new; end $$;\n\
         CREATE TYPE public.planted AS (x text);\n\
         CREATE FUNCTION public.cast(public.planted) RETURNS text LANGUAGE plpgsql AS $$ begin execute 'copy (select 1) to program ''touch {0}'''; return 'x'; end $$;\n\
         CREATE CAST (public.planted AS text) WITH FUNCTION public.cast(public.planted) AS IMPLICIT;\n\
         CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE plpgsql AS $$ begin execute 'copy (select 1) to program ''touch {0}'''; return 'x'; end $$;\n\
         CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.f();\n\
         ALTER ROLE importer SUPERUSER;\nALTER SYSTEM SET shared_preload_libraries = 'x';\nSET ROLE marketplace;",
        marker.display()
    );
    let text = with(&planted);
    let end = text
        .rfind("--\n-- PostgreSQL database dump complete")
        .unwrap();
    let trigger = "CREATE TRIGGER t BEFORE INSERT ON public.auth_user FOR EACH ROW EXECUTE FUNCTION public.f();\n\
                   CREATE RULE r AS ON INSERT TO public.auth_user DO ALSO SELECT public.f();\n";
    let text = format!("{}{trigger}{}", &text[..end], &text[end..]);
    let (code, said) = place.import(&place.file("quiet", &text)).await;
    assert!(!marker.exists(), "it ran");
    assert_eq!(code, 0, "{said}");
    for left_out in [
        "CREATE EVENT TRIGGER",
        "ALTER ROLE",
        "ALTER SYSTEM",
        "SET ROLE",
        "CREATE TRIGGER",
        "CREATE RULE",
    ] {
        assert!(
            said.contains(&format!("1 x {left_out} of the dump")),
            "{left_out}: {said}"
        );
    }
    let cast = text.replace(
        "email character varying(254) NOT NULL",
        "email public.planted",
    );
    assert_ne!(cast, text, "the column is in the dump");
    let cast = cast
        .replace("anna@example.com", "(anna)")
        .replace("bruno@example.com", "(bruno)");
    let cast = cast.replace("chloé.d\t\t\t\t", "chloé.d\t\t\t(chloe)\t");
    let (code, said) = place.import(&place.file("cast", &cast)).await;
    assert!(!marker.exists(), "it ran");
    assert!(code == 1 && said.contains("42501"), "{said}");
}
