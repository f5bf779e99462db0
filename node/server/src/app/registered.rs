//! The modules, made as they are configured.

use std::sync::Arc;

use storage::repository::Operators;

use crate::{
    config::{Config, RoomsPublish},
    module::{Module, Registry},
    modules::{self, muc::Muc},
    routing::Router,
};

/// The rooms, if there are any.
pub(super) fn rooms(router: &Router) -> Option<Arc<Muc>> {
    let (config, stores) = (&router.config, &router.stores);
    config.rooms.enabled.then(|| {
        Arc::new(Muc::new(
            room_options(config),
            stores.rooms.clone(),
            stores.logs.clone(),
            stores.archives.clone(),
            stores.pages.clone(),
            router.metrics.rooms.clone(),
        ))
    })
}

/// Every module, and what it answers for.
pub(super) fn registry(
    router: &Arc<Router>,
    rooms: Option<&Arc<Muc>>,
    operators: Operators,
) -> anyhow::Result<Registry> {
    let (config, stores) = (&router.config, &router.stores);
    let lists = Arc::new(modules::blocking::Lists::new(
        stores.privacy.clone(),
        router.rosters.clone(),
        router.active_lists.clone(),
    ));
    let accounts = router.accounts();
    let pep = Arc::new(modules::pubsub::Pep::new(
        router.nodes.clone(),
        router.rosters.clone(),
        stores.private.clone(),
        stores.vcards.clone(),
    ));
    let mut modules: Vec<Arc<dyn Module>> = vec![
        Arc::new(modules::roster::RosterModule::new(
            router.rosters.clone(),
            config.limits.roster_items,
        )),
        Arc::new(modules::vcard::VcardModule::new(
            stores.vcards.clone(),
            pep.clone(),
        )),
        Arc::new(modules::carbons::Carbons),
        Arc::new(modules::legacy_session::LegacySession),
        Arc::new(modules::private::Private::new(
            stores.private.clone(),
            pep.clone(),
        )),
        pep.clone(),
        Arc::new(modules::disco::DiscoModule::new(
            router.rosters.clone(),
            config.contacts.clone(),
        )),
        Arc::new(modules::info::InfoModule::new(router.rosters.clone(), None)),
        Arc::new(modules::blocking::Blocking::new(lists.clone())),
        Arc::new(modules::blocking::PrivacyLists::new(lists)),
        Arc::new(modules::register::Register::new(
            accounts.clone(),
            config.domains.clone(),
            config.registration.enabled,
        )),
        Arc::new(modules::admin::Admin::new(
            config.admins.clone(),
            config.domains.clone(),
            accounts,
            rooms,
            operators,
        )),
    ];
    modules.extend(rooms.map(|rooms| rooms.clone() as Arc<dyn Module>));
    modules.push(Arc::new(modules::pubsub::PubsubServices::new(
        router.nodes.clone(),
        pubsub_options(config),
    )));
    if config.search.enabled {
        modules.push(Arc::new(modules::vcard::search::SearchModule::new(
            stores.vcards.clone(),
            search_options(config),
        )));
    }
    if config.archive.enabled {
        modules.push(Arc::new(modules::archive::Archive::new(
            stores.archives.clone(),
            stores.archive_preferences.clone(),
            config.archive.page,
        )));
    }
    let mut registry = Registry::default();
    for module in modules {
        module.register(&mut registry);
    }
    match registry.mistakes() {
        [] => Ok(registry),
        mistakes => Err(anyhow::anyhow!("modules disagree: {}", mistakes.join("; "))),
    }
}

fn room_options(config: &Config) -> modules::muc::Options {
    let rooms = &config.rooms;
    modules::muc::Options {
        services: config.room_services(),
        domains: config.domains.clone(),
        admins: config.admins.clone(),
        create: rooms.create,
        per_user: rooms.per_user,
        policy: modules::muc::room::Policy {
            occupants: rooms.occupants,
            history: rooms.history,
            message_bytes: usize::try_from(rooms.message).unwrap_or(usize::MAX),
            messages_per_second: rooms.messages_per_second,
            burst: rooms.burst,
            presence_up_to: rooms.presence_up_to,
            lock: rooms.lock,
            avatar_presence: rooms.avatar_presence,
            publish: rooms.publish,
            ..modules::muc::room::Policy::default()
        },
        pages: (rooms.publish != RoomsPublish::Never).then_some(rooms.publish_every),
        pages_url: rooms.publish_url.clone(),
        loaded: rooms.loaded,
        page: config.archive.page,
    }
}

fn pubsub_options(config: &Config) -> modules::pubsub::ServiceOptions {
    let pubsub = &config.pubsub;
    modules::pubsub::ServiceOptions {
        services: config.pubsub_services(),
        domains: config.domains.clone(),
        admins: config.admins.clone(),
        create: pubsub.create,
        limits: modules::pubsub::rules::Limits {
            items: pubsub.items,
            payload: usize::try_from(pubsub.payload).unwrap_or(usize::MAX),
            nodes: pubsub.nodes,
            subscriptions: pubsub.subscriptions,
            ..modules::pubsub::pep::LIMITS
        },
    }
}

fn search_options(config: &Config) -> modules::vcard::search::SearchOptions {
    let search = &config.search;
    modules::vcard::search::SearchOptions {
        services: config.search_services(),
        at_domains: search.at_domains,
        domains: config.domains.clone(),
        admins: config.admins.clone(),
        who: search.who,
        fields: search.fields.clone(),
        contains: search.contains,
        page: search.page,
    }
}
