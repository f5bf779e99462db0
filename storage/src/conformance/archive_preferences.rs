//! Archive preferences: no choice and a choice are told apart.

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{ArchiveDefault, ArchivePreferences, ArchivePreferencesRepository},
};

/// Runs all of it.
pub async fn archive_preferences(repo: &dyn ArchivePreferencesRepository) {
    let owner = jid("bob@preferences.example");
    assert_eq!(done(repo.load(&owner).await), None);
    for (seen, default) in (0..).zip([
        ArchiveDefault::Always,
        ArchiveDefault::Never,
        ArchiveDefault::Roster,
    ]) {
        let chosen = ArchivePreferences {
            default,
            always: vec!["ann@example.org".into()],
            never: vec!["bot@example.org".into(), "spam.example".into()],
            version: 0,
        };
        assert_eq!(done(repo.store(&owner, &chosen, seen).await), seen + 1);
        refused(repo.store(&owner, &chosen, seen).await, ErrorKind::Conflict);
        assert_eq!(
            done(repo.load(&owner).await),
            Some(ArchivePreferences {
                version: seen + 1,
                ..chosen
            })
        );
    }
}
