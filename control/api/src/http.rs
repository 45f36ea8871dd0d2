//! How requests travel: HTTP/1.1, one path each below `/v1/`, filters in the query, a policy in the body.

use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{Fault, FaultKind};
use crate::request::{ListDrops, ListSessions, Request};
use crate::{PATH_BYTES_MAX, request};

/// What is wrong with a request: the fault to answer with.
pub type Decoded = Result<Request, Fault>;

/// A request as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body; empty for all but a deploy, dry or not.
    pub body: Vec<u8>,
}

const STATUS: &str = "/v1/status";
const POLICY: &str = "/v1/policy";
const DRY_RUN: &str = "/v1/policy/dry-run";
const EXPLAIN: &str = "/v1/explain";
const ASYMMETRIC: &str = "/v1/asymmetric";
const SESSIONS: &str = "/v1/sessions";
const SESSIONS_COUNT: &str = "/v1/sessions/count";
const EXPECTATIONS: &str = "/v1/expectations";
const BLOCKS: &str = "/v1/blocks";
const COUNTERS: &str = "/v1/counters";
const DROPS: &str = "/v1/drops";

/// Every path with the methods that it has.
pub(crate) const PATHS: &[(&str, &[Method])] = &[
    (STATUS, &[Method::GET]),
    (POLICY, &[Method::PUT]),
    (DRY_RUN, &[Method::POST]),
    (EXPLAIN, &[Method::GET]),
    (ASYMMETRIC, &[Method::GET]),
    (SESSIONS, &[Method::GET, Method::DELETE]),
    (SESSIONS_COUNT, &[Method::GET]),
    (EXPECTATIONS, &[Method::GET]),
    (BLOCKS, &[Method::GET, Method::POST, Method::DELETE]),
    (COUNTERS, &[Method::GET]),
    (DROPS, &[Method::GET]),
];

