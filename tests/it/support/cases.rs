//! Table tests: every case runs, and a failure names all that failed, not only the first.

use std::any::Any;
use std::future::Future;

/// Runs the cases side by side and panics with the list of those that panicked.
pub async fn every_case<N, F>(cases: impl IntoIterator<Item = (N, F)>)
where
    N: Into<String>,
    F: Future<Output = ()> + Send + 'static,
{
    let started: Vec<_> = cases
        .into_iter()
        .map(|(name, case)| (name.into(), tokio::spawn(case)))
        .collect();
    let mut failures = Vec::new();
    for (name, case) in started {
        if let Err(error) = case.await {
            failures.push(format!("{name}: {}", message(error.into_panic().as_ref())));
        }
    }
    assert!(
        failures.is_empty(),
        "{} cases failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text")
}
