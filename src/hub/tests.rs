//! Topics against a model: whatever workers and clients do, and in whatever order, a subscriber
//! sees what it should.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::table::{Member, Subscribed};
use super::*;
use crate::config::limits::{TOPICS, WEBSOCKET};
use crate::websocket::extensions::{Parameters, negotiate, parse};
use crate::websocket::frame::Data;
use crate::websocket::{Handle, Outbox, Shared};

const FILE: &str = "chat_wsh.rhai";

/// A hub with workers that run when they are told to.
struct World {
    hub: Arc<Hub>,
    workers: Vec<(Rc<Shared>, Delivery)>,
    clients: Vec<Client>,
}

struct Client {
    member: Member,
    handle: Rc<Handle>,
    bytes: Vec<u8>,
    /// Its topics, and what it should get of each: from which message on, to which.
    subscriptions: HashMap<String, Arc<str>>,
    wanted: HashMap<String, Vec<usize>>,
}

impl World {
    fn new(workers: usize, send_queue: usize, limits: Limits) -> Self {
        let hub = Arc::new(Hub::new(workers, limits));
        let worker = |number| {
            let limits = crate::websocket::Limits {
                send_queue,
                ..WEBSOCKET
            };
            let shared = Rc::new(Shared::new(limits));
            let delivery =
                Delivery::new(Arc::clone(&hub), number, Rc::clone(&shared), Rc::default());
            (shared, delivery)
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            hub,
            clients: Vec::new(),
        }
    }

    /// A new client of this worker.
    fn client(&mut self, worker: usize, outbox: impl FnOnce(&Shared) -> Outbox) -> usize {
        let shared = &self.workers[worker].0;
        let connection = self.clients.len() as u64 + 1;
        let handle = Handle::new(connection, outbox(shared));
        shared.connections.enter(&handle);
        self.clients.push(Client {
            member: Member { worker, connection },
            handle,
            bytes: Vec::new(),
            subscriptions: HashMap::new(),
            wanted: HashMap::new(),
        });
        self.clients.len() - 1
    }

    fn plain_client(&mut self, worker: usize) -> usize {
        self.client(worker, |_| Outbox::default())
    }

    fn subscribe(&mut self, client: usize, topic: &str, since: Option<&str>) -> Subscribed {
        let member = self.clients[client].member;
        let subscribed = self.hub.subscribe(topic, FILE, member, since).unwrap();
        let name = Arc::clone(&subscribed.topic);
        let known = &mut self.clients[client].subscriptions;
        assert!(known.insert(topic.to_owned(), name).is_none());
        subscribed
    }

    fn unsubscribe(&mut self, client: usize, topic: &str) {
        let client = &mut self.clients[client];
        let name = client.subscriptions.remove(topic).expect("it subscribes");
        self.hub.unsubscribe(&name, client.member);
    }

    fn publish(&self, topic: &str, text: &str) -> usize {
        let settings = self.hub.settings(topic);
        let draft = Draft::plain(Data::Text, text.into());
        self.hub.publish(topic, FILE, settings, draft).unwrap()
    }