/// The methods that a path has, as the header `Allow` lists them; empty for a path that is not there.
pub fn methods_text(path: &str) -> String {
    let methods = PATHS.iter().find(|(known, _)| *known == path).map_or(&[][..], |(_, methods)| *methods);
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// Whether a request by this method may change something, or makes the appliance read files: whoever may only ask may
/// not send it.
pub fn is_for_admins(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

impl Request {
    /// The request as it travels.
    pub fn encode(&self) -> Encoded {
        let get = |path: &str, query: String| Encoded {
            method: Method::GET,
            path: if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") },
            body: Vec::new(),
        };
        match self {
            Self::Status => get(STATUS, String::new()),
            Self::Deploy(deploy) => {
                let body = serde_json::to_vec(deploy).expect("strings are JSON");
                Encoded { method: Method::PUT, path: POLICY.to_owned(), body }
            }
            Self::DryRun(deploy) => {
                let body = serde_json::to_vec(deploy).expect("strings are JSON");
                Encoded { method: Method::POST, path: DRY_RUN.to_owned(), body }
            }
            Self::Explain(explain) => get(EXPLAIN, query(explain)),
            Self::Asymmetric => get(ASYMMETRIC, String::new()),
            Self::ListSessions(list) => get(SESSIONS, joined(&list.filter, &list.page)),
            Self::CountSessions(filter) => get(SESSIONS_COUNT, query(filter)),
            Self::EndSessions(filter) => Encoded { method: Method::DELETE, ..get(SESSIONS, query(filter)) },
            Self::ListExpectations(filter) => get(EXPECTATIONS, query(filter)),
            Self::ListBlocks(filter) => get(BLOCKS, query(filter)),
            Self::Block(block) => Encoded { method: Method::POST, ..get(BLOCKS, query(block)) },
            Self::ReleaseBlocks(filter) => Encoded { method: Method::DELETE, ..get(BLOCKS, query(filter)) },
            Self::Counters => get(COUNTERS, String::new()),
            Self::ListDrops(list) => get(DROPS, joined(&list.filter, &list.page)),
        }
    }

    /// The request that came by `method`, `path`, `query` and `body`.
    pub fn decode(method: &Method, path: &str, query: &str, body: &[u8]) -> Decoded {
        if path.len() + query.len() > PATH_BYTES_MAX {
            return Err(Fault::new(FaultKind::TooLarge, "the path is too long"));
        }
        let methods = PATHS.iter().find(|(known, _)| *known == path).map(|(_, methods)| *methods);
        let Some(methods) = methods else {
            let known: Vec<_> = PATHS.iter().map(|(known, _)| *known).collect();
            let message = format!("there is no {path}: there are {}", known.join(", "));
            return Err(Fault::new(FaultKind::NotFound, message));
        };
        if !methods.contains(method) {
            let message = format!("{path} has no {method}");
            return Err(Fault::new(FaultKind::MethodNotAllowed, message));
        }
        match (path, method) {
            (STATUS, _) => parsed::<Nothing>(query).map(|_| Self::Status),
            (COUNTERS, _) => parsed::<Nothing>(query).map(|_| Self::Counters),
            (ASYMMETRIC, _) => parsed::<Nothing>(query).map(|_| Self::Asymmetric),
            (EXPLAIN, _) => parsed(query).map(Self::Explain),
            (POLICY | DRY_RUN, _) => {
                parsed::<Nothing>(query)?;
                let deploy = serde_json::from_slice(body);
                let deploy = deploy.map_err(|error| bad(&format!("the body is wrong: {error}")))?;
                Ok(if path == POLICY { Self::Deploy(deploy) } else { Self::DryRun(deploy) })
            }
            (EXPECTATIONS, _) => parsed(query).map(Self::ListExpectations),
            (BLOCKS, &Method::POST) => {
                let block: crate::Block = parsed(query)?;
                within("seconds", Some(block.seconds), crate::BLOCK_SECONDS_MAX)?;
                Ok(Self::Block(block))
            }
            (BLOCKS, &Method::DELETE) => parsed(query).map(Self::ReleaseBlocks),
            (BLOCKS, _) => parsed(query).map(Self::ListBlocks),
            (SESSIONS_COUNT, _) => parsed(query).map(Self::CountSessions),
            (SESSIONS, &Method::DELETE) => parsed(query).map(Self::EndSessions),
            (SESSIONS, _) => {
                let (page, filter) = split(query, &["limit", "cursor"]);
                let (filter, page) = (parsed(&filter)?, parsed::<request::SessionPageQuery>(&page)?);
                within("limit", page.limit, crate::PAGE_MAX)?;
                Ok(Self::ListSessions(ListSessions { filter, page }))
            }
            (_, _) => {
                let (page, filter) = split(query, &["limit", "after"]);
                let (filter, page) = (parsed(&filter)?, parsed::<request::DropPageQuery>(&page)?);
                within("limit", page.limit, crate::DROPS_MAX)?;
                Ok(Self::ListDrops(ListDrops { filter, page }))
            }
        }
    }
}

/// A path that takes no query.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn query(fields: &impl Serialize) -> String {
    serde_urlencoded::to_string(fields).expect("flat structures of words and numbers")
}

fn joined(one: &impl Serialize, other: &impl Serialize) -> String {
    let parts = [query(one), query(other)];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("&")
}

/// The query parted into the fields named and the others.
fn split(query: &str, names: &[&str]) -> (String, String) {
    let [mut named, mut others] = [(); 2].map(|()| form_urlencoded::Serializer::new(String::new()));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let part = if names.contains(&name.as_ref()) { &mut named } else { &mut others };
        part.append_pair(&name, &value);
    }
    (named.finish(), others.finish())
}

fn parsed<T: DeserializeOwned>(query: &str) -> Result<T, Fault> {
    serde_urlencoded::from_str(query).map_err(|error| bad(&format!("the query is wrong: {error}")))
}

fn within(name: &str, value: Option<u32>, max: u32) -> Result<(), Fault> {
    match value {
        Some(value) if !(1..=max).contains(&value) => {
            Err(bad(&format!("{name} is {value}: it is from 1 to {max}")))
        }
        _ => Ok(()),
    }
}

