//! `sekisho sessions`: lists, counts and ends the live sessions of the running appliance, and lists what their helpers
//! expect.

use std::io::{self, BufWriter, Write};

use sekisho_api::{
    Client, Expectation, ExpectationFilter, ListSessions, PAGE_MAX, PortName, Prefix, Protocol, RuleName,
    Session, SessionFilter, SessionId, SessionPageQuery, SessionState,
};

use super::remote::{Remote, failure};
use crate::failure::{Failure, Outcome};
use crate::output::{Table, amount, destination, json, source, span, vlans};

/// What the command line says.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Filters are joined by and. --json prints one document with all sessions, whose `id` is what \
                        --id takes.\nConnections that sessions with a helper have announced, and that may open without \
                        a rule, stand behind the sessions."
)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Only tell how many there are
    #[arg(long, conflicts_with_all = ["end", "limit"])]
    count: bool,
    /// End the sessions that fit: what either end still says is that of a stranger
    #[arg(long, conflicts_with = "limit")]
    end: bool,
    /// With --end and no filter: really all of them
    #[arg(long, requires = "end")]
    all: bool,
    /// Only list what helpers expect: connections that control sessions have announced
    #[arg(long, conflicts_with_all = ["count", "end", "limit", "zone", "state"])]
    expectations: bool,
    /// List so many sessions at the most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print one JSON document, as it comes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Which sessions.
#[derive(Debug, clap::Args)]
struct Filter {
    /// The session of that name
    #[arg(long)]
    id: Option<SessionId>,
    /// One end's address, or a prefix of it
    #[arg(long, value_name = "PREFIX")]
    address: Option<Prefix>,
    /// The address of the end that opened it
    #[arg(long, value_name = "PREFIX")]
    source: Option<Prefix>,
    /// The address of the other end
    #[arg(long, value_name = "PREFIX")]
    destination: Option<Prefix>,
    /// One end's port
    #[arg(long)]
    port: Option<u16>,
    /// tcp, udp, icmp, icmpv6, sctp, ... or a number
    #[arg(long)]
    protocol: Option<Protocol>,
    /// One end's zone
    #[arg(long)]
    zone: Option<String>,
    /// syn-sent, syn-received, established, half-closed, closing, time-wait, reset, unreplied, replied, stream
    #[arg(long)]
    state: Option<SessionState>,
    /// The rule that allowed it; - for the default action
    #[arg(long, allow_hyphen_values = true)]
    rule: Option<RuleName>,
    /// The outer VLAN; 0 for untagged
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=4094))]
    vlan: Option<u16>,
    /// The port of the appliance on which its first packet arrived: lan or wan
    #[arg(long, value_name = "PORT")]
    from: Option<PortName>,
}

