//! Files that come through nginx, as it is configured in the documents.

use std::fs;

use super::{ADD, ANN, send, start};
use crate::support::{
    client::Http,
    nginx::{self, Nginx},
    postgres::Home,
    server::ORIGIN,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_pass_nginx_as_they_are_sent() {
    let (server, _database, store, editor) = start(&[]).await;
    let address = server.base.strip_prefix("http://").unwrap();
    let home = Home::new();
    fs::create_dir(&home.dir).unwrap();
    // More than nginx lets through by itself, and more than it keeps in memory.
    let content = b"0123456789abcdef".repeat(200_000);
    for (name, site) in [("whole", nginx::WHOLE), ("readme", nginx::of_readme())] {
        let directory = home.dir.join(name);
        let nginx = Nginx::start(&directory, site, &[address; 4]).await;
        let mut editor = Http::new(&nginx.base)
            .with_cookies_of(&editor)
            .on_page(ORIGIN);
        let answer = send(&mut editor, ADD, ANN, ("a.csv", &content)).await;
        assert_eq!(answer.status, 201, "{name}: {}", answer.text());
        let path = answer.json()["data_upload"].as_str().unwrap().to_owned();
        let file = editor.get(&path).send().await;
        assert!(file.status == 200 && file.body == content, "{name}: {path}");
        let log = fs::read_to_string(directory.join("error.log")).unwrap();
        assert!(
            !log.contains("buffered to a temporary file"),
            "{name}: {log}"
        );
        // The longest file that the server takes by default, and its form.
        assert!(site.contains("client_max_body_size 260m;"), "{name}");
    }
    assert_eq!(store.files().len(), 2);
}
