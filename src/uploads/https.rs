//! The store's requests go through the program's client for HTTPS.

use std::{pin::Pin, time::Duration};

use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use tokio::time;

use crate::https;

/// From the request to the head of the answer; a part is sent in that time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Https;

#[derive(Debug)]
struct Service(https::Client);

impl HttpConnector for Https {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(https::client())))
    }
}

impl HttpService for Service {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async {
            let answer = time::timeout(ANSWER_TIMEOUT, self.0.request(request))
                .await
                .map_err(|elapsed| HttpError::new(HttpErrorKind::Timeout, elapsed))?
                .map_err(|error| {
                    let kind = if error.is_connect() {
                        HttpErrorKind::Connect
                    } else {
                        HttpErrorKind::Request
                    };
                    HttpError::new(kind, error)
                })?;
            Ok(answer.map(|body| {
                let body = http_body_util::BodyExt::map_err(body, |error| {
                    HttpError::new(HttpErrorKind::Interrupted, error)
                });
                HttpResponseBody::new(body)
            }))
        })
    }
}
