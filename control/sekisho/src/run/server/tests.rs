use sekisho_api::{Client, ClientError, Deploy, FaultKind, ListDrops, ListSessions, SessionFilter};
use tokio::task::LocalSet;

use super::*;
use crate::run::tests::{Appliance, OPEN, datagram};

#[test]
fn a_dead_socket_gives_way_a_live_one_and_other_files_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/s.sock");
    let socket = Socket::bind(&path, &Access::default()).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o660);
    assert!(matches!(Socket::bind(&path, &Access::default()), Err(SocketError::Live(_))));
    drop(socket);
    assert!(!path.exists(), "it goes with its owner");
    // A process that was killed leaves its socket.
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(Socket::bind(&path, &Access::default()).unwrap());
    std::fs::write(&path, "a letter").unwrap();
    assert!(matches!(Socket::bind(&path, &Access::default()), Err(SocketError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a letter");
}

#[test]
fn an_appliance_that_ends_late_leaves_the_socket_of_its_successor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let mut ending = Socket::bind(&path, &Access::default()).unwrap();
    drop(ending.listener.take());
    let successor = Socket::bind(&path, &Access::default()).unwrap();
    drop(ending);
    assert!(path.exists());
    drop(successor);
    assert!(!path.exists());
}

/// Serves an appliance, and lets `client` speak to it from a thread of its own.
async fn served<T: Send + 'static>(client: impl FnOnce(&Path) -> T + Send + 'static) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let mut socket = Socket::bind(&path, &Access::default()).unwrap();
    let appliance = Appliance::start(OPEN, 1, (0..500).map(datagram).collect(), None);
    appliance.until(|control| control.fleet.sessions_live() == 500).await;
    let tasks = LocalSet::new();
    tasks.spawn_local(serve(socket.listener().unwrap(), Rc::clone(&appliance.control), Access::default()));
    let speaking = tokio::task::spawn_blocking(move || client(&path));
    tasks.run_until(speaking).await.unwrap()
}

#[tokio::test]
async fn the_client_gets_an_answer_to_every_request() {
    served(|path| {
        let mut client = Client::connect(path).unwrap();
        assert_eq!(client.status().unwrap().sessions, 500);
        assert_eq!(client.counters().unwrap().sessions_opened, 500);
        assert_eq!(client.count_sessions(SessionFilter::default()).unwrap().sessions, 500);
        assert_eq!(client.sessions(ListSessions::default()).unwrap().sessions.len(), 500);
        assert_eq!(client.drops(ListDrops::default()).unwrap().last, 0);
        let deploy = Deploy { name: "p".into(), text: OPEN.into(), directory: None };
        assert_eq!(client.deploy(deploy).unwrap().generation, 2);
        let wrong = Deploy { name: "p".into(), text: "version: 9".into(), directory: None };
        let Err(ClientError::Refused(fault)) = client.deploy(wrong) else { panic!("it was taken") };
        assert_eq!(fault.kind, FaultKind::PolicyWrong);
        assert_eq!(client.end_sessions(SessionFilter::default()).unwrap().sessions, 500);
    })
    .await;
}

#[tokio::test]
async fn strangers_are_told_what_is_wrong() {
    served(|path| {
        let ask = |request: &str| {
            use std::io::{Read, Write};
            let mut stream = StdStream::connect(path).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let get =
            |target: &str| ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert!(get("/v1/status").starts_with("HTTP/1.1 200"));
        assert!(get("/").starts_with("HTTP/1.1 404"));
        assert!(get("/v1/sessions?port=x").starts_with("HTTP/1.1 400"));
        assert!(get("/v1/sessions?zone=moon").contains("moon"));
        let wrong = ask("POST /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(wrong.starts_with("HTTP/1.1 405") && wrong.to_lowercase().contains("allow: get"), "{wrong}");
        let big = format!(
            "PUT /v1/policy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            api::BODY_BYTES_MAX + 1
        );
        assert!(ask(&big).starts_with("HTTP/1.1 413"));
        assert!(ask("no HTTP at all\r\n\r\n").starts_with("HTTP/1.1 400"));
    })
    .await;
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    served(|path| {
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let path = path.to_owned();
                std::thread::spawn(move || Client::connect(&path).unwrap().status().unwrap().sessions)
            })
            .collect();
        assert!(clients.into_iter().all(|client| client.join().unwrap() == 500));
    })
    .await;
}
