//! What topics promise, held against what connections have seen: one order for all, nothing lost
//! and nothing twice, all-or-nothing resumes.

use std::collections::{BTreeMap, HashMap};

/// How the message ends that is published when all are done.
pub const LAST: &str = "|last";
/// How one ends that tells of a gap.
const GAP: &str = "|gap";

/// A position, taken apart: `k3f9.1042`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub epoch: String,
    pub number: u64,
}

impl Position {
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, number) = text.split_once('.')?;
        Some(Self {
            epoch: epoch.to_owned(),
            number: number.parse().ok()?,
        })
    }
}

/// One connection's subscription to a topic with history, from its beginning to the connection's
/// end.
#[derive(Debug)]
pub struct Subscription {
    pub topic: String,
    pub since: Option<String>,
    pub position: Position,
    pub recovered: bool,
    pub missed: u64,
    /// What it got, in order.
    pub got: Vec<(Position, String)>,
    /// Before which of these it was told that something is missing.
    pub gaps: Vec<usize>,
    /// Whether it was there until the end, when everybody got a last message.
    pub stayed: bool,
}

/// A subscription to a topic without, with the moments that say what it must have got.
#[derive(Debug)]
pub struct Listening {
    pub topic: String,
    /// When it was in force.
    pub from: u64,
    pub got: Vec<String>,
    pub stayed: bool,
}

impl Subscription {
    /// Takes note of a message or of a gap.
    pub fn hear(&mut self, position: Option<Position>, data: String) {
        match position {
            Some(position) => self.got.push((position, data)),
            None => {
                assert!(data.ends_with(GAP), "without a position: {data}");
                self.gaps.push(self.got.len());
            }
        }
    }

    /// Whether it has got the [last](LAST) message.
    fn has_last(&self) -> bool {
        self.got.iter().any(|(_, data)| data.ends_with(LAST))
    }

    /// Whether nothing more has to come.
    pub fn is_complete(&self) -> bool {
        self.has_last() || !self.gaps.is_empty()
    }
}

impl Listening {
    /// Takes note of a message; a gap is no promise broken here.
    pub fn hear(&mut self, data: String) {
        if !data.ends_with(GAP) {
            self.got.push(data);
        }
    }

    /// Whether it has got the [last](LAST) message.
    pub fn has_last(&self) -> bool {
        self.got.iter().any(|data| data.ends_with(LAST))
    }
}

/// A publication that was answered, or perhaps carried out.
#[derive(Debug)]
pub struct Published {
    pub topic: String,
    pub data: String,
    pub start: u64,
    pub is_certain: bool,
}

/// Complains of the first promise that was not kept. `kept` messages are there for those who come
/// back, and somebody has listened from the first message to the last.
pub fn check_kept(all: &[Subscription], published: &[Published], kept: u64) -> Result<(), String> {
    // The order, by topic: number to data, as anybody has seen it.
    let mut orders: BTreeMap<&str, BTreeMap<u64, &str>> = BTreeMap::new();
    let mut epochs: HashMap<&str, &str> = HashMap::new();
    for one in all {
        let epoch = epochs.entry(&one.topic).or_insert(&one.position.epoch);
        if *epoch != one.position.epoch {
            return Err(format!("{}: two epochs", one.topic));
        }
        let known = one.since.as_deref().and_then(Position::parse);
        let should = known.as_ref().is_some_and(|since| {
            since.epoch == one.position.epoch
                && since.number <= one.position.number
                && one.position.number - since.number <= kept
        });
        if one.recovered != should {
            return Err(format!("recovered is not {should}: {one:?}"));
        }
        let first = match (&known, one.recovered) {
            (Some(since), true) => since.number + 1,
            _ => one.position.number + 1,
        };
        if one.missed != one.position.number + 1 - first {
            return Err(format!("not as many missed: {one:?}"));
        }
        let mut next = first;
        for (place, (position, data)) in one.got.iter().enumerate() {
            let is_due = match one.gaps.contains(&place) {
                true => position.number >= next,
                false => position.number == next,
            };
            if !is_due || position.epoch != one.position.epoch {
                return Err(format!("{next} is due, not {position:?}: {one:?}"));
            }
            next = position.number + 1;
            let order = orders.entry(&one.topic).or_default();
            let same = order.entry(position.number).or_insert(data);
            if same != data {
                return Err(format!("{position:?} is {same:?} for others: {one:?}"));
            }
        }
    }
    // Whoever stayed has got the last message, and so everything before it.
    if let Some(one) = all.iter().find(|one| one.stayed && !one.is_complete()) {
        return Err(format!("the last one is missing: {one:?}"));
    }
    for (topic, order) in &orders {
        let of_it = || published.iter().filter(|one| one.topic == *topic);
        // Somebody has seen everything.
        let is_whole = all.iter().any(|one| {
            one.topic == *topic && one.position.number == 0 && one.stayed && one.gaps.is_empty()
        });
        for one in of_it() {
            let count = order.values().filter(|data| **data == one.data).count();
            // Behind the first of the last ones nobody has looked.
            let is_due = one.is_certain && is_whole && !one.data.ends_with(LAST);
            if count > 1 || count == 0 && is_due {
                return Err(format!("{count} times in the order: {one:?}"));
            }
        }
        if let Some(data) = order
            .values()
            .find(|data| of_it().all(|one| one.data != **data))
        {
            return Err(format!("nobody has published {data:?}"));
        }
    }
    Ok(())
}

