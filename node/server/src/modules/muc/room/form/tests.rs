//! What is shown and what is read of it.

use super::*;

fn submitted(fields: &[(&str, &str)]) -> Form {
    let mut form = Form::of(FormType::Submit, ns::MUC_ROOMCONFIG);
    for (var, value) in fields {
        form.fields
            .push(Field::untyped(format!("muc#roomconfig_{var}"), *value));
    }
    form
}

#[test]
fn what_is_shown_reads_back() {
    let unusual = RoomConfig {
        name: "A Dark Cave".into(),
        description: "Come in".into(),
        lang: "en".into(),
        persistent: true,
        public: false,
        members_only: true,
        moderated: true,
        password: Some("cauldronburn".into()),
        non_anonymous: true,
        change_subject: true,
        allow_invites: true,
        allow_pm: WhoMay::Moderators,
        max_users: 30,
        broadcast: RoomRoles::MODERATOR,
        member_list: RoomRoles::NONE,
        logged: true,
        archived: false,
        history: 7,
        allow_register: false,
        allow_voice_requests: false,
        allow_subscription: true,
    };
    for config in [RoomConfig::default(), unusual] {
        let mut shown = form(&config);
        shown.form_type = FormType::Submit;
        let parsed = Form::parse(&shown.to_element()).unwrap();
        assert_eq!(read(&parsed, &RoomConfig::default()), Ok(config.clone()));
        assert_eq!(read(&submitted(&[]), &config), Ok(config));
    }
}

#[test]
fn passwords_are_asked_for_or_not() {
    let with = |password: Option<&str>| RoomConfig {
        password: password.map(str::to_owned),
        ..RoomConfig::default()
    };
    let check = |before, fields: &[(&str, &str)], expected: Option<Option<&str>>| {
        let read = read(&submitted(fields), &with(before)).ok();
        let expected = expected.map(|it| it.map(str::to_owned));
        assert_eq!(
            read.map(|it| it.password),
            expected,
            "{before:?} {fields:?}"
        );
    };
    check(
        None,
        &[("passwordprotectedroom", "1"), ("roomsecret", "s")],
        Some(Some("s")),
    );
    check(
        None,
        &[("passwordprotectedroom", "1"), ("roomsecret", "")],
        None,
    );
    check(None, &[("passwordprotectedroom", "1")], None);
    check(
        None,
        &[("passwordprotectedroom", "0"), ("roomsecret", "s")],
        Some(None),
    );
    check(None, &[("roomsecret", "s")], Some(Some("s")));
    check(Some("s"), &[("roomsecret", "")], Some(None));
    check(
        Some("s"),
        &[("passwordprotectedroom", "1")],
        Some(Some("s")),
    );
    check(Some("s"), &[("passwordprotectedroom", "0")], Some(None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (var, value) in [
        ("membersonly", "perhaps"),
        ("whois", "none"),
        ("allowpm", "friends"),
        ("maxusers", "many"),
        ("maxhistoryfetch", "-1"),
        ("presencebroadcast", "king"),
        ("presencebroadcast", "none"),
    ] {
        let error = read(&submitted(&[(var, value)]), &RoomConfig::default()).unwrap_err();
        assert_eq!(error.condition, Condition::NotAcceptable, "{var} {value}");
    }
}