    /// Everything that waits is delivered, and taken by its client.
    async fn settle(&mut self) {
        for _ in 0..1000 {
            let mut is_quiet = true;
            for (_, delivery) in &mut self.workers {
                while delivery.turn().await {
                    is_quiet = false;
                }
                is_quiet &= delivery.sizes().2 == 0;
            }
            for client in &mut self.clients {
                client.take(usize::MAX);
                // As its task would say that has written.
                let Member { worker, connection } = client.member;
                self.workers[worker].0.relieve(connection);
            }
            if is_quiet {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("something is held for ever");
    }
}

impl Client {
    fn take(&mut self, most: usize) {
        self.bytes.extend(self.handle.take_unsent(most));
    }

    /// The texts that it has got, and the code of a Close behind them.
    fn got(&self) -> (Vec<String>, Option<u16>) {
        let (mut rest, mut texts) = (&self.bytes[..], Vec::new());
        while let [first, length, tail @ ..] = rest {
            assert!(*length < 126, "short messages");
            let (payload, tail) = tail.split_at(usize::from(*length));
            match first {
                0x81 => texts.push(String::from_utf8(payload.to_vec()).unwrap()),
                0x88 => return (texts, Some(u16::from_be_bytes([payload[0], payload[1]]))),
                other => panic!("a frame that begins with {other:x}"),
            }
            rest = tail;
        }
        (texts, None)
    }
}

fn keeping(history: usize, slow: Slow) -> Settings {
    Settings {
        history,
        age: Duration::from_secs(60),
        slow,
        ..Settings::default()
    }
}

/// Subscribers of all workers see one order, with nothing lost and nothing twice; those that come
/// back see what they have missed first, or nothing of it.
#[tokio::test]
async fn random_histories_are_as_the_model_says() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(3, random.usize(200..400), TOPICS);
        let topics = ["plain", "kept/a", "kept/b"];
        // Nobody is slow for good: what is not taken in time is held, or this is not what is tested
        // here.
        world
            .hub
            .declare("kept/*", FILE, 1, keeping(random.usize(1..12), Slow::Close));
        for worker in [0, 0, 1, 2, 2] {
            world.plain_client(worker);
        }
        let mut log: HashMap<&str, usize> = HashMap::new();
        let mut positions: Vec<(&str, String, usize)> = Vec::new();
        for _ in 0..random.usize(1..150) {
            let topic = *random.choice(&topics).unwrap();
            let client = random.usize(..world.clients.len());
            let published = log.get(topic).copied().unwrap_or_default();
            let subscribes = world.clients[client].subscriptions.contains_key(topic);
            match random.usize(..10) {
                0 | 1 if !subscribes => {
                    let known = random
                        .choice(&positions)
                        .filter(|known| known.0 == topic)
                        .cloned();
                    let since = known.as_ref().map(|(_, position, _)| &**position);
                    let subscribed = world.subscribe(client, topic, since);
                    let mut from = published;
                    if let (true, Some((_, _, at))) = (subscribed.recovered, known) {
                        from = at;
                        assert_eq!(subscribed.missed, published - at, "seed {seed}");
                    } else {
                        assert_eq!(subscribed.missed, 0, "seed {seed}");
                    }
                    if let Some(position) = subscribed.position {
                        positions.push((topic, position.to_string(), published));
                    }
                    world.clients[client]
                        .wanted
                        .entry(topic.into())
                        .or_default()
                        .extend(from..published);
                }
                2 if subscribes => {
                    // What is under way is delivered before, so that the model knows what it got.
                    world.settle().await;
                    world.unsubscribe(client, topic);
                }
                3 => {
                    let most = random.usize(..200);
                    world.clients[client].take(most);
                }
                4 | 5 => {
                    for (_, delivery) in &mut world.workers {
                        for _ in 0..random.usize(..4) {
                            delivery.turn().await;
                        }
                    }
                }
                _ => {
                    // Everybody keeps up.
                    if random.bool() {
                        world.settle().await;
                    }
                    for client in &mut world.clients {
                        client.take(usize::MAX);
                    }
                    let count = world.publish(topic, &format!("{topic} {published}"));
                    let mut wanted = 0;
                    for client in &mut world.clients {
                        if client.subscriptions.contains_key(topic) {
                            client
                                .wanted
                                .entry(topic.into())
                                .or_default()
                                .push(published);
                            wanted += 1;
                        }
                    }
                    assert_eq!(count, wanted, "seed {seed}");
                    *log.entry(topic).or_default() += 1;
                    if let Some(position) = world.hub.position(topic, FILE).unwrap() {
                        positions.push((topic, position.to_string(), published + 1));
                    }
                    for (_, delivery) in &mut world.workers {
                        while delivery.turn().await {}
                    }
                }
            }
        }
        world.settle().await;
        for client in &world.clients {
            let (texts, closed) = client.got();
            assert_eq!(closed, None, "seed {seed}");
            for topic in topics {
                let got: Vec<_> = texts
                    .iter()
                    .filter_map(|text| text.strip_prefix(topic)?.trim().parse::<usize>().ok())
                    .collect();
                let wanted = client.wanted.get(topic).cloned().unwrap_or_default();
                assert_eq!(got, wanted, "seed {seed}, {topic}");
            }
        }
        // Whoever leaves leaves nothing behind.
        for client in 0..world.clients.len() {
            let topics: Vec<_> = world.clients[client]
                .subscriptions
                .keys()
                .cloned()
                .collect();
            for topic in topics {
                world.unsubscribe(client, &topic);
            }
        }
        world.settle().await;
        assert!(
            world
                .workers
                .iter()
                .all(|(_, delivery)| delivery.sizes() == (0, 0, 0))
        );
        assert_eq!(world.hub.subscribers("plain"), 0);
        assert!(
            world
                .hub
                .topics(10)
                .iter()
                .all(|name| name.starts_with("kept/"))
        );
    }
}