fn bad(message: &str) -> Fault {
    Fault::new(FaultKind::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_asks_travels_by_get() {
        let deploy = || Deploy { name: "p".into(), text: String::new(), directory: None };
        let changes = [
            Request::Deploy(deploy()),
            Request::DryRun(deploy()),
            Request::EndSessions(SessionFilter::default()),
        ];
        assert!(changes.iter().all(|request| is_for_admins(&request.encode().method)));
        let asks = [Request::Status, Request::Counters, Request::CountSessions(SessionFilter::default())];
        assert!(!asks.iter().any(|request| is_for_admins(&request.encode().method)));
    }

    use crate::{Block, BlockFilter, Deploy, DropFilter, ExpectationFilter, Explain, SessionFilter};

    fn decode(encoded: &Encoded) -> Decoded {
        let (path, query) = encoded.path.split_once('?').unwrap_or((&encoded.path, ""));
        Request::decode(&encoded.method, path, query, &encoded.body)
    }

    fn filter() -> SessionFilter {
        SessionFilter {
            id: Some("2a".parse().unwrap()),
            address: Some("2001:db8::/32".parse().unwrap()),
            source: Some("192.0.2.0/24".parse().unwrap()),
            destination: Some("203.0.113.80".parse().unwrap()),
            port: Some(443),
            protocol: Some("tcp".parse().unwrap()),
            zone: Some("a b&c".into()),
            state: Some("established".parse().unwrap()),
            rule: Some("-".parse().unwrap()),
            vlan: Some(0),
            from: Some("lan".parse().unwrap()),
        }
    }

    #[test]
    fn every_request_arrives_as_it_was_sent() {
        let page = request::SessionPageQuery { limit: Some(7), cursor: Some("1:42".into()) };
        let drops = DropFilter { reason: Some("land".into()), port: Some(53), ..DropFilter::default() };
        let after = request::DropPageQuery { limit: Some(9), after: Some(1 << 60) };
        let expected = ExpectationFilter {
            address: Some("192.0.2.0/24".parse().unwrap()),
            port: Some(40_000),
            rule: Some("ftp".parse().unwrap()),
            from: Some("wan".parse().unwrap()),
            parent: Some("2a".parse().unwrap()),
            ..ExpectationFilter::default()
        };
        let text = "version: 1\n# \"quoted\" ü\n".to_owned();
        for request in [
            Request::Status,
            Request::Deploy(Deploy { name: "p.yaml".into(), text, directory: Some("/etc".into()) }),
            Request::DryRun(Deploy { name: "p.yaml".into(), text: "version: 1\n".into(), directory: None }),
            Request::Explain(Explain {
                from: "dmz & more".into(),
                vlan: Some(20),
                packet: "tcp [2001:db8::1]:1 [2001:db8::2]:443".into(),
            }),
            Request::Explain(Explain {
                from: "lan".into(),
                vlan: None,
                packet: "gre 1.1.1.1 2.2.2.2".into(),
            }),
            Request::Asymmetric,
            Request::ListSessions(ListSessions { filter: filter(), page }),
            Request::ListSessions(ListSessions::default()),
            Request::CountSessions(filter()),
            Request::CountSessions(SessionFilter::default()),
            Request::EndSessions(filter()),
            Request::ListExpectations(ExpectationFilter::default()),
            Request::ListExpectations(expected),
            Request::ListBlocks(BlockFilter::default()),
            Request::Block(Block { source: "2001:db8::7".parse().unwrap(), seconds: 300, extend: true }),
            Request::ReleaseBlocks(BlockFilter {
                source: Some("198.51.100.0/24".parse().unwrap()),
                cause: Some("port-scan".into()),
            }),
            Request::Counters,
            Request::ListDrops(ListDrops { filter: drops, page: after }),
        ] {
            assert_eq!(decode(&request.encode()), Ok(request));
        }
    }

    fn fault(method: Method, path: &str) -> Fault {
        decode(&Encoded { method, path: path.into(), body: Vec::new() }).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(fault(Method::GET, "/v2/status").kind, FaultKind::NotFound);
        assert_eq!(fault(Method::POST, "/v1/status").kind, FaultKind::MethodNotAllowed);
        assert_eq!(fault(Method::PUT, "/v1/policy").kind, FaultKind::BadRequest);
        assert_eq!(fault(Method::PUT, "/v1/policy/dry-run").kind, FaultKind::MethodNotAllowed);
        assert!(fault(Method::GET, "/v1/explain?from=lan").message.contains("packet"));
        assert!(fault(Method::GET, "/v1/sessions?limit=0").message.contains("from 1 to 10000"));
        assert!(fault(Method::GET, "/v1/sessions?source=x").message.contains("an address or a prefix"));
        assert!(fault(Method::GET, "/v1/status?x=1").message.contains("unknown field"));
        let long = format!("/v1/sessions?zone={}", "x".repeat(PATH_BYTES_MAX));
        assert_eq!(fault(Method::GET, &long).kind, FaultKind::TooLarge);
    }

    #[test]
    fn a_mistyped_block_does_nothing() {
        assert!(fault(Method::POST, "/v1/blocks?source=x&seconds=5").message.contains("the query is wrong"));
        assert!(fault(Method::POST, "/v1/blocks?source=::1&seconds=0").message.contains("from 1 to 1728000"));
        assert!(fault(Method::DELETE, "/v1/blocks?sorce=192.0.2.1").message.contains("sorce"));
    }

    #[test]
    fn a_mistyped_filter_never_ends_every_session() {
        assert!(fault(Method::DELETE, "/v1/sessions?sorce=192.0.2.1").message.contains("sorce"));
        assert!(fault(Method::DELETE, "/v1/sessions?limit=5").message.contains("limit"));
        assert!(fault(Method::DELETE, "/v1/sessions?port=1&port=2").message.contains("duplicate"));
    }
}
