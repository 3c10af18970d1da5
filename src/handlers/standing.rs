//! Conditions that last: each is said when it comes, and when it goes.

use std::collections::BTreeMap;

use crate::script::Fault;

/// The subject of a condition. One that is not known anew, as the scan is not while the root is
/// away, stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The root of the handlers, which cannot be read.
    Root,
    /// The map file.
    MapFile,
    /// Entries of the folder that cannot be taken.
    Scan,
    /// That there is no handler at all.
    Nothing,
    /// Paths that two files have, aliases of nothing.
    Routes,
    /// Probable mistakes in the handlers that serve.
    Handlers,
}

impl Subject {
    /// Returns the message for a condition that is over; `None` where what follows is logged
    /// anyhow.
    fn over(self, fault: &Fault) -> Option<String> {
        match self {
            Self::Root | Self::MapFile if fault.location.is_none() => {
                Some("it can be read again".to_owned())
            }
            Self::MapFile | Self::Nothing | Self::Handlers => None,
            Self::Root | Self::Scan | Self::Routes => Some(format!("no longer: {}", fault.message)),
        }
    }
}

/// The conditions that hold. The place in a file is none of what tells them apart: an edit above
/// moves it.
#[derive(Debug, Default)]
pub struct Standing(BTreeMap<Subject, BTreeMap<(String, String), Fault>>);

impl Standing {
    /// These hold now: adds those that have come to `come`, and to `gone` the file of each that is
    /// over with what to say of it.
    pub fn set(
        &mut self,
        subject: Subject,
        now: impl IntoIterator<Item = Fault>,
        come: &mut Vec<Fault>,
        gone: &mut Vec<(String, String)>,
    ) {
        let mut before = self.0.remove(&subject).unwrap_or_default();
        let mut holding = BTreeMap::new();
        for fault in now {
            let key = (fault.file.clone(), fault.message.clone());
            if before.remove(&key).is_none() && !holding.contains_key(&key) {
                come.push(fault.clone());
            }
            holding.insert(key, fault);
        }
        // A file that cannot be read for another reason now cannot be read.
        let is_still = matches!(subject, Subject::Root | Subject::MapFile)
            && holding.values().any(|fault| fault.location.is_none());
        let over = before.into_values().filter(|_| !is_still);
        gone.extend(over.filter_map(|fault| Some((fault.file.clone(), subject.over(&fault)?))));
        self.0.insert(subject, holding);
    }
}
