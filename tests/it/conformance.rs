//! The cases that `cargo run --example conformance` has for any server, against this one.

use std::sync::Arc;

use crate::conformance_cases::all;
use crate::conformance_run::run;
use crate::support::{ECHO, Server, every_case};

/// Every case ends as the table says.
#[tokio::test]
async fn every_case_for_any_server() {
    let server = Server::start(&[("echo_wsh.rhai", ECHO)]).await;
    let address = format!("127.0.0.1:{}", server.port());
    let cases = all("/echo", 16 * 1024 * 1024);
    assert!(cases.len() > 200, "{}", cases.len());
    // Threads, for blocking sockets: not more than the runtime has.
    let room = Arc::new(tokio::sync::Semaphore::new(16));
    let visits = cases.into_iter().map(|case| {
        let (address, room) = (address.clone(), Arc::clone(&room));
        let name = format!("{} {:.60}", case.row, case.name);
        let visit = async move {
            let _place = room.acquire().await;
            let visit = move || {
                let got = run(&address, "/echo", &case);
                let (wanted, shortly) = (&case.wanted, got.shortly());
                assert!(got.fits(wanted), "{wanted:?} wanted, {shortly}: {got:?}");
            };
            if let Err(error) = tokio::task::spawn_blocking(visit).await {
                std::panic::resume_unwind(error.into_panic());
            }
        };
        (name, visit)
    });
    every_case(visits).await;
}
