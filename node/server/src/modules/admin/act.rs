//! What can be done about accounts: the nodes, names and forms of the commands.
//!
//! Source: XEP-0133 v1.3.1 §4.1 to §4.9. What they do stands in [`super::users`].

use xmpp::payload::form::{Field, FieldType, Form};

use super::forms;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Add,
    Delete,
    Disable,
    Reenable,
    EndSession,
    ChangePassword,
    Roster,
    LastLogin,
    Statistics,
}

impl Act {
    /// All of them, in the order of the XEP.
    pub(super) const ALL: [Self; 9] = [
        Self::Add,
        Self::Delete,
        Self::Disable,
        Self::Reenable,
        Self::EndSession,
        Self::ChangePassword,
        Self::Roster,
        Self::LastLogin,
        Self::Statistics,
    ];

    /// Node, name, title, instructions.
    pub(super) fn words(self) -> [&'static str; 4] {
        match self {
            Self::Add => [
                "http://jabber.org/protocol/admin#add-user",
                "Add User",
                "Adding a User",
                "Fill out this form to add a user.",
            ],
            Self::Delete => [
                "http://jabber.org/protocol/admin#delete-user",
                "Delete User",
                "Deleting a User",
                "Fill out this form to delete a user.",
            ],
            Self::Disable => [
                "http://jabber.org/protocol/admin#disable-user",
                "Disable User",
                "Disabling a User",
                "Fill out this form to disable a user.",
            ],
            Self::Reenable => [
                "http://jabber.org/protocol/admin#reenable-user",
                "Re-Enable User",
                "Re-Enable a User",
                "Fill out this form to re-enable a user.",
            ],
            Self::EndSession => [
                "http://jabber.org/protocol/admin#end-user-session",
                "End User Session",
                "Ending a User Session",
                "Fill out this form to end a user's session. An address without a resource ends all of them.",
            ],
            Self::ChangePassword => [
                "http://jabber.org/protocol/admin#change-user-password",
                "Change User Password",
                "Changing a User Password",
                "Fill out this form to change a user's password.",
            ],
            Self::Roster => [
                "http://jabber.org/protocol/admin#get-user-roster",
                "Get User Roster",
                "Getting a User's Roster",
                "Fill out this form to get a user's roster.",
            ],
            Self::LastLogin => [
                "http://jabber.org/protocol/admin#get-user-lastlogin",
                "Get User Last Login Time",
                "Getting a User's Last Login Time",
                "Fill out this form to get a user's last login time.",
            ],
            Self::Statistics => [
                "http://jabber.org/protocol/admin#user-stats",
                "Get User Statistics",
                "Get User Statistics",
                "Fill out this form to gather user statistics.",
            ],
        }
    }

    /// The form to be filled in.
    pub(super) fn form(self) -> Form {
        let [_, _, title, instructions] = self.words();
        let form = forms::form(title, instructions);
        let secret = |var, label: &str| Field::new(FieldType::TextPrivate, var).with_label(label);
        match self {
            Self::Add => form
                .with_field(forms::account_field(
                    "The Jabber ID for the account to be added",
                ))
                .with_field(secret("password", "The password for this account").required())
                .with_field(secret("password-verify", "Retype password")),
            Self::ChangePassword => form
                .with_field(forms::account_field("The Jabber ID for this account"))
                .with_field(secret("password", "The password for this account").required()),
            Self::Statistics => {
                form.with_field(forms::account_field("The Jabber ID for statistics"))
            }
            Self::Delete => form.with_field(forms::accounts_field("The Jabber ID(s) to delete")),
            Self::Disable => form.with_field(forms::accounts_field("The Jabber ID(s) to disable")),
            Self::Reenable => {
                form.with_field(forms::accounts_field("The Jabber ID(s) to re-enable"))
            }
            Self::EndSession => form.with_field(forms::accounts_field(
                "The Jabber ID(s) for which to end sessions",
            )),
            Self::Roster => form.with_field(forms::accounts_field(
                "The Jabber ID(s) for which to retrieve the roster",
            )),
            Self::LastLogin => form.with_field(forms::accounts_field(
                "The Jabber ID(s) for which to retrieve the last login time",
            )),
        }
    }
}