/// Two subscribers, one of whom takes nothing: what either gets, and what was counted.
async fn one_is_slow(slow: Slow) -> (World, [(Vec<String>, Option<u16>); 2]) {
    let mut world = World::new(1, 50, TOPICS);
    world.hub.declare("t", FILE, 1, keeping(0, slow));
    let [quick, lazy] = [0, 0].map(|worker| world.plain_client(worker));
    world.subscribe(quick, "t", None);
    world.subscribe(lazy, "t", None);
    for number in 0..100 {
        assert_eq!(world.publish("t", &format!("message {number:02}")), 2);
        while world.workers[0].1.turn().await {}
        world.clients[quick].take(usize::MAX);
    }
    world.settle().await;
    let got = [quick, lazy].map(|client| world.clients[client].got());
    (world, got)
}

fn numbers(range: impl Iterator<Item = usize>) -> Vec<String> {
    range.map(|number| format!("message {number:02}")).collect()
}

/// Of messages with 12 bytes the fifth is the first that finds 50 unsent.
#[tokio::test]
async fn slow_subscribers_are_closed_or_miss_messages_and_others_notice_nothing() {
    let count = |world: &World| {
        let tally = &world.hub.tally;
        [
            &tally.published,
            &tally.delivered,
            &tally.dropped,
            &tally.closed,
        ]
        .map(|counter| counter.load(Ordering::Relaxed))
    };
    let (world, [quick, lazy]) = one_is_slow(Slow::Close).await;
    assert_eq!(quick, (numbers(0..100), None));
    assert_eq!(lazy, (numbers(0..5), Some(1013)));
    assert_eq!(count(&world), [100, 105, 0, 1]);

    let (world, [quick, lazy]) = one_is_slow(Slow::Drop).await;
    assert_eq!(quick, (numbers(0..100), None));
    assert_eq!(lazy, (numbers(0..5), None));
    assert_eq!(count(&world), [100, 105, 95, 0]);

    let (world, [quick, lazy]) = one_is_slow(Slow::Latest).await;
    assert_eq!(quick, (numbers(0..100), None));
    assert_eq!(lazy, (numbers((0..5).chain([99])), None));
    assert_eq!(count(&world), [100, 106, 94, 0]);
}

/// More than the send queue takes at once: it is sent as there is room, and what is published
/// meanwhile comes behind it.
#[tokio::test]
async fn what_was_missed_is_no_reason_to_be_slow() {
    let mut world = World::new(1, 50, TOPICS);
    world.hub.declare("t", FILE, 1, keeping(1000, Slow::Close));
    let client = world.plain_client(0);
    let start = world.hub.position("t", FILE).unwrap().unwrap().to_string();
    for number in 0..80 {
        world.publish("t", &format!("message {number:02}"));
    }
    let subscribed = world.subscribe(client, "t", Some(&start));
    assert!(subscribed.recovered);
    assert_eq!(subscribed.missed, 80);
    while world.workers[0].1.turn().await {}
    assert!(world.clients[client].handle.buffered() < 100);
    for number in 80..83 {
        world.publish("t", &format!("message {number:02}"));
        while world.workers[0].1.turn().await {}
    }
    world.settle().await;
    assert_eq!(world.clients[client].got(), (numbers(0..83), None));
}

#[tokio::test]
async fn a_fragmented_message_is_not_interrupted() {
    let mut world = World::new(1, 10_000, TOPICS);
    let client = world.plain_client(0);
    world.subscribe(client, "t", None);
    let handle = Rc::clone(&world.clients[client].handle);
    handle
        .queue(|outbox| outbox.fragment(Data::Text, b"one ", false))
        .unwrap();
    world.publish("t", "published");
    while world.workers[0].1.turn().await {}
    handle
        .queue(|outbox| outbox.fragment(Data::Text, b"message", true))
        .unwrap();
    world.settle().await;
    let wanted = b"\x01\x04one \x80\x07message\x81\x09published";
    assert_eq!(world.clients[client].bytes, wanted);
}

#[tokio::test]
async fn its_own_message_is_not_sent_to_whoever_publishes() {
    let mut world = World::new(2, 10_000, TOPICS);
    let [speaker, other] = [0, 1].map(|worker| world.plain_client(worker));
    world.subscribe(speaker, "t", None);
    world.subscribe(other, "t", None);
    let draft = Draft::plain(Data::Text, b"mine".to_vec());
    let connection = world.clients[speaker].member.connection;
    let draft = draft.except(Some(connection));
    world
        .hub
        .publish("t", FILE, Settings::default(), draft)
        .unwrap();
    world.settle().await;
    assert_eq!(world.clients[speaker].got().0, [""; 0]);
    assert_eq!(world.clients[other].got().0, ["mine"]);
}

