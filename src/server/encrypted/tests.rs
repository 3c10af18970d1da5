//! A stream with rustls' client at its other end, over pipes of any width.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::*;

type Client = ClientStream<DuplexStream>;
type Server = Box<TlsStream<DuplexStream>>;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Both ends of a stream that holds so many bytes in each direction.
async fn pair(version: &'static SupportedProtocolVersion, room: usize) -> (Client, Server) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    // They would wait for the client to read, which waits for the server here.
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = duplex(room);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (client, server) = tokio::join!(
        connector.connect(name, near),
        TlsStream::accept(far, Arc::new(server))
    );
    let (server, certificate) = server.map_err(|(error, _)| error).unwrap();
    assert_eq!(certificate, None);
    (client.unwrap(), server)
}

fn owns_nothing(server: &Server) -> bool {
    let Session {
        received, unsent, ..
    } = &server.session;
    [&server.unfinished, received, unsent].map(Vec::capacity) == [0; 3]
}

#[tokio::test]
async fn an_idle_stream_owns_no_buffer() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 1 << 20).await;
        assert!(owns_nothing(&server));
        for length in [1, 16 * 1024, 100_000] {
            client.write_all(&vec![7; length]).await.unwrap();
            client.flush().await.unwrap();
            let mut bytes = vec![0; length];
            server.read_exact(&mut bytes).await.unwrap();
            server.write_all(&bytes).await.unwrap();
            client.read_exact(&mut bytes).await.unwrap();
            assert!(bytes.iter().all(|byte| *byte == 7));
            assert!(owns_nothing(&server), "after {length} bytes");
            // Its keys are there again when they are needed.
            assert_eq!(server.may_rest(), version == &TLS13);
            server.rest();
            assert!(!server.may_rest());
        }
    }
}

/// Whatever is read and written at once, all of it arrives in order.
#[tokio::test]
async fn sizes_make_no_difference() {
    let mut random = fastrand::Rng::with_seed(7);
    for (version, room) in VERSIONS
        .iter()
        .flat_map(|version| [3, 100, 5000, 20_000, 300_000].map(|room| (*version, room)))
    {
        let (client, server) = pair(version, room).await;
        let all = room.saturating_mul(40).clamp(2000, 600_000);
        let sent: Vec<u8> = (0..all).map(|_| random.u8(..)).collect();
        let (mut client_reads, mut client_writes) = split(client);
        let (mut server_reads, mut server_writes) = split(server);
        let mut sizes = random.fork();
        let asking = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(sizes.usize(1..40_000).min(rest.len()));
                client_writes.write_all(part).await.unwrap();
                client_writes.flush().await.unwrap();
                rest = behind;
            }
            client_writes.shutdown().await.unwrap();
        };
        let mut sizes = random.fork();
        let answering = async {
            loop {
                let mut bytes = vec![0; 1 << sizes.u32(0..18)];
                let count = server_reads.read(&mut bytes).await.unwrap();
                if count == 0 {
                    break;
                }
                let middle = sizes.usize(0..=count);
                let mut parts =
                    &mut [&bytes[..middle], &bytes[middle..count]].map(IoSlice::new)[..];
                while !parts.is_empty() {
                    let count = server_writes.write_vectored(parts).await.unwrap();
                    IoSlice::advance_slices(&mut parts, count);
                    if parts.iter().all(|part| part.is_empty()) {
                        break;
                    }
                }
                server_writes.flush().await.unwrap();
            }
            server_writes.shutdown().await.unwrap();
        };
        let reading = async {
            let mut came = Vec::new();
            client_reads.read_to_end(&mut came).await.unwrap();
            came
        };
        let all = async { tokio::join!(asking, answering, reading).2 };
        let came = tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .unwrap();
        assert!(came == sent, "{version:?}, {room} bytes");
    }
}

/// The peer may write on after our end, and we after its.
#[tokio::test]
async fn close_notify_ends_one_direction() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 1000).await;
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
        server.write_all(b"late").await.unwrap();
        server.shutdown().await.unwrap();
        let error = server.write_all(b"too late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "late");
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_error() {
    let (mut client, mut server) = pair(&TLS13, 1000).await;
    client.write_all(b"some").await.unwrap();
    drop(client);
    let mut bytes = [0; 9];
    assert_eq!(server.read(&mut bytes).await.unwrap(), 4);
    for _ in 0..2 {
        let error = server.read(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn the_client_may_change_its_keys_and_ours() {
    let (mut client, mut server) = pair(&TLS13, 100_000).await;
    for round in 0..5u8 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        let mut bytes = [round; 3000];
        client.write_all(&bytes).await.unwrap();
        server.read_exact(&mut bytes).await.unwrap();
        server.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [round; 3000]);
    }
    assert!(owns_nothing(&server));
}

#[tokio::test]
async fn a_broken_record_has_its_alert() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 1000).await;
        let record = [&[23, 3, 3, 0, 40][..], &[1; 40]].concat();
        client.get_mut().0.write_all(&record).await.unwrap();
        for _ in 0..2 {
            let error = server.read(&mut [0; 9]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            let error = server.write(b"more").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
        server.shutdown().await.unwrap();
        let error = client.read(&mut [0; 9]).await.unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
    }
}

/// A peer that is slow, in either direction, has us keep what is not finished, and no more.
#[tokio::test]
async fn what_is_kept_is_bounded() {
    let (mut client, mut server) = pair(&TLS13, 1 << 20).await;
    let begin = [&[23, 3, 3, 64, 0][..], &[1; 1000]].concat();
    client.get_mut().0.write_all(&begin).await.unwrap();
    let waits = tokio::time::timeout(Duration::ZERO, server.read(&mut [0; 9])).await;
    assert!(waits.is_err());
    assert_eq!(server.unfinished.len(), 1005);
    assert!(server.unfinished.capacity() < 1100);

    let (_client, mut server) = pair(&TLS13, 1000).await;
    let much = vec![7; 1 << 20];
    let waits = tokio::time::timeout(Duration::ZERO, server.write_all(&much)).await;
    assert!(waits.is_err());
    let kept = server.session.unsent.len();
    assert!((1..WRITE + 5 * OVERHEAD).contains(&kept), "{kept}");
}
