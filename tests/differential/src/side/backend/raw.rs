//! Bytes that are no HTTP: answered with the backend's name and the same bytes.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::stream::Stream;
use super::accept::Connection;
use crate::scenario::Instead;

pub async fn serve(connection: &Connection, mut stream: Stream) -> io::Result<()> {
    let _open = connection.stage.open();
    let ticket = connection.stage.record(connection.seen());
    let behaviour = connection.stage.next(&connection.place.name, true);
    if let Some(first) = &behaviour.first {
        stream.write_all(first.as_bytes()).await?;
        stream.flush().await?;
    }
    let mut greeted = false;
    loop {
        let mut buffer = [0; 16 * 1024];
        let count = stream.read(&mut buffer).await?;
        let bytes = &buffer[..count];
        connection.stage.amend(&ticket, |seen| {
            seen.body.push_str(&String::from_utf8_lossy(bytes));
        });
        if !greeted {
            if let Some(delay) = behaviour.delay {
                tokio::time::sleep(delay.0).await;
            }
            match behaviour.instead {
                Some(Instead::Close) => return Ok(()),
                Some(_) => {
                    stream.reset();
                    return Ok(());
                }
                None => {}
            }
            let greeting = match &behaviour.body {
                Some(body) => body.clone(),
                None => format!("{}:", connection.place.name),
            };
            stream.write_all(greeting.as_bytes()).await?;
            greeted = true;
        }
        if behaviour.body.is_none() {
            stream.write_all(bytes).await?;
        }
        stream.flush().await?;
        if count == 0 {
            return stream.shutdown().await;
        }
    }
}
