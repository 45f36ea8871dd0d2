//! The management socket: HTTP/1.1 on a Unix socket, every connection a task of the control thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sekisho_api as api;
use tokio::net::{UnixListener, UnixStream};
use tokio_io_timeout::TimeoutStream;

use crate::run::access::{Access, Peer, Role};
use crate::run::bounds::{DoorCounts, Places, Rate, count};
use crate::run::control::Control;

/// Connections at a time of admins, and as many of those who may only ask; who only sits there goes for a newcomer.
const CONNECTIONS_MAX: usize = 64;
/// Connections of one admin, those that wait for a place among them; more are turned away.
const WAITING_MAX: usize = 512;
/// The same of any other user.
const OF_ONE_USER_MAX: usize = 16;
/// Connections at a time of those who may nothing.
const STRANGERS_MAX: usize = 8;
/// They are told so, and gone within this time.
const STRANGER_WAIT_MAX: Duration = Duration::from_secs(2);
/// Connections that are taken: more wait in the kernel.
const ARRIVALS_PER_SECOND: u32 = 2_000;
const ARRIVALS_BURST: u32 = 256;
/// Requests of all those who may only ask: more wait.
const QUESTIONS_PER_SECOND: u32 = 200;
const QUESTIONS_BURST: u32 = 100;
/// Requests that are refused because whoever sends them may not: more wait.
const REFUSALS_PER_SECOND: u32 = 50;
const REFUSALS_BURST: u32 = 20;
/// A client sends its request within this time, and within the same the next one.
const HEADER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Its body within this.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// It takes something of its answer within this time, or is cut.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request before its body.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The system tells a user's groups within this time.
const ROLE_WAIT_MAX: Duration = Duration::from_secs(2);
/// A role is looked up again after this time.
const ROLE_KEPT: Duration = Duration::from_secs(5);
const ROLES_MAX: usize = 256;

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
    /// Makes the socket at `path`, in place of one that a dead process left, for those whom `access` lets in.
    pub(crate) fn bind(path: &Path, access: &Access) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            Ok(_) if StdStream::connect(path).is_ok() => return Err(SocketError::Live(path.to_owned())),
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
        let (mode, group) = access.file_mode();
        let placed = std::os::unix::fs::chown(&aside, None, group.map(|gid| gid.as_raw()))
            .and_then(|()| fs::set_permissions(&aside, fs::Permissions::from_mode(mode)))
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

/// What stands between the socket and control.
struct Door {
    control: Rc<Control>,
    access: Access,
    /// Connections that are taken.
    arrivals: Rate,
    /// Requests of those who may only ask.
    questions: Rate,
    /// Requests that are refused.
    refusals: Rate,
    admins: Places,
    readers: Places,
    strangers: Places,
    /// Connections of each user, those that wait among them.
    users: RefCell<HashMap<u32, usize>>,
    /// Roles that were looked up lately.
    roles: RefCell<HashMap<Peer, (Role, Instant)>>,
}

