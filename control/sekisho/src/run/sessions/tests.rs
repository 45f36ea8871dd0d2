use std::collections::HashSet;

use sekisho_api::{ListSessions, SessionFilter, SessionPageQuery};

use super::*;
use crate::run::tests::{Appliance, OPEN, datagram};

const SESSIONS: u32 = 3_000;

async fn full(workers: u16) -> Appliance {
    let appliance = Appliance::start(OPEN, workers, (0..SESSIONS).map(datagram).collect(), None);
    appliance.until(|control| control.fleet.sessions_live() == u64::from(SESSIONS)).await;
    appliance
}

fn asking(limit: u32, cursor: Option<String>, filter: &SessionFilter) -> ListSessions {
    ListSessions { filter: filter.clone(), page: SessionPageQuery { limit: Some(limit), cursor } }
}

async fn pages(appliance: &Appliance, limit: u32, filter: &SessionFilter) -> Vec<Vec<api::Session>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let page = list(&appliance.control, asking(limit, cursor, filter)).await.unwrap();
        assert!(page.sessions.len() <= limit as usize);
        pages.push(page.sessions);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn every_session_is_on_exactly_one_page() {
    let appliance = full(3).await;
    for limit in [1_000, 7, 10_000] {
        let pages = pages(&appliance, limit, &SessionFilter::default()).await;
        let all: Vec<_> = pages.iter().flatten().map(|session| session.id).collect();
        let different: HashSet<_> = all.iter().collect();
        assert_eq!((all.len(), different.len()), (SESSIONS as usize, SESSIONS as usize), "limit {limit}");
        assert!(pages.len() >= SESSIONS.div_ceil(limit) as usize);
    }
}

fn of_host(prefix: &str) -> SessionFilter {
    SessionFilter { source: Some(prefix.parse().unwrap()), ..SessionFilter::default() }
}

#[tokio::test]
async fn filters_choose_and_names_are_told() {
    let appliance = full(2).await;
    let pages = pages(&appliance, 1_000, &of_host("10.0.1.0/24")).await;
    let found: Vec<_> = pages.into_iter().flatten().collect();
    assert_eq!(found.len(), 256);
    let one = &found[0];
    assert_eq!((one.rule.as_deref(), one.source_zone.as_deref()), (Some("lan-out"), Some("lan")));
    assert_eq!((one.destination_zone.as_deref(), one.five_tuple.destination_port), (Some("wan"), Some(53)));
    let by_name = SessionFilter { id: Some(one.id), ..SessionFilter::default() };
    let counted = count(&appliance.control, by_name).await.unwrap();
    assert_eq!(counted.sessions, 1);
}

#[tokio::test]
async fn ending_ends_what_fits_and_nothing_else() {
    let appliance = full(2).await;
    let counted = count(&appliance.control, of_host("10.0.2.0/24")).await.unwrap();
    let ended = end(&appliance.control, of_host("10.0.2.0/24")).await.unwrap();
    assert_eq!((counted.sessions, ended.sessions), (256, 256));
    let left = count(&appliance.control, SessionFilter::default()).await.unwrap();
    assert_eq!(left.sessions, u64::from(SESSIONS) - 256);
    assert_eq!(appliance.control.fleet.sessions_live(), left.sessions);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let appliance = Appliance::start(OPEN, 1, Vec::new(), None);
    for cursor in ["", "7", "9:0", "x:y", "-1:0"] {
        let asked = asking(1, Some(cursor.into()), &SessionFilter::default());
        let fault = list(&appliance.control, asked).await.unwrap_err();
        assert_eq!(fault.kind, api::FaultKind::BadRequest, "{cursor}");
    }
}
