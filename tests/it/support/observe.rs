//! What the database shows of the server: its sessions and what they wait for.

use tokio_postgres::Client;

use super::server::eventually;

/// Waits until a statement of the server's waits for a lock.
pub async fn blocked(dba: &Client) {
    let sql = "select 1 from pg_stat_activity
                where application_name = 'marketplace' and datname = current_database()
                  and wait_event_type = 'Lock'";
    eventually("the server waits for the other transaction", async || {
        !dba.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
}

/// The backends of this database's listeners.
pub async fn listeners(database: &Client) -> Vec<i32> {
    let sql = "select pid from pg_stat_activity
                where application_name = 'marketplace listener' and datname = current_database()
                order by pid";
    database
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// Waits until a server has looked so many times more at what the database has counted.
pub async fn audited(dba: &Client, times: usize) {
    let sql = "select max(query_start)::text from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()
                  and query like '%pg_stat_get_db_xact_rollback%'";
    let mut looks = Vec::<String>::new();
    eventually("the server looks at the counts", async || {
        let look: Option<String> = dba.query_one(sql, &[]).await.unwrap().get(0);
        looks.extend(look.filter(|look| looks.last() != Some(look)));
        // The first may be of a moment before this was called.
        looks.len() > times
    })
    .await;
}
