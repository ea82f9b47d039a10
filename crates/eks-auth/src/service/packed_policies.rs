//! How full STS's room for session policies and tags is, association by association, so that it is told of before STS
//! refuses a call that is too large.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use identity::AssociationId;
use lru::LruCache;

use super::hop::Hop;

/// Per cent from which on there is a warning: a pod with a longer name, or a role assumed by the pod itself, may not fit.
const CROWDED_OVER: u32 = 80;

/// Per cent at which it is over. Lower than the other, so that pods with names of different lengths do not make it come and go.
const RELIEVED_AT: u32 = 75;

/// How many are remembered as crowded; the one that was seen least lately would be warned of again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("4096 is not zero");

/// What is new about one hop of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is over 80 per cent now.
    Crowded,
    /// It was, and is no longer.
    Relieved,
}

/// Which hops of which associations are crowded.
pub(super) struct PackedPolicies {
    crowded: Mutex<LruCache<(AssociationId, Hop), ()>>,
}

impl Default for PackedPolicies {
    fn default() -> Self {
        Self { crowded: Mutex::new(LruCache::new(REMEMBERED)) }
    }
}

impl PackedPolicies {
    /// Takes note of what STS said of one hop. A size that STS did not tell changes nothing.
    pub(super) fn note(&self, id: &AssociationId, hop: Hop, percent: Option<u32>) -> Option<Change> {
        let (percent, key) = (percent?, (id.clone(), hop));
        // Whoever panicked did not do so half-way through a change: each is one call.
        let mut crowded = self.crowded.lock().unwrap_or_else(PoisonError::into_inner);
        if percent > CROWDED_OVER {
            crowded.put(key, ()).is_none().then_some(Change::Crowded)
        } else if percent <= RELIEVED_AT {
            crowded.pop(&key).map(|()| Change::Relieved)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> AssociationId {
        AssociationId::from_choices([number; AssociationId::LENGTH])
    }

    #[test]
    fn what_stays_over_80_per_cent_is_told_once_until_it_is_clearly_less() {
        let sizes = PackedPolicies::default();
        for (percent, wanted) in [
            (Some(80), None),
            (Some(81), Some(Change::Crowded)),
            (Some(112), None),
            (Some(80), None),
            (Some(81), None),
            (None, None),
            (Some(75), Some(Change::Relieved)),
            (Some(6), None),
            (Some(81), Some(Change::Crowded)),
        ] {
            assert_eq!(sizes.note(&id(0), Hop::Only, percent), wanted, "{percent:?}");
        }
    }

    #[test]
    fn each_hop_of_each_association_is_told_of_by_itself() {
        let sizes = PackedPolicies::default();
        for (id, hop) in [(id(0), Hop::First), (id(0), Hop::Second), (id(1), Hop::First)] {
            assert_eq!(sizes.note(&id, hop, Some(90)), Some(Change::Crowded));
            assert_eq!(sizes.note(&id, hop, Some(90)), None);
        }
    }

    #[test]
    fn no_number_of_associations_takes_more_room_than_was_meant_for_them() {
        let sizes = PackedPolicies::default();
        for number in 0..=REMEMBERED.get() {
            let [low, high, ..] = number.to_le_bytes();
            let mut choices = [0; AssociationId::LENGTH];
            (choices[0], choices[1], choices[2], choices[3]) = (low % 36, low / 36, high % 36, high / 36);
            assert_eq!(
                sizes.note(&AssociationId::from_choices(choices), Hop::Only, Some(90)),
                Some(Change::Crowded)
            );
        }
        assert_eq!(sizes.crowded.lock().unwrap().len(), REMEMBERED.get());
    }
}
