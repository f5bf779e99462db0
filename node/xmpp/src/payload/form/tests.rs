//! Forms: the XEP's examples read, what we build reads back, what is wrong is refused.

use super::*;
use crate::{Element, ns};

fn form(inside: &str) -> Form {
    Form::parse(&Element::parse(inside.as_bytes(), ns::CLIENT).unwrap()).unwrap()
}

#[test]
fn form_of_the_xep_is_read() {
    let form = form(
        "<x xmlns='jabber:x:data' type='form'><title>Bot Configuration</title><instructions>Fill out this form!</instructions>
         <field type='hidden' var='FORM_TYPE'><value>jabber:bot</value></field>
         <field type='fixed'><value>Section 1: Bot Info</value></field>
         <field type='boolean' label='Public bot?' var='public'><required/></field>
         <field type='list-single' label='Maximum' var='maxsubs'><value>20</value>
           <option label='10'><value>10</value></option><option label='20'><value>20</value></option></field>
         <field type='new-type' var='x'><desc>Tell</desc></field></x>",
    );
    assert_eq!(
        (form.form_type, form.title.as_deref(), form.namespace()),
        (
            FormType::Form,
            Some("Bot Configuration"),
            Some("jabber:bot")
        )
    );
    assert_eq!(form.instructions, ["Fill out this form!"]);
    assert_eq!(form.fields[1], Field::fixed("Section 1: Bot Info"));
    assert_eq!(
        form.field("public"),
        Some(
            &Field::new(FieldType::Boolean, "public")
                .with_label("Public bot?")
                .required()
        )
    );
    let maximum = Field::new(FieldType::ListSingle, "maxsubs")
        .with_label("Maximum")
        .with_value("20");
    assert_eq!(
        form.field("maxsubs"),
        Some(&maximum.with_option("10", "10").with_option("20", "20"))
    );
    assert_eq!(
        form.field("x"),
        Some(&Field::new(FieldType::TextSingle, "x").with_desc("Tell"))
    );
}

#[test]
fn built_forms_read_back() {
    let check = |built: Form| {
        assert_eq!(
            Form::parse(
                &Element::parse(&built.to_element().to_bytes(ns::CLIENT), ns::CLIENT).unwrap()
            ),
            Ok(built)
        )
    };
    check(Form::new(FormType::Cancel));
    check(Form::of(FormType::Submit, "jabber:bot").with_field(Field::untyped("a", "b < c")));
    for field_type in FieldType::ALL {
        let field = Field::new(field_type, "v")
            .with_label("l")
            .with_desc("d")
            .required()
            .with_values(["1", "", "3"])
            .with_option("o", "p");
        check(
            Form::of(FormType::Form, "x")
                .with_title("t")
                .with_instructions("i")
                .with_instructions("j")
                .with_field(field),
        );
    }
    let mut result = Form::new(FormType::Result);
    result.reported = vec![Field::new(FieldType::TextSingle, "name").with_label("Name")];
    result.items = vec![
        vec![Field::untyped("name", "a")],
        vec![Field::untyped("name", "b")],
    ];
    check(result);
}

#[test]
fn booleans_are_those_of_xml_schema() {
    let check =
        |text: &str, expected| assert_eq!(Field::untyped("b", text).bool(), expected, "{text}");
    check("1", Some(true));
    check("true", Some(true));
    check("0", Some(false));
    check("false", Some(false));
    check("TRUE", None);
    check("", None);
    assert_eq!(Field::default().bool(), None);
    assert_eq!(Field::default().with_bool(true).bool(), Some(true));
    assert_eq!(Field::default().with_values(["a", "b"]).text(), "a\nb");
}

#[test]
fn what_is_no_form_is_a_bad_request() {
    for wrong in [
        "<x xmlns='jabber:x:data'/>",
        "<x xmlns='jabber:x:data' type='error'/>",
        "<y xmlns='jabber:x:data' type='form'/>",
        "<x type='form'/>",
        "<x xmlns='jabber:x:data' type='submit'><field/></x>",
    ] {
        let element = Element::parse(wrong.as_bytes(), ns::CLIENT).unwrap();
        assert_eq!(
            Form::parse(&element).unwrap_err().condition,
            crate::StanzaErrorCondition::BadRequest,
            "{wrong}"
        );
    }
    assert_eq!(
        Form::child_of(&Element::new("query", ns::DISCO_INFO)),
        Ok(None)
    );
}
