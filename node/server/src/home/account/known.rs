//! What a home knows of its account besides messages: the presence of its sessions, its photo, its rules.
//!
//! Why here: others ask for it at every presence and message, and it changes seldom. Stored: nothing.

use std::sync::Arc;

use bytes::Bytes;
use storage::repository::{ArchivePreferences, PrivacyData};
use xmpp::{FullJid, Stanza};

use super::{Home, State};
use crate::modules::vcard::Photo;

impl Home {
    /// Remembers or forgets the presence of a session, for those who probe.
    /// Returns whether there was one.
    pub fn set_presence(&self, session: u64, presence: Option<Stanza>) -> bool {
        self.with(|state| {
            let before = state.presences.len();
            state.presences.retain(|(number, _)| *number != session);
            let known = state.presences.len() < before;
            if let Some(presence) = presence {
                state.presences.push((session, presence.raw().clone()));
            }
            state.presences.shrink_to_fit();
            known
        })
        .unwrap_or(false)
    }

    /// The presence of a session as it was sent, if it is available.
    pub fn presence_bytes(&self, session: u64) -> Option<Bytes> {
        self.with(|state| {
            let known = state
                .presences
                .iter()
                .find(|(number, _)| *number == session);
            known.map(|(_, bytes)| bytes.clone())
        })?
    }

    /// The presence of every available session.
    pub fn presences(&self) -> Vec<(u64, Stanza)> {
        let presences = self.with(|state| state.presences.clone());
        let parsed = |(session, bytes)| Some((session, Stanza::parse(bytes).ok()?));
        presences.into_iter().flatten().filter_map(parsed).collect()
    }

    /// The presence of a full address: that of its newest session, if one took it over from another.
    pub fn presence_of(&self, jid: &FullJid) -> Option<(u64, Stanza)> {
        let own = self.presences().into_iter();
        own.filter(|(_, presence)| presence.from() == Some(jid.as_jid()))
            .max_by_key(|(session, _)| *session)
    }

    /// Changes the presence of every available session; what became of it. `None` leaves it.
    pub fn change_presences(
        &self,
        change: impl Fn(&Stanza) -> Option<Stanza>,
    ) -> Vec<(u64, Stanza)> {
        self.with(|state| {
            let mut changed = Vec::new();
            for (session, presence) in &mut state.presences {
                if let Ok(old) = Stanza::parse(presence.clone())
                    && let Some(new) = change(&old)
                {
                    presence.clone_from(new.raw());
                    changed.push((*session, new));
                }
            }
            changed
        })
        .unwrap_or_default()
    }

    /// The photo that presence tells of (XEP-0153); `None`: it was not looked up yet.
    pub fn photo(&self) -> Option<Photo> {
        self.with(|state| state.photo)?
    }

    /// The photo is this, unless that of a newer vCard is known; which of them counts.
    pub fn set_photo(&self, photo: Photo) -> Photo {
        let newest = |state: &mut State| {
            let known = state.photo.filter(|known| known.version > photo.version);
            *state.photo.insert(known.unwrap_or(photo))
        };
        self.with(newest).unwrap_or(photo)
    }

    /// The lists in force; `None` while the home is not loaded.
    pub fn privacy(&self) -> Option<Arc<PrivacyData>> {
        self.with(|state| state.privacy.clone())
    }

    /// Puts new lists in force.
    pub fn set_privacy(&self, lists: Arc<PrivacyData>) {
        self.with(|state| {
            // Of two changes at once the later one may report first.
            if lists.version >= state.privacy.version {
                state.privacy = lists;
            }
        });
    }

    /// Puts new archive preferences in force.
    pub fn set_preferences(&self, preferences: Arc<ArchivePreferences>) {
        self.with(|state| {
            if state
                .preferences
                .as_ref()
                .is_none_or(|known| preferences.version >= known.version)
            {
                state.preferences = Some(preferences);
            }
        });
    }
}
