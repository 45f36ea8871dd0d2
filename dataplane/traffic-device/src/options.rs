//! What the environment variable says.

use std::path::PathBuf;
use std::time::Duration;

use sekisho_traffic::{
    Config, ConfigError, Family, FrameSize, Honest, Hostile, HostileKind, Load, Order, Protocol, Side,
};
use thiserror::Error;

/// The environment variable with the options, as `key=value,key=value`.
///
/// | key | value | if left out |
/// | --- | --- | --- |
/// | `lan`, `wan` | the devices' names | required |
/// | `sessions` | how many are opened first | 1000 |
/// | `protocol` | `udp`, `tcp`, `mixed` | `udp` |
/// | `family` | `4`, `6` | 4 |
/// | `size` | `64`, `imix` | 64 |
/// | `order` | `random`, `sequential` | `random` |
/// | `load` | `data`, `first` (packets of new sessions), `connections` (short ones, whole) | `data` |
/// | `hostile` | `syn-flood`, `fragments`, `collisions`, `server-syns`, `server-datagrams`, `icmp-errors` | none |
/// | `hostile_share` | of all frames, 0 to 0.5 | 0.25 |
/// | `hostile_from` | `lan`, `wan` | `wan`; `lan` for `collisions` |
/// | `honest` | connections a second that honest clients open to the published server, at most 4096 | none |
/// | `misplaced` | share of frames on another queue than their session's, 0 to 1 | 0 |
/// | `window` | sessions of a queue under way at once while they open | 1024 |
/// | `retry_ms` | after which a packet that did not come through is sent again | 1000 |
/// | `checksums`, `hash` | `on`, `off`: mark received packets as a NIC does that checks sums and hashes | `on` |
/// | `rate` | packets a second of both sides together, once the sessions are open; 0: as fast as they are taken | 0 |
/// | `latency` | `on`, `off`: from when a packet was due to when it came out | `off` |
/// | `warm_up_ms` | of the load, before latencies count | 1000 |
/// | `stats` | the file for the figures | none |
/// | `cpu` | of the thread that writes them | as the program has it |
pub const VARIABLE: &str = "SEKISHO_TRAFFIC";

/// What is wrong with the options.
#[derive(Debug, Error)]
pub(crate) enum OptionsError {
    #[error("{VARIABLE}: {0:?} is not key=value")]
    NoPair(String),
    #[error("{VARIABLE}: unknown key {0:?}")]
    UnknownKey(String),
    #[error("{VARIABLE}: {key}: {value:?} is not understood")]
    Value { key: String, value: String },
    #[error("{VARIABLE}: {0} is missing")]
    Missing(&'static str),
    #[error("{VARIABLE}: {0}")]
    Config(#[from] ConfigError),
}

/// The options. What of [`Options::config`] needs queues or the length of a tick is in [`Options::config_for`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) names: [String; 2],
    pub(crate) config: Config,
    pub(crate) retry: Duration,
    /// Connections of honest clients a second; 0 for none.
    pub(crate) honest: u32,
    pub(crate) checksums: bool,
    pub(crate) hash: bool,
    pub(crate) rate: f64,
    pub(crate) latency: bool,
    pub(crate) warm_up: Duration,
    pub(crate) stats: Option<PathBuf>,
    pub(crate) cpu: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            names: [String::new(), String::new()],
            config: Config::default(),
            retry: Duration::from_secs(1),
            honest: 0,
            checksums: true,
            hash: true,
            rate: 0.0,
            latency: false,
            warm_up: Duration::from_secs(1),
            stats: None,
            cpu: None,
        }
    }
}

/// The value of that name.
fn one_of<T: Copy>(value: &str, names: &[(&str, T)]) -> Option<T> {
    names.iter().find(|(name, _)| *name == value).map(|&(_, value)| value)
}

const SWITCH: &[(&str, bool)] = &[("on", true), ("off", false)];
const SIDES: &[(&str, Side)] = &[("lan", Side::Lan), ("wan", Side::Wan)];
const PROTOCOLS: &[(&str, Protocol)] =
    &[("udp", Protocol::Udp), ("tcp", Protocol::Tcp), ("mixed", Protocol::Mixed)];
const FAMILIES: &[(&str, Family)] = &[("4", Family::V4), ("6", Family::V6)];
const SIZES: &[(&str, FrameSize)] = &[("64", FrameSize::Smallest), ("imix", FrameSize::Imix)];
const ORDERS: &[(&str, Order)] = &[("random", Order::Random), ("sequential", Order::Sequential)];
const LOADS: &[(&str, Load)] =
    &[("data", Load::Data), ("first", Load::FirstPackets), ("connections", Load::Connections)];
/// Hostile frames as they are told piece by piece.
#[derive(Clone, Copy, Default)]
struct HostileDraft {
    kind: Option<HostileKind>,
    share: Option<f64>,
    from: Option<Side>,
}

impl HostileDraft {
    fn finish(self) -> Option<Hostile> {
        let kind = self.kind?;
        let usual = kind.only_from().unwrap_or(Side::Wan);
        Some(Hostile { kind, from: self.from.unwrap_or(usual), share: self.share.unwrap_or(0.25) })
    }
}

