//! The client: one connection to the socket of a running appliance.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::answer::{
    Asymmetric, Counters, Deployed, Drops, DryRun, Expectations, Fault, LiveExplanation, SessionCount,
    SessionPage, Status,
};
use crate::blocks::{Block, BlockCount, BlockFilter, Blocks};
use crate::request::{Deploy, ExpectationFilter, Explain, ListDrops, ListSessions, Request, SessionFilter};

/// The largest answer: a page of sessions has some 5 MB.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// A policy of a hundred thousand rules takes its time to be compiled.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(300);
/// Until an appliance that lives takes a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// And tries again after this where the socket's queue is full.
const CONNECT_AGAIN: Duration = Duration::from_millis(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody is there.
    #[error(
        "no appliance answers on {}: is it running? Start it with `sekisho run --appliance FILE` (or `systemctl \
         start sekisho`), or name its socket with --socket",
        .socket.display()
    )]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("{} may not be opened by this user: run as root, or as a member of the socket's group", .socket.display())]
    Forbidden {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("the appliance at {} broke the conversation off", .socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("the appliance at {} does not answer", .socket.display())]
    Silent {
        /// The socket.
        socket: PathBuf,
    },
    /// An answer that is none: another program, or another version.
    #[error("what answers on {} does not speak as sekisho does", .socket.display())]
    Strange {
        /// The socket.
        socket: PathBuf,
        /// What was not understood.
        #[source]
        source: serde_json::Error,
    },
    /// The appliance refused.
    #[error("{}", .0.message)]
    Refused(Fault),
}

/// A connection to an appliance; used from one thread.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects to the appliance at `socket`.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let failed = |source: io::Error| {
            let socket = socket.to_owned();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::Forbidden { socket, source },
                _ => ClientError::NotRunning { socket, source },
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let sender = runtime.block_on(async {
            let connecting = tokio::time::timeout(CONNECT_WAIT_MAX, connect(socket));
            let Ok(stream) = connecting.await else {
                return Err(ClientError::Silent { socket: socket.to_owned() });
            };
            let (sender, connection) = http1::handshake(TokioIo::new(stream.map_err(failed)?))
                .await
                .map_err(|error| ClientError::Broken { socket: socket.to_owned(), source: error.into() })?;
            // What goes wrong on the way shows where an answer is waited for.
            tokio::spawn(async move { drop(connection.await) });
            Ok(sender)
        })?;
        Ok(Self { socket: socket.to_owned(), runtime, sender })
    }

    /// What the appliance is and how it is.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        self.ask(&Request::Status)
    }

    /// Runs another policy.
    pub fn deploy(&mut self, deploy: Deploy) -> Result<Deployed, ClientError> {
        self.ask(&Request::Deploy(deploy))
    }

    /// What a deploy would mean to the live sessions.
    pub fn dry_run(&mut self, deploy: Deploy) -> Result<DryRun, ClientError> {
        self.ask(&Request::DryRun(deploy))
    }

    /// What the appliance knows of a packet.
    pub fn explain(&mut self, explain: Explain) -> Result<LiveExplanation, ClientError> {
        self.ask(&Request::Explain(explain))
    }

    /// Prefixes of which only one direction comes through.
    pub fn asymmetric(&mut self) -> Result<Asymmetric, ClientError> {
        self.ask(&Request::Asymmetric)
    }

    /// A page of the live sessions.
    pub fn sessions(&mut self, list: ListSessions) -> Result<SessionPage, ClientError> {
        self.ask(&Request::ListSessions(list))
    }

    /// How many live sessions there are.
    pub fn count_sessions(&mut self, filter: SessionFilter) -> Result<SessionCount, ClientError> {
        self.ask(&Request::CountSessions(filter))
    }

    /// Ends live sessions; answers how many.
    pub fn end_sessions(&mut self, filter: SessionFilter) -> Result<SessionCount, ClientError> {
        self.ask(&Request::EndSessions(filter))
    }

    /// What control sessions have announced.
    pub fn expectations(&mut self, filter: ExpectationFilter) -> Result<Expectations, ClientError> {
        self.ask(&Request::ListExpectations(filter))
    }

    /// Sources that may open no session.
    pub fn blocks(&mut self, filter: BlockFilter) -> Result<Blocks, ClientError> {
        self.ask(&Request::ListBlocks(filter))
    }

    /// Blocks a source, or changes until when it is blocked; whether that was so.
    pub fn block(&mut self, block: Block) -> Result<BlockCount, ClientError> {
        self.ask(&Request::Block(block))
    }

    /// Lets blocked sources go; answers how many.
    pub fn release_blocks(&mut self, filter: BlockFilter) -> Result<BlockCount, ClientError> {
        self.ask(&Request::ReleaseBlocks(filter))
    }

    /// All counters.
    pub fn counters(&mut self) -> Result<Counters, ClientError> {
        self.ask(&Request::Counters)
    }

    /// The last drops.
    pub fn drops(&mut self, list: ListDrops) -> Result<Drops, ClientError> {
        self.ask(&Request::ListDrops(list))
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        let sender = &mut self.sender;
        let answered = async { tokio::time::timeout(ANSWER_WAIT_MAX, exchange(sender, request)).await };
        let (is_done, body) = match self.runtime.block_on(answered) {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) => return Err(ClientError::Broken { socket: self.socket.clone(), source }),
            Err(_) => return Err(ClientError::Silent { socket: self.socket.clone() }),
        };
        let strange = |source| ClientError::Strange { socket: self.socket.clone(), source };
        if is_done {
            return serde_json::from_slice(&body).map_err(strange);
        }
        Err(ClientError::Refused(serde_json::from_slice(&body).map_err(strange)?))
    }
}

/// Connects; where too many wait already it is tried again.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(CONNECT_AGAIN).await;
            }
            connected => return connected,
        }
    }
}

/// Whether it was done, and the body of the answer.
async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: &Request,
) -> Result<(bool, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let encoded = request.encode();
    let request = hyper::Request::builder()
        .method(encoded.method)
        .uri(encoded.path)
        .header(hyper::header::HOST, "sekisho")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(encoded.body)))?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let is_done = response.status().is_success();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok((is_done, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Client::connect(&folder.path().join("none.sock")).unwrap_err();
        assert!(error.to_string().contains("sekisho run --appliance"), "{error}");
        let dead = folder.path().join("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        assert!(matches!(Client::connect(&dead), Err(ClientError::NotRunning { .. })));
    }
}
