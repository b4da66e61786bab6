//! Which lane a model's requests count in, by name.

use std::sync::Arc;

use hashbrown::HashMap;

/// Places for names seen last.
const SEEN: usize = 64;

/// The lanes by name. The same `Arc` seen again is found without a look at the name.
pub(super) struct LaneNames {
    lanes: HashMap<Arc<str>, u16>,
    /// Models whose requests count in a lane of another name; few lanes have any.
    followers: HashMap<u16, Vec<Arc<str>>>,
    /// Held, so that no other name can come to stand at the same address.
    seen: [Option<(Arc<str>, u16)>; SEEN],
}

impl Default for LaneNames {
    fn default() -> Self {
        Self { lanes: HashMap::new(), followers: HashMap::new(), seen: [const { None }; SEEN] }
    }
}

impl LaneNames {
    /// The lane of this model.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn find(&mut self, model: &Arc<str>) -> Option<u16> {
        match &self.seen[place(model)] {
            Some((seen, lane)) if Arc::ptr_eq(seen, model) => Some(*lane),
            _ => self.look_beside(model),
        }
    }

    /// Where two share a place, the one seen before stands beside it. What stands there may be the same name from another
    /// caller, too, whose own it is.
    #[inline(never)]
    fn look_beside(&mut self, model: &Arc<str>) -> Option<u16> {
        let place = place(model);
        match (&self.seen[place], &self.seen[place ^ 1]) {
            (_, Some((seen, lane))) if Arc::ptr_eq(seen, model) => Some(*lane),
            (Some((seen, lane)), _) if **seen == **model => Some(*lane),
            _ => self.look_up(model),
        }
    }

    fn look_up(&mut self, model: &Arc<str>) -> Option<u16> {
        let lane = self.get(model)?;
        let place = place(model);
        let before = self.seen[place].replace((Arc::clone(model), lane));
        if before.is_some() {
            self.seen[place ^ 1] = before;
        }
        Some(lane)
    }

    pub(super) fn get(&self, model: &str) -> Option<u16> {
        self.lanes.get(model).copied()
    }

    pub(super) fn insert(&mut self, model: Arc<str>, lane: u16) {
        self.lanes.insert(model, lane);
        self.forget_seen();
    }

    /// Requests for this model count in the lane of another.
    pub(super) fn follow(&mut self, model: Arc<str>, lane: u16) {
        let followers = self.followers.entry(lane).or_default();
        if !followers.contains(&model) {
            followers.push(Arc::clone(&model));
        }
        self.insert(model, lane);
    }

    /// Whose requests count in this lane, beside those for the model that it is called after.
    pub(super) fn followers(&self, lane: u16) -> &[Arc<str>] {
        self.followers.get(&lane).map_or(&[], Vec::as_slice)
    }

    /// Names of this lane are names of another from now on.
    pub(super) fn redirect(&mut self, lane: u16, to: u16) {
        for held in self.lanes.values_mut().filter(|held| **held == lane) {
            *held = to;
        }
        if let Some(followers) = self.followers.remove(&lane) {
            self.followers.entry(to).or_default().extend(followers);
        }
        self.forget_seen();
    }

    /// The names of a lane that is given up.
    pub(super) fn remove(&mut self, lane: u16) {
        self.lanes.retain(|_, held| *held != lane);
        self.followers.remove(&lane);
        self.forget_seen();
    }

    fn forget_seen(&mut self) {
        self.seen.fill(None);
    }
}

/// By the address: the upper bits of its product with 2^64 ÷ the golden ratio.
#[inline]
fn place(model: &Arc<str>) -> usize {
    let address = Arc::as_ptr(model).cast::<u8>() as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize % SEEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_seen_before_follows_its_lane() {
        let mut names = LaneNames::default();
        let flash: Arc<str> = "flash".into();
        assert_eq!(names.find(&flash), None);
        names.insert("flash".into(), 2);
        assert_eq!(names.find(&flash), Some(2));
        assert_eq!(names.find(&flash), Some(2));
        names.follow("lite".into(), 2);
        names.redirect(2, 3);
        assert_eq!((names.find(&flash), names.get("lite")), (Some(3), Some(3)));
        assert_eq!((names.followers(2), names.followers(3)), (&[][..], &["lite".into()][..]));
        names.remove(3);
        assert_eq!((names.find(&flash), names.followers(3)), (None, &[][..]));
    }

    #[test]
    fn names_that_share_a_place_do_not_take_turns_in_being_forgotten() {
        // Kept, so that each has an address of its own; among so many every place has two.
        let (flash, lite): (Vec<Arc<str>>, Vec<Arc<str>>) = (0..1_000).map(|_| ("flash".into(), "lite".into())).unzip();
        let at = |names: &[Arc<str>], wanted: usize| {
            let found = names.iter().filter(|name| place(name) == wanted).take(2);
            found.cloned().collect::<Vec<_>>()
        };
        let mut names = LaneNames::default();
        names.insert("flash".into(), 2);
        names.insert("lite".into(), 3);
        let ([one, same], [beside, _]) = (&at(&flash, 6)[..], &at(&lite, 7)[..]) else { panic!("too few addresses") };
        assert_eq!((names.find(one), names.find(beside), names.find(same)), (Some(2), Some(3), Some(2)));
        let holds = |place: usize, name| names.seen[place].as_ref().is_some_and(|(seen, _)| Arc::ptr_eq(seen, name));
        // Each at its own place; the same name from elsewhere took nobody's.
        assert!(holds(6, one) && holds(7, beside));
    }
}