impl Options {
    /// Reads `key=value,key=value`.
    pub(crate) fn parse(text: &str) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        let mut hostile = HostileDraft::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| OptionsError::NoPair(pair.to_owned()))?;
            let taken = options.take(&mut hostile, key, value)?;
            taken.ok_or_else(|| OptionsError::Value { key: key.to_owned(), value: value.to_owned() })?;
        }
        for (name, key) in options.names.iter().zip(["lan", "wan"]) {
            if name.is_empty() {
                return Err(OptionsError::Missing(key));
            }
        }
        options.config.hostile = hostile.finish();
        Ok(options)
    }

    /// What the generator needs to know, on so many queues and with a clock of so many ticks a second.
    pub(crate) fn config_for(&self, queues: u16, ticks_hz: u64) -> Config {
        let retry = u64::try_from(self.retry.as_nanos() * u128::from(ticks_hz) / 1_000_000_000);
        let honest = (self.honest > 0)
            .then(|| Honest { interval: ticks_hz / u64::from(self.honest), retransmit: ticks_hz });
        Config { queues, retry: retry.unwrap_or(u64::MAX), honest, ..self.config }
    }

    /// `None` if the value is not understood.
    fn take(
        &mut self,
        hostile: &mut HostileDraft,
        key: &str,
        value: &str,
    ) -> Result<Option<()>, OptionsError> {
        let config = &mut self.config;
        let millis = |value: &str| value.parse().ok().map(Duration::from_millis);
        Ok(match key {
            "lan" => put(&mut self.names[0], Some(value.to_owned())),
            "wan" => put(&mut self.names[1], Some(value.to_owned())),
            "sessions" => put(&mut config.sessions, value.parse().ok()),
            "protocol" => put(&mut config.protocol, one_of(value, PROTOCOLS)),
            "family" => put(&mut config.family, one_of(value, FAMILIES)),
            "size" => put(&mut config.size, one_of(value, SIZES)),
            "order" => put(&mut config.order, one_of(value, ORDERS)),
            "load" => put(&mut config.load, one_of(value, LOADS)),
            "hostile" => put(
                &mut hostile.kind,
                HostileKind::ALL.into_iter().find(|kind| kind.name() == value).map(Some),
            ),
            "honest" => put(&mut self.honest, value.parse().ok()),
            "hostile_share" => put(&mut hostile.share, value.parse().ok().map(Some)),
            "hostile_from" => put(&mut hostile.from, one_of(value, SIDES).map(Some)),
            "misplaced" => put(&mut config.misplaced, value.parse().ok()),
            "window" => put(&mut config.window, value.parse().ok()),
            "retry_ms" => put(&mut self.retry, millis(value)),
            "checksums" => put(&mut self.checksums, one_of(value, SWITCH)),
            "hash" => put(&mut self.hash, one_of(value, SWITCH)),
            "rate" => {
                put(&mut self.rate, value.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0))
            }
            "latency" => put(&mut self.latency, one_of(value, SWITCH)),
            "warm_up_ms" => put(&mut self.warm_up, millis(value)),
            "stats" => put(&mut self.stats, Some(Some(PathBuf::from(value)))),
            "cpu" => put(&mut self.cpu, value.parse().ok().map(Some)),
            _ => return Err(OptionsError::UnknownKey(key.to_owned())),
        })
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let options = Options::parse("lan=net_null0,wan=net_null1").unwrap();
        let names = ["net_null0".to_owned(), "net_null1".to_owned()];
        assert_eq!(options, Options { names, ..Options::default() });
    }

    #[test]
    fn every_key_is_taken() {
        let text = "lan=a,wan=b,sessions=5,protocol=mixed,family=6,size=imix,order=sequential,load=data,\
            hostile=fragments,hostile_share=0.1,honest=1000,misplaced=0.5,window=9,retry_ms=7,checksums=off,hash=off,rate=1e6,\
            latency=on,warm_up_ms=3,stats=/tmp/s,cpu=1";
        let options = Options::parse(text).unwrap();
        let hostile = Hostile { kind: HostileKind::Fragments, from: Side::Wan, share: 0.1 };
        let config = Config {
            sessions: 5,
            protocol: Protocol::Mixed,
            family: Family::V6,
            size: FrameSize::Imix,
            order: Order::Sequential,
            load: Load::Data,
            hostile: Some(hostile),
            misplaced: 0.5,
            window: 9,
            ..Config::default()
        };
        assert_eq!(options.config, config);
        let honest = Some(Honest { interval: 2_000_000, retransmit: 2_000_000_000 });
        let made = Config { queues: 2, retry: 14_000_000, honest, ..config };
        assert_eq!(options.config_for(2, 2_000_000_000), made);
        assert_eq!((options.retry.as_millis(), options.warm_up.as_millis()), (7, 3));
        assert_eq!((options.checksums, options.hash, options.latency), (false, false, true));
        assert!((options.rate - 1e6).abs() < 1.0);
        assert_eq!((options.stats, options.cpu), (Some(PathBuf::from("/tmp/s")), Some(1)));
    }

    #[test]
    fn every_flood_has_a_name_and_comes_from_where_it_can() {
        for kind in HostileKind::ALL {
            let options = Options::parse(&format!("lan=a,wan=b,hostile={}", kind.name())).unwrap();
            let from = if kind == HostileKind::Collisions { Side::Lan } else { Side::Wan };
            assert_eq!(options.config.hostile, Some(Hostile { kind, from, share: 0.25 }));
            options.config_for(1, 1_000_000_000).check().unwrap();
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, word) in [
            ("wan=b", "lan is missing"),
            ("lan=a,wan=b,sessions=many", "\"many\" is not understood"),
            ("lan=a,wan=b,colour=red", "unknown key \"colour\""),
            ("lan=a,wan=b,fast", "\"fast\" is not key=value"),
            ("lan=a,wan=b,hostile=rain", "\"rain\" is not understood"),
            ("lan=a,wan=b,rate=-1", "\"-1\" is not understood"),
        ] {
            let error = Options::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
