//! Recordings that a new version of a handler is played before it serves, each conversation in a
//! world of its own: what the version answers otherwise is said, and may keep it from serving.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::conversation::{Part, play};
use super::elsewhere::alone;
use super::library::{Library, begin};
use super::world::{BEGIN, Plan, inside};
use crate::config::{Admission, HostPattern, OriginPattern, Rehearse};
use crate::handlers::{Generation, Proof, decode_path};
use crate::observe::event::{Event, text};
use crate::observe::{apart, json, terminal};
use crate::recording::{Differences, Recording};
use crate::script::{self, Fault, Host};

/// What new versions are played, and what they reach.
#[derive(Debug)]
pub struct Rehearsal {
    config: Rehearse,
    host: Host,
    library: Library,
    /// Problems that were said.
    said: Vec<(String, String)>,
}

/// What came of the conversations of a file.
#[derive(Debug, Default)]
struct Played {
    differences: Differences,
    /// Conversations for which there was no time.
    left: usize,
}

impl Rehearsal {
    /// Of the recordings of a folder.
    pub fn new(config: Rehearse, host: Host) -> Self {
        Self {
            config,
            // What is played reaches nobody outside.
            host: alone(host),
            library: Library::default(),
            said: Vec::new(),
        }
    }

    /// Reads the folder, and says what of it cannot be played, once.
    fn look(&mut self) {
        let problems = self.library.look(&self.config.folder, &self.config.limits);
        for (file, problem) in &problems {
            if !self
                .said
                .iter()
                .any(|said| said.0 == *file && said.1 == *problem)
            {
                Event::RehearsalProblem { file, problem }.tell();
            }
        }
        self.said.retain(|said| problems.contains(said));
        self.said.extend(problems);
    }

    /// Plays all that these files have to answer.
    fn play(
        &self,
        generation: &Arc<Generation>,
        files: &BTreeSet<String>,
    ) -> Vec<(String, Played)> {
        let end = Instant::now() + self.config.limits.time;
        let mut all: BTreeMap<String, Played> = BTreeMap::new();
        let groups = self
            .library
            .groups(|recording| served(generation, recording).is_some());
        for group in groups {
            let serving = group
                .iter()
                .filter_map(|(_, recording)| served(generation, recording));
            let serving: Vec<_> = serving.collect();
            let meant: BTreeSet<_> = serving
                .iter()
                .filter(|file| files.contains(*file))
                .collect();
            for file in meant {
                let parts = group.iter().zip(&serving);
                let parts: Vec<_> = parts
                    .map(|((name, recording), served)| Part {
                        name,
                        recording,
                        is_judged: served == file,
                    })
                    .collect();
                let played = all.entry(file.clone()).or_default();
                let time = end.saturating_duration_since(Instant::now());
                if time.is_zero() {
                    played.left += 1;
                } else {
                    let found = self.rehearse(generation, &parts, begin(&group), time);
                    played.differences.add(found);
                }
            }
        }
        all.into_iter().collect()
    }

    /// Plays a conversation on a thread of its own: hooks need its stack.
    fn rehearse(
        &self,
        generation: &Arc<Generation>,
        parts: &[Part<'_>],
        begin: f64,
        time: Duration,
    ) -> Differences {
        let plan = Plan {
            generation: Arc::clone(generation),
            host: self.host.clone(),
            seed: 1,
            limit: time,
            begin: if begin > 0.0 { begin } else { BEGIN },
            admission: everybody(),
            coverage: None,
        };
        let ignored = &self.config.ignored;
        let work = || {
            apart::begin();
            let done = inside(&plan, async |world| {
                play(world, parts, begin, ignored).await
            });
            (done, apart::take())
        };
        let outcome: io::Result<_> = thread::scope(|scope| {
            let builder = thread::Builder::new().stack_size(script::STACK);
            let thread = builder.spawn_scoped(scope, work)?;
            let panicked = |_| io::Error::other("the server failed while it played it");
            let (done, reports) = thread.join().map_err(panicked)?;
            Ok((done?, reports))
        });
        let judged = parts.iter().filter(|part| part.is_judged);
        let name = judged.clone().next().map_or("", |part| part.name);
        let failed = |why: &str| {
            let mut differences = Differences::of(judged.clone().count());
            differences.differs(&format!("{name}: {why}"), "");
            differences
        };
        match outcome {
            Ok((Some(mut differences), reports)) => {
                if differences.count > 0 {
                    differences.explain(&reports);
                }
                differences
            }
            Ok((None, _)) => failed(&format!(
                "it had not ended when the time for all of them was up, {:?} (--replay-timeout)",
                self.config.limits.time
            )),
            Err(error) => failed(&error.to_string()),
        }
    }

    /// Says what came of a version's conversations; the fault that keeps it from serving.
    fn judge(&self, file: &str, version: u64, played: &Played) -> Option<Fault> {
        let Played { differences, left } = played;
        if *left > 0 {
            let problem = format!(
                "{left} conversations, for which there was no time: raise --replay-timeout, or \
                keep fewer recordings"
            );
            Event::RehearsalProblem {
                file,
                problem: &problem,
            }
            .tell();
        }
        if differences.count > 0 {
            let plain = differences.text();
            let report = format!(
                "{file}, version {version}, answers otherwise than recorded (- recorded, + \
                now):\n\n{plain}"
            );
            let shown = match terminal::watched() {
                _ if json::is_chosen() => plain.clone(),
                Some(_) => report,
                None => format!("\n{report}"),
            };
            Event::RehearsalDiffers {
                file,
                version,
                differences: differences.count,
                report: text(&shown),
                plain: &plain,
            }
            .tell();
        } else if *left == 0 {
            Event::Rehearsed {
                file,
                version,
                connections: differences.connections,
                messages: differences.messages,
            }
            .tell();
        }
        let what = match (differences.count, *left) {
            (0, 0) => return None,
            (0, _) => "not all recordings could be played to it".to_owned(),
            (1, _) => "it answers otherwise than recorded: 1 difference".to_owned(),
            (count, _) => format!("it answers otherwise than recorded: {count} differences"),
        };
        let fault = Fault::of_file(file, format!("{what}; --replay-strict keeps it back"));
        self.config.strict.then_some(fault)
    }
}

impl Proof for Rehearsal {
    fn refused(
        &mut self,
        generation: Generation,
        files: &BTreeSet<String>,
    ) -> Vec<(String, Fault)> {
        self.look();
        let generation = Arc::new(generation);
        let mut faults = Vec::new();
        for (file, played) in self.play(&generation, files) {
            let source = generation
                .entries
                .get(&file)
                .and_then(|entry| entry.source.as_ref());
            let version = source.map_or(0, |source| source.version);
            if let Some(fault) = self.judge(&file, version, &played) {
                faults.push((file, fault));
            }
        }
        faults
    }
}

/// The file that serves a recording's path.
fn served(generation: &Generation, recording: &Recording) -> Option<String> {
    let target = recording.target()?;
    let path = target.split('?').next()?;
    let found = generation.find(&decode_path(path).ok()?)?;
    Some(found.file.to_owned())
}

/// Recordings are from anywhere: whoever was let in then is now.
fn everybody() -> Admission {
    let any = "*";
    Admission {
        origins: any.parse::<OriginPattern>().into_iter().collect(),
        hosts: any.parse::<HostPattern>().into_iter().collect(),
        credentials: None,
    }
}
