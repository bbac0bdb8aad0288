//! Names of files, as programs send them, come back as they were as far as they do no harm.

use super::{ADD, END, FORM, start};

/// A form with a file whose part begins with this.
fn form(disposition: &[u8]) -> Vec<u8> {
    let text = b"--x\r\nContent-Disposition: form-data; name=\"created_by\"\r\n\r\nAnn\r\n\
        --x\r\nContent-Disposition: form-data; name=\"country\"\r\n\r\nFrance\r\n";
    let before = b"--x\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; ";
    [&text[..], before, disposition, b"\r\n\r\n1", END].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_that_was_sent_comes_back() {
    let (_server, _database, _store, mut editor) = start(&[]).await;
    let long = format!("name=data_upload; filename=\"{}.csv\"", "é".repeat(400));
    let shortened = format!("{}.csv", "%C3%A9".repeat(146));
    for (sent, path, plain, extended) in [
        (
            "name=\"data_upload\"; filename=\"données 2024.csv\"".as_bytes(),
            "données_2024.csv",
            "donn_es 2024.csv",
            "donn%C3%A9es%202024.csv",
        ),
        (
            b"name=\"data_upload\"; filename=\"donn\xe9es.csv\"",
            "données.csv",
            "donn_es.csv",
            "donn%C3%A9es.csv",
        ),
        (
            b"name=\"data_upload\"; filename*=UTF-8''%e2%82%ac%20rates.csv",
            "_rates.csv",
            "_ rates.csv",
            "%E2%82%AC%20rates.csv",
        ),
        (
            b"filename*=utf-8''donn%C3%A9es.csv; filename=\"donnees.csv\"; name=\"data_upload\"",
            "données.csv",
            "donn_es.csv",
            "donn%C3%A9es.csv",
        ),
        (
            b"name=\"data_upload\"; filename=\"say %22yes%22%0D%0A.csv\"",
            "say_yes.csv",
            "say _yes_.csv",
            "say%20%22yes%22.csv",
        ),
        (
            b"name=\"data_upload\"; filename=\"say \\\"yes\\\".csv\"",
            "say_yes.csv",
            "say _yes_.csv",
            "say%20%22yes%22.csv",
        ),
        (
            b"name=\"data_upload\"; filename=\"C:\\Users\\ann\\up.csv\"",
            "up.csv",
            "up.csv",
            "up.csv",
        ),
        (
            "name=\"data_upload\"; filename=\"/etc/a\u{202e}b\u{1}c\u{7f}.csv\"".as_bytes(),
            "abc.csv",
            "abc.csv",
            "abc.csv",
        ),
        (
            "name=\"data_upload\"; filename=\"e\u{301}te\u{301}\"".as_bytes(),
            "e\u{301}te\u{301}",
            "e_te_",
            "e%CC%81te%CC%81",
        ),
        (b"name=data_upload; filename=\"..\"", "file", "file", "file"),
        (long.as_bytes(), "", "", &shortened),
    ] {
        let call = editor.call(ADD.0, ADD.1).body(FORM, form(sent));
        let answer = call.send().await;
        let sent = String::from_utf8_lossy(sent);
        assert_eq!(answer.status, 201, "{sent}: {}", answer.text());
        let reference = answer.json()["data_upload"].as_str().unwrap().to_owned();
        assert!(reference.ends_with(path), "{sent}: {reference}");
        let key = reference.split('/').nth(3).unwrap();
        let file = editor.get(&format!("/api/uploads/{key}")).send().await;
        assert_eq!((file.status, &*file.body), (200, &b"1"[..]), "{sent}");
        let disposition = file.header("content-disposition").unwrap();
        let ending = format!("; filename*=UTF-8''{extended}");
        assert!(disposition.ends_with(&ending), "{sent}: {disposition}");
        assert!(
            path.is_empty() || disposition.contains(&format!("; filename=\"{plain}\"; ")),
            "{sent}: {disposition}"
        );
    }
    // No file was chosen, or it is no file at all.
    for (sent, status) in [
        (&b"name=data_upload; filename=\"\""[..], 201),
        (b"name=data_upload", 400),
    ] {
        let call = editor.call(ADD.0, ADD.1).body(FORM, form(sent));
        let answer = call.send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}
