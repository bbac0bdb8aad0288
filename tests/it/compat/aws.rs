//! A stand-in for the EMR endpoint: it notes every signed request and answers each with a new step id.
//! It checks no signature.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::template::letters;

/// A running stub; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct AwsStub {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl AwsStub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::new(Mutex::new(vec![]));
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&noted)));
            }
        });
        Self { base, seen, task }
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.seen.lock().expect("no holder panics"))
    }
}

impl Drop for AwsStub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Value>>>) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = read_request(&mut stream).await {
        if let Some(request) = request {
            seen.lock().expect("no holder panics").push(request);
        }
        let body = json!({"StepIds": [format!("s-{}", letters(13).to_uppercase())]}).to_string();
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: ";
        let answer = format!("{head}{}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// `None` at the end of the connection, `Some(None)` for a request without a target.
pub(crate) async fn read_request(
    stream: &mut BufReader<TcpStream>,
) -> std::io::Result<Option<Option<Value>>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = vec![];
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |wanted: &str| {
        headers
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let length = header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let Some(target) = header("x-amz-target") else {
        return Ok(Some(None));
    };
    let body = serde_json::from_slice(&body)
        .unwrap_or_else(|_| json!({"$text": String::from_utf8_lossy(&body)}));
    let signed = header("authorization").and_then(signature);
    Ok(Some(Some(
        json!({"method": method, "path": path, "x-amz-target": target,
        "content-type": header("content-type"), "body": body, "signed": signed}),
    )))
}

/// Key, region and service of `... Credential=key/date/region/service/aws4_request, ...`.
fn signature(authorization: &str) -> Option<Value> {
    let (_, scope) = authorization.split_once("Credential=")?;
    let parts: Vec<_> = scope.split([',', ' ']).next()?.split('/').collect();
    match parts[..] {
        [key, _, region, service, "aws4_request"] => {
            Some(json!({"key": key, "region": region, "service": service}))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::Emr;
    use crate::support::client::Http;

    #[tokio::test]
    async fn signed_requests_are_noted_once() {
        let stub = AwsStub::start().await;
        let step = json!({"JobFlowId": "j-1", "Steps": []});
        let scope = "AWS4-HMAC-SHA256 Credential=AKIATEST/20261124/eu-west-3/elasticmapreduce/aws4_request, Sig=x";
        let mut visitor = Http::new(&stub.base);
        let answer = visitor
            .post("/")
            .header("X-Amz-Target", "ElasticMapReduce.AddJobFlowSteps")
            .header("Authorization", scope)
            .body("application/x-amz-json-1.1", step.to_string())
            .send()
            .await;
        assert_eq!(answer.json()["StepIds"][0].as_str().map(str::len), Some(15));
        assert_eq!(visitor.post("/").send().await.status, 200);
        let signed =
            json!({"key": "AKIATEST", "region": "eu-west-3", "service": "elasticmapreduce"});
        let noted = json!({"method": "POST", "path": "/", "x-amz-target": "ElasticMapReduce.AddJobFlowSteps",
            "content-type": "application/x-amz-json-1.1", "body": step, "signed": signed});
        assert_eq!(stub.take(), [noted]);
        assert!(stub.take().is_empty());
        let emr = Emr::Stub(stub);
        assert!(
            emr.offers("emr-stub") && !emr.offers("emr-none") && !Emr::Absent.offers("emr-stub")
        );
    }
}
