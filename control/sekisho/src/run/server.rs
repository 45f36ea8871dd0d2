//! The management socket: HTTP/1.1 on a Unix socket, every connection a task of the control thread.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sekisho_api as api;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::run::control::Control;

/// Connections at a time; others wait for their turn.
const CONNECTIONS_MAX: usize = 64;
/// A client sends its request within this time.
const HEADER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Why the socket is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Somebody answers on it.
    #[error(
        "another appliance answers on {}: stop it first, or give this one a socket of its own (socket: in the \
         appliance file)",
        .0.display()
    )]
    Live(PathBuf),
    /// It is not a socket.
    #[error("{} is there, and it is not a socket: move it away, or name another path in the appliance file", .0.display())]
    NotASocket(PathBuf),
    /// It cannot be made.
    #[error("the socket {} cannot be made", .path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// The socket, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    /// Device and number of the file: another appliance may have put its own in its place.
    file: (u64, u64),
    listener: Option<StdListener>,
}

impl Socket {
    /// Makes the socket at `path`, in place of one that a dead process left.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::Live(path.to_owned())),
            _ => {}
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        // Made aside and then put in place: nobody meets it with other permissions than these.
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        let _ = fs::remove_file(&aside);
        let listener = StdListener::bind(&aside).map_err(failed)?;
        let placed = fs::set_permissions(&aside, fs::Permissions::from_mode(0o660))
            .and_then(|()| fs::rename(&aside, path))
            .and_then(|()| listener.set_nonblocking(true));
        if let Err(source) = placed {
            let _ = fs::remove_file(&aside);
            return Err(failed(source));
        }
        let file = file_of(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, listener: Some(listener) })
    }

    /// The listener, for [`serve`]; once.
    pub(crate) fn listener(&mut self) -> io::Result<UnixListener> {
        let listener = self.listener.take().ok_or(io::ErrorKind::NotConnected)?;
        UnixListener::from_std(listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if file_of(&self.path).is_ok_and(|file| file == self.file) {
            // Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What tells a file from another one at the same path.
fn file_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Takes connections for as long as the task lives.
pub(crate) async fn serve(listener: UnixListener, control: Rc<Control>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = Rc::clone(&control);
                tokio::task::spawn_local(async move {
                    let service = service_fn(move |request| respond(Rc::clone(&control), request));
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(HEADER_WAIT_MAX)
                        .serve_connection(TokioIo::new(stream), service);
                    if let Err(error) = connection.await {
                        tracing::debug!("a connection to the socket broke off: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, for example: what holds them may go.
                tracing::warn!("the socket cannot take a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn respond(
    control: Rc<Control>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let answered = match read(request).await {
        Ok(request) => control.answer(request).await,
        Err(fault) => Err(fault),
    };
    Ok(match answered {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(fault) => {
            let status = StatusCode::from_u16(fault.kind.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = json(status, &fault);
            if status == StatusCode::METHOD_NOT_ALLOWED
                && let Ok(allowed) = HeaderValue::from_str(&api::http::methods_text(&path))
            {
                response.headers_mut().insert(ALLOW, allowed);
            }
            response
        }
    })
}

async fn read(request: hyper::Request<Incoming>) -> Result<api::Request, api::Fault> {
    let (head, body) = request.into_parts();
    let too_large = || {
        let message = format!("the body is longer than {} bytes", api::BODY_BYTES_MAX);
        api::Fault::new(api::FaultKind::TooLarge, message)
    };
    if body.size_hint().lower() > api::BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, api::BODY_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return too_large();
        }
        api::Fault::new(api::FaultKind::BadRequest, format!("the body cannot be read: {error}"))
    })?;
    let query = head.uri.query().unwrap_or_default();
    api::Request::decode(&head.method, head.uri.path(), query, &body.to_bytes())
}

fn json(status: StatusCode, answer: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
