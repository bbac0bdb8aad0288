//! A WebSocket echo server on the project's own protocol layer, for conformance suites and trying
//! things out: `cargo run --example echo [ADDRESS]`. Knows nothing else of the product.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use marketplace::ws::{Connection, Event, Frame, Limits, Message, handshake};
use std::{collections::VecDeque, convert::Infallible, io, sync::Arc};
use tokio::net::{TcpListener, TcpStream};

/// The largest message of the Autobahn suite.
const MESSAGE_BYTES: usize = 16 << 20;

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async {
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request)) });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.with_upgrades().await {
                eprintln!("{error}");
            }
        });
    }
}

fn answer(mut request: Request<Incoming>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    match handshake::accept(request.method(), request.headers()) {
        Ok(accept) => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() = accept.headers();
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let parts = upgraded
                    .downcast::<TokioIo<TcpStream>>()
                    .expect("it was one");
                let limits = Limits {
                    message_bytes: MESSAGE_BYTES,
                    // The suite counts every frame that it gets.
                    unconfirmed_bytes: usize::MAX,
                    ..Limits::default()
                };
                let stream = parts.io.into_inner();
                let connection =
                    Connection::new(stream, parts.read_buf, accept.deflate(), Arc::new(limits));
                echo(connection).await;
            });
        }
        Err(refusal) => {
            *response.status_mut() = refusal.status();
            *response.headers_mut() = refusal.headers();
        }
    }
    response
}

async fn echo(mut connection: Connection) {
    let mut waiting = VecDeque::new();
    loop {
        match connection.next(true).await {
            Event::Message(Message::Text(text)) => waiting.push_back(Frame::text(&text)),
            Event::Message(Message::Binary(bytes)) => waiting.push_back(Frame::binary(&bytes)),
            Event::Flushed => {}
            Event::Closed(_) => return,
        }
        while connection.can_send()
            && let Some(frame) = waiting.pop_front()
        {
            connection.send(frame.wire(connection.deflate()));
        }
    }
}