impl Filter {
    fn to_api(&self) -> SessionFilter {
        SessionFilter {
            id: self.id,
            address: self.address,
            source: self.source,
            destination: self.destination,
            port: self.port,
            protocol: self.protocol,
            zone: self.zone.clone(),
            state: self.state,
            rule: self.rule.clone(),
            vlan: self.vlan,
            from: self.from,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    let filter = args.filter.to_api();
    if args.end && !args.all && filter == SessionFilter::default() {
        let message = "sekisho: --end without a filter would end every session: name which, or say --all";
        return Err(Failure::Input(message.to_owned()));
    }
    let mut client = args.remote.connect()?;
    if args.count || args.end {
        let answered = if args.end { client.end_sessions(filter) } else { client.count_sessions(filter) };
        let count = answered.map_err(failure)?;
        return super::print(&match args.json {
            true => json(&count)?,
            false => format!("{}\n", count.sessions),
        });
    }
    if args.expectations {
        let expected = expected(&mut client, &filter)?;
        return super::print(&match args.json {
            true => json(&sekisho_api::Expectations { expectations: expected })?,
            false => expected_text(&expected),
        });
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let listed = if args.json {
        list_json(&mut client, &filter, args.limit, &mut out)
    } else {
        list_text(&mut client, &filter, args.limit, &mut out)
    };
    listed.and_then(|()| out.flush().map_err(Failure::of_output))
}

/// What the sessions that fit expect; nothing where the filter asks for what only sessions have.
fn expected(client: &mut Client, filter: &SessionFilter) -> Result<Vec<Expectation>, Failure> {
    if filter.zone.is_some() || filter.state.is_some() {
        return Ok(Vec::new());
    }
    let filter = ExpectationFilter {
        address: filter.address,
        source: filter.source,
        destination: filter.destination,
        port: filter.port,
        protocol: filter.protocol,
        rule: filter.rule.clone(),
        vlan: filter.vlan,
        from: filter.from,
        parent: filter.id,
    };
    Ok(client.expectations(filter).map_err(failure)?.expectations)
}

fn expected_text(expected: &[Expectation]) -> String {
    if expected.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["EXPECTED", "SOURCE", "DESTINATION", "HELPER", "RULE", "ENDS IN", "SESSION"]);
    for one in expected {
        let tuple = &one.five_tuple;
        table.row([
            tuple.protocol.to_string(),
            source(tuple),
            destination(tuple),
            one.helper.clone(),
            one.rule.clone().unwrap_or_else(|| "-".into()),
            span(one.expires_in_seconds),
            format!("{} {}", one.parent, vlans(&one.vlans)).trim_end().to_owned(),
        ]);
    }
    table.to_text()
}

fn list_json(
    client: &mut Client,
    filter: &SessionFilter,
    limit: Option<u64>,
    out: &mut impl Write,
) -> Outcome {
    out.write_all(b"{\"sessions\":[").map_err(Failure::of_output)?;
    let mut separator: &[u8] = b"\n";
    pages(client, filter, limit, |session| {
        out.write_all(separator)?;
        separator = b",\n";
        Ok(serde_json::to_writer(&mut *out, session)?)
    })?;
    out.write_all(b"\n],\"expectations\":[").map_err(Failure::of_output)?;
    let mut separator: &[u8] = b"\n";
    for one in expected(client, filter)? {
        out.write_all(separator).map_err(Failure::of_output)?;
        separator = b",\n";
        serde_json::to_writer(&mut *out, &one).map_err(|error| Failure::of_output(error.into()))?;
    }
    out.write_all(b"\n]}\n").map_err(Failure::of_output)
}

fn list_text(
    client: &mut Client,
    filter: &SessionFilter,
    limit: Option<u64>,
    out: &mut impl Write,
) -> Outcome {
    let heading = ["PROTO", "SOURCE", "DESTINATION", "STATE", "RULE", "AGE", "ENDS IN", "PACKETS", "BYTES"];
    let mut heading = Some(heading.map(str::to_owned));
    pages(client, filter, limit, |session| {
        if let Some(heading) = heading.take() {
            write_row(out, &heading, "")?;
        }
        write_row(out, &cells(session), &note(session))
    })?;
    let expected = expected_text(&expected(client, filter)?);
    if expected.is_empty() {
        return Ok(());
    }
    write!(out, "\n{expected}").map_err(Failure::of_output)
}

/// What few sessions have: VLANs, a helper, a control session.
fn note(session: &Session) -> String {
    let mut notes = vec![vlans(&session.vlans)];
    notes.extend(session.helper.clone());
    notes.extend(session.parent.map(|parent| format!("of {parent}")));
    notes.retain(|note| !note.is_empty());
    notes.join(" ")
}

/// Asks for page after page, and shows each session.
fn pages(
    client: &mut Client,
    filter: &SessionFilter,
    limit: Option<u64>,
    mut each: impl FnMut(&Session) -> io::Result<()>,
) -> Outcome {
    let (mut left, mut cursor) = (limit.unwrap_or(u64::MAX), None);
    while left > 0 {
        let room = u32::try_from(left).unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let page = SessionPageQuery { limit: Some(room), cursor };
        let page = client.sessions(ListSessions { filter: filter.clone(), page }).map_err(failure)?;
        for session in &page.sessions {
            each(session).map_err(Failure::of_output)?;
        }
        left = left.saturating_sub(page.sessions.len() as u64);
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok(())
}

fn cells(session: &Session) -> [String; 9] {
    let tuple = &session.five_tuple;
    [
        tuple.protocol.to_string(),
        source(tuple),
        destination(tuple),
        session.state.to_string(),
        session.rule.clone().unwrap_or_else(|| "-".into()),
        span(session.age_seconds),
        span((session.timeout_seconds - session.idle_seconds).max(0.0)),
        amount(session.from_lan.packets + session.from_wan.packets),
        amount(session.from_lan.bytes + session.from_wan.bytes),
    ]
}

/// Columns of fixed width, because rows are shown as they come; a longer cell (IPv6) pushes the others on.
fn write_row(out: &mut impl Write, row: &[String; 9], note: &str) -> io::Result<()> {
    let [protocol, source, destination, state, rule, age, left, packets, bytes] = row;
    let line = format!(
        "{protocol:<6} {source:<21} {destination:<21} {state:<12} {rule:<14} {age:>7} {left:>7} {packets:>8} {bytes:>7} {note}"
    );
    writeln!(out, "{}", line.trim_end())
}
