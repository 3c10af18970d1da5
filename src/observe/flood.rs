//! Lines that anybody can cause as often as they like: the first of its kind in a second is said, the others are counted.

/// One kind of line.
#[derive(Debug, Default)]
pub struct Flood {
    is_said: bool,
    more: u32,
}

impl Flood {
    /// Whether another line may be said now.
    pub fn admits(&mut self) -> bool {
        if self.is_said {
            self.more += 1;
        }
        !std::mem::replace(&mut self.is_said, true)
    }

    /// Once a second: how many were not said. Saying that is the line of the next second.
    pub fn tick(&mut self) -> u32 {
        let more = std::mem::take(&mut self.more);
        self.is_said = more > 0;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_others_are_counted() {
        let mut flood = Flood::default();
        assert!(flood.admits());
        assert!(!flood.admits());
        assert!(!flood.admits());
        assert_eq!(flood.tick(), 2);
        assert!(!flood.admits());
        assert_eq!(flood.tick(), 1);
        assert_eq!(flood.tick(), 0);
        assert!(flood.admits());
        assert_eq!(flood.tick(), 0);
    }
}