/// With and without a window that is kept, what comes is what was published, and so are the
/// messages around it.
#[tokio::test]
async fn subscribers_that_agreed_on_compression_share_what_is_compressed() {
    use crate::websocket::{Decoder, Incoming};
    for (context, sizes) in [
        (false, [20, 3000]),
        (true, [20, 3000]),
        (true, [70_000, 80_000]),
    ] {
        let mut world = World::new(1, 1 << 20, TOPICS);
        let terms = Parameters {
            threshold: 100,
            server_context: context,
            ..Parameters::from(&crate::config::Deflate::default())
        };
        let offers = parse(["permessage-deflate"].into_iter()).unwrap();
        let agreed = negotiate(&offers, &terms).expect("it is agreed on");
        let clients = [0, 0].map(|worker| {
            world.client(worker, |shared| {
                Outbox::default().deflating(agreed, Rc::clone(&shared.pool))
            })
        });
        for client in clients {
            world.subscribe(client, "t", None);
        }
        let mut wanted = Vec::new();
        for round in 0..4 {
            for size in sizes {
                let text = format!("{round} {}", "abc ".repeat(size / 4));
                for client in clients {
                    let message = crate::websocket::Message::Text(text.as_str().into());
                    world.clients[client].handle.send(&message).unwrap();
                }
                world.publish("t", &text);
                while world.workers[0].1.turn().await {}
                wanted.extend([text.clone(), text]);
            }
        }
        world.settle().await;
        for client in clients {
            let bytes = &world.clients[client].bytes;
            let total: usize = wanted.iter().map(String::len).sum();
            assert!(bytes.len() < total / 4, "{} of {total}", bytes.len());
            // The peer's window, as a browser keeps it: through the decoder of this side, which
            // wants frames to be masked.
            let mut masked = mask(bytes);
            let pool = Rc::clone(&world.workers[0].0.pool);
            let peer = Parameters {
                client_context: context,
                ..terms
            };
            let mut decoder = Decoder::inflating(&peer, pool);
            let mut got = Vec::new();
            let mut rest = &mut masked[..];
            while !rest.is_empty() {
                decoder.refresh(usize::MAX);
                match decoder
                    .next(&mut rest, &WEBSOCKET, |_, _| {})
                    .expect("valid frames")
                {
                    Some(Incoming::Message(message)) => {
                        got.push(String::from_utf8(message.parts().1.to_vec()).unwrap());
                    }
                    Some(other) => panic!("{other:?}"),
                    None => {}
                }
            }
            assert!(got == wanted, "context {context}, {sizes:?}");
        }
    }
}

/// Server frames as a client would send them, with a mask of zeros.
fn mask(mut frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, length, tail @ ..] = frames {
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = match extended {
            0 => usize::from(*length),
            _ => tail[..extended]
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        };
        let end = 2 + extended + length;
        out.push(*first);
        out.push(frames[1] | 0x80);
        out.extend_from_slice(&frames[2..2 + extended]);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&frames[2 + extended..end]);
        frames = &frames[end..];
    }
    out
}

#[tokio::test]
async fn one_handler_cannot_take_the_topics_of_another() {
    let limits = Limits {
        topics: 2,
        name: 8,
        ..TOPICS
    };
    let mut world = World::new(1, 100, limits);
    let client = world.plain_client(0);
    world.subscribe(client, "a", None);
    world.subscribe(client, "b", None);
    let member = world.clients[client].member;
    let more = |file| world.hub.subscribe("c", file, member, None).map(drop);
    assert_eq!(more(FILE), Err(Refused::Topics(2)));
    assert_eq!(more("other_wsh.rhai"), Ok(()));
    // Its name is known now, and who was first pays for it.
    assert_eq!(more(FILE), Ok(()));
    world.unsubscribe(client, "a");
    assert_eq!(
        world.hub.subscribe("d", FILE, member, None).map(drop),
        Ok(())
    );
    for name in ["", "012345678", "a\nb"] {
        let refused = world.hub.subscribe(name, FILE, member, None).map(drop);
        assert_eq!(refused, Err(Refused::Name(8)));
    }
}

#[test]
fn an_idle_topic_is_small() {
    assert!(size_of::<Settings>() <= 40);
    assert!(
        size_of::<Publication>() <= 128,
        "{}",
        size_of::<Publication>()
    );
}
