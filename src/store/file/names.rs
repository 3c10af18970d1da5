//! What stores and queues the file has, found by leaps from one name to the next.

use std::ops::Bound;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::tables::{QUEUES, VALUES};
use crate::store::engine::{Named, Names};

/// Keys of a store that are counted.
const COUNTED: usize = 1_000;
/// Names that are looked at: whoever has more of them looks for one by its key.
const LOOKED: usize = 20_000;
/// Follows all keys.
const END: &str = "\u{10ffff}\u{10ffff}";

/// The stores and queues in whose name a text is found, so many of each at the most.
pub fn of(database: &Database, find: &str, most: usize) -> Result<Names, redb::Error> {
    let transaction = database.begin_read()?;
    let values = transaction.open_table(VALUES)?;
    let (mut stores, mut looked) = (Vec::new(), 0);
    let mut from = (String::new(), "");
    while looked < LOOKED && stores.len() <= most {
        let bounds = (Bound::Included((from.0.as_str(), from.1)), Bound::Unbounded);
        let mut rows = values.range::<(&str, &str)>(bounds)?;
        let Some(first) = rows.next().transpose()? else {
            break;
        };
        looked += 1;
        let name = first.0.value().0.to_owned();
        if name.contains(find) {
            let mut count = 1;
            for row in rows.take(COUNTED) {
                if row?.0.value().0 != name {
                    break;
                }
                count += 1;
            }
            stores.push(Named {
                name: name.as_str().into(),
                is_all: count <= COUNTED,
                count: count.min(COUNTED),
            });
        }
        from = (name, END);
    }
    let mut queues = Vec::new();
    let rows = transaction.open_table(QUEUES)?;
    for row in rows.iter()?.take(LOOKED) {
        let (name, row) = row?;
        if name.value().contains(find) && queues.len() <= most {
            queues.push(Named {
                name: Arc::from(name.value()),
                count: row.value().0 as usize,
                is_all: true,
            });
        }
    }
    let mut names = Names::first(stores, queues, most);
    names.is_all &= looked < LOOKED;
    Ok(names)
}