/// The same for topics without history: one order, nothing twice, and everything that was published
/// while somebody listened, unless `may_miss`.
pub fn check_plain(
    all: &[Listening],
    published: &[Published],
    may_miss: bool,
) -> Result<(), String> {
    for one in all {
        for (place, data) in one.got.iter().enumerate() {
            if one.got[..place].contains(data) {
                return Err(format!("{data:?} came twice: {one:?}"));
            }
            if !published
                .iter()
                .any(|all| all.data == *data && all.topic == one.topic)
            {
                return Err(format!("nobody has published {data:?}: {one:?}"));
            }
        }
        let due = published.iter().filter(|sent| {
            sent.topic == one.topic && sent.is_certain && sent.start > one.from && one.stayed
        });
        for sent in due {
            if !may_miss && !one.got.contains(&sent.data) {
                return Err(format!("{sent:?} is missing: {one:?}"));
            }
        }
        // Two that both have seen, they have seen in the same order.
        for other in all.iter().filter(|other| other.topic == one.topic) {
            let mut places = one
                .got
                .iter()
                .filter_map(|data| other.got.iter().position(|theirs| theirs == data));
            let mut last = None;
            if !places.all(|place| last.replace(place).is_none_or(|before| before < place)) {
                return Err(format!("two orders: {one:?} and {other:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn broken_promises_are_found() {
    let at = |number| Position {
        epoch: "e".into(),
        number,
    };
    let one = |since: Option<&str>, recovered, missed, got: &[u64]| Subscription {
        topic: "t".into(),
        since: since.map(str::to_owned),
        position: at(5),
        recovered,
        missed,
        got: got.iter().map(|at_| (at(*at_), at_.to_string())).collect(),
        gaps: Vec::new(),
        stayed: false,
    };
    let published: Vec<_> = (0..10)
        .map(|number| Published {
            topic: "t".into(),
            data: number.to_string(),
            start: 0,
            is_certain: true,
        })
        .collect();
    let check = |all: &[Subscription]| check_kept(all, &published, 3).is_ok();
    assert!(check(&[
        one(None, false, 0, &[6, 7]),
        one(Some("e.4"), true, 1, &[5, 6])
    ]));
    assert!(!check(&[one(None, false, 0, &[6, 8])]), "a hole");
    let mut told = one(None, false, 0, &[6, 8]);
    told.gaps.push(1);
    assert!(check(&[told]), "a gap that was told");
    assert!(
        !check(&[one(None, false, 0, &[6, 7, 8, 9, 10])]),
        "invented"
    );
    assert!(!check(&[one(None, false, 0, &[6, 6])]), "twice");
    assert!(!check(&[one(None, false, 0, &[5, 6])]), "from the past");
    assert!(!check(&[one(Some("e.4"), true, 1, &[6])]), "not replayed");
    assert!(!check(&[one(Some("e.4"), false, 0, &[6])]), "it could be");
    assert!(!check(&[one(Some("e.1"), true, 4, &[2])]), "it could not");
    assert!(!check(&[one(Some("f.4"), true, 1, &[5])]), "another life");
    let mut late = one(None, false, 0, &[6]);
    late.stayed = true;
    assert!(!check(&[late, one(None, false, 0, &[6, 7])]), "the end");
    let mut other = one(None, false, 0, &[6]);
    other.got[0].1 = "x".into();
    assert!(!check(&[other, one(None, false, 0, &[6])]), "two orders");
}
