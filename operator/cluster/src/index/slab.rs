//! Places for declarations, reused; a place knows whether it still holds what was put there.

use super::Decl;

/// A place in a [`Slab`]. Stays invalid once what it named is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeclId {
    place: u32,
    stamp: u32,
}

#[derive(Debug, Default)]
pub(super) struct Slab {
    places: Vec<(u32, Option<Decl>)>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn insert(&mut self, decl: Decl) -> DeclId {
        if let Some(place) = self.free.pop()
            && let Some((stamp, slot)) = self.places.get_mut(place as usize)
        {
            *slot = Some(decl);
            return DeclId {
                place,
                stamp: *stamp,
            };
        }
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push((0, Some(decl)));
        DeclId { place, stamp: 0 }
    }

    pub(super) fn get(&self, id: DeclId) -> Option<&Decl> {
        let (stamp, slot) = self.places.get(id.place as usize)?;
        slot.as_ref().filter(|_| *stamp == id.stamp)
    }

    pub(super) fn get_mut(&mut self, id: DeclId) -> Option<&mut Decl> {
        let (stamp, slot) = self.places.get_mut(id.place as usize)?;
        slot.as_mut().filter(|_| *stamp == id.stamp)
    }

    pub(super) fn remove(&mut self, id: DeclId) -> Option<Decl> {
        let (stamp, slot) = self.places.get_mut(id.place as usize)?;
        if *stamp != id.stamp {
            return None;
        }
        let decl = slot.take()?;
        *stamp = stamp.wrapping_add(1);
        self.free.push(id.place);
        Some(decl)
    }

    pub(super) fn ids(&self, keep: impl Fn(&Decl) -> bool) -> Vec<DeclId> {
        self.iter()
            .filter(|(_, decl)| keep(decl))
            .map(|(id, _)| id)
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DeclId, &Decl)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(place, (stamp, slot))| {
                let id = DeclId {
                    place: u32::try_from(place).ok()?,
                    stamp: *stamp,
                };
                Some((id, slot.as_ref()?))
            })
    }
}