/// Takes connections for as long as the task lives.
pub(crate) async fn serve(listener: UnixListener, control: Rc<Control>, access: Access) {
    let door = Rc::new(Door {
        control,
        access,
        arrivals: Rate::new(ARRIVALS_PER_SECOND, ARRIVALS_BURST),
        questions: Rate::new(QUESTIONS_PER_SECOND, QUESTIONS_BURST),
        refusals: Rate::new(REFUSALS_PER_SECOND, REFUSALS_BURST),
        admins: Places::new(CONNECTIONS_MAX),
        readers: Places::new(CONNECTIONS_MAX),
        strangers: Places::new(STRANGERS_MAX),
        users: RefCell::default(),
        roles: RefCell::default(),
    });
    loop {
        door.arrivals.take().await;
        match listener.accept().await {
            Ok((stream, _)) => Rc::clone(&door).take(stream),
            Err(error) => {
                // Out of file descriptors, for example: what holds them may go.
                tracing::warn!("the socket cannot take a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Door {
    fn counts(&self) -> &DoorCounts {
        &self.control.doors.socket
    }

    /// Takes a connection, or turns it away.
    fn take(self: Rc<Self>, stream: UnixStream) {
        let Ok(credentials) = stream.peer_cred() else { return count(&self.counts().refused) };
        let peer = Peer { uid: credentials.uid(), gid: credentials.gid() };
        let Some(guest) = Guest::of(&self, peer) else { return count(&self.counts().refused) };
        tokio::task::spawn_local(async move {
            let role = self.role(peer).await;
            let attending = self.attend(stream, peer, role);
            if role == Role::Stranger {
                count(&self.counts().refused);
                drop(tokio::time::timeout(STRANGER_WAIT_MAX, attending).await);
            } else {
                attending.await;
            }
            drop(guest);
        });
    }

    /// What a peer may do, if that need not be looked up.
    fn known(&self, peer: Peer) -> Option<Role> {
        let lately = |(role, since): &(Role, Instant)| (since.elapsed() < ROLE_KEPT).then_some(*role);
        self.access.role_at_once(peer).or_else(|| self.roles.borrow().get(&peer).and_then(lately))
    }

    async fn role(&self, peer: Peer) -> Role {
        if let Some(role) = self.known(peer) {
            return role;
        }
        let access = self.access.clone();
        let looking = tokio::task::spawn_blocking(move || access.role(peer));
        let Ok(Ok(role)) = tokio::time::timeout(ROLE_WAIT_MAX, looking).await else {
            tracing::warn!("the system does not tell the groups of user {}: it is turned away", peer.uid);
            return Role::Stranger;
        };
        let mut roles = self.roles.borrow_mut();
        if roles.len() >= ROLES_MAX {
            roles.clear();
        }
        roles.insert(peer, (role, Instant::now()));
        role
    }

    /// Answers what comes over a connection, once there is a place for it.
    async fn attend(self: &Rc<Self>, stream: UnixStream, peer: Peer, role: Role) {
        let places = match role {
            Role::Admin => &self.admins,
            Role::Reader => &self.readers,
            Role::Stranger => &self.strangers,
        };
        let Some(seat) = places.seat().await else { return count(&self.counts().refused) };
        count(&self.counts().taken);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_WAIT_MAX));
        let service = service_fn(|request| {
            let (door, seat) = (Rc::clone(self), Rc::clone(&seat));
            async move {
                seat.begin();
                let response = respond(&door, peer, role, request).await;
                seat.end();
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WAIT_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                if is_timeout(&error) {
                    count(&self.counts().cut);
                }
                tracing::debug!("a connection to the socket broke off: {error}");
            },
            () = seat.cut() => count(&self.counts().cut),
        }
    }
}

/// Whether the other end was too slow, in sending or in taking.
fn is_timeout(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    error.is_timeout() || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// A connection of a user, counted for as long as it lasts.
struct Guest {
    door: Rc<Door>,
    uid: u32,
}

impl Guest {
    /// `None`: the user has too many.
    fn of(door: &Rc<Door>, peer: Peer) -> Option<Self> {
        let max = if door.known(peer) == Some(Role::Admin) { WAITING_MAX } else { OF_ONE_USER_MAX };
        let mut users = door.users.borrow_mut();
        let count = users.entry(peer.uid).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Self { door: Rc::clone(door), uid: peer.uid })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut users = self.door.users.borrow_mut();
        if let Some(count) = users.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.uid);
            }
        }
    }
}

async fn respond(
    door: &Door,
    peer: Peer,
    role: Role,
    request: hyper::Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let may = match role {
        Role::Admin => true,
        Role::Reader => !api::http::is_for_admins(request.method()),
        Role::Stranger => false,
    };
    let answered = if !may {
        // Before the body is read.
        count(&door.counts().forbidden);
        door.refusals.take().await;
        tracing::debug!("user {} may not: {} {path}", peer.uid, request.method());
        Err(api::Fault::new(api::FaultKind::Forbidden, door.access.refusal(peer, role)))
    } else {
        if role == Role::Reader {
            door.questions.take().await;
        }
        match read(request).await {
            Ok(request) => door.control.answer(request).await,
            Err(fault) => Err(fault),
        }
    };
    match answered {
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
    }
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
    let bad = |what: String| api::Fault::new(api::FaultKind::BadRequest, what);
    let collecting = Limited::new(body, api::BODY_BYTES_MAX).collect();
    let collected = tokio::time::timeout(BODY_WAIT_MAX, collecting).await;
    let in_time =
        collected.map_err(|_| bad(format!("the body did not come within {} s", BODY_WAIT_MAX.as_secs())))?;
    let body = in_time.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return too_large();
        }
        bad(format!("the body cannot be read: {error}"))
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
