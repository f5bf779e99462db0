//! Options: where groups are, and what they look like.

use std::time::Duration;

use super::super::{
    options::{attribute_mistake, filter_mistake},
    template::Pattern,
};
use crate::Mistake;

/// How members stand in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LdapMembers {
    /// By their names in this form (`ldap_memberattr_format`): `%u` as `memberUid` has it, `uid=%u,ou=people,dc=a`.
    Names(String),
    /// By the names of their entries, in which no user's name stands (Active Directory: `CN=Ann Lee,...`). They are looked
    /// up by this attribute: `distinguishedName` in Active Directory, `entryDN` in OpenLDAP (RFC 5020).
    Entries(String),
}

/// Where groups are and what they look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapGroupOptions {
    /// Finds the groups whose members are shown, to `%u` if it has one (`ldap_rfilter`).
    pub roster_filter: String,
    /// Finds the group `%g` (`ldap_gfilter`); by default by its id, if it has members.
    pub group_filter: Option<String>,
    /// Finds the user `%u` for how he is called (`ldap_ufilter`); by default by `ldap_useruid`.
    pub user_filter: Option<String>,
    /// What must also be true of groups and users (`ldap_filter`).
    pub filter: Option<String>,
    /// The id of a group (`ldap_groupattr`).
    pub group_id: String,
    /// How a group is called (`ldap_groupdesc`); by default by its id.
    pub group_name: Option<String>,
    /// Who is in it (`ldap_memberattr`).
    pub member: String,
    /// In which form (`ldap_memberattr_format`).
    pub members: LdapMembers,
    /// How a user is called (`ldap_userdesc`).
    pub user_name: String,
    /// The attribute of a user that is named in groups (`ldap_useruid`).
    pub user_id: String,
    /// The attribute of a user that has his address, if it is not made of his name (`ldap_userjidattr`).
    pub user_jid: Option<String>,
    /// Whether only who has an account is shown (`ldap_auth_check`).
    pub auth_check: bool,
    /// For how long what was found counts (`ldap_group_cache_validity`, `ldap_user_cache_validity`).
    pub cache: Duration,
}

impl Default for LdapGroupOptions {
    fn default() -> Self {
        Self {
            roster_filter: String::new(),
            group_filter: None,
            user_filter: None,
            filter: None,
            group_id: "cn".into(),
            group_name: None,
            member: "memberUid".into(),
            members: LdapMembers::Names("%u".into()),
            user_name: "cn".into(),
            user_id: "uid".into(),
            user_jid: None,
            auth_check: true,
            cache: Duration::from_secs(300),
        }
    }
}

impl LdapGroupOptions {
    /// Everything that is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let filters = [
            ("ldap_rfilter", Some(&self.roster_filter)),
            ("ldap_gfilter", self.group_filter.as_ref()),
            ("ldap_ufilter", self.user_filter.as_ref()),
            ("ldap_filter", self.filter.as_ref()),
        ];
        let filters = filters
            .into_iter()
            .filter_map(|(option, filter)| filter_mistake(option, filter?));
        let attributes = [
            ("ldap_groupattr", Some(&self.group_id)),
            ("ldap_groupdesc", self.group_name.as_ref()),
            ("ldap_memberattr", Some(&self.member)),
            ("ldap_userdesc", Some(&self.user_name)),
            ("ldap_useruid", Some(&self.user_id)),
            ("ldap_userjidattr", self.user_jid.as_ref()),
        ];
        let attributes = attributes
            .into_iter()
            .filter_map(|(option, attribute)| attribute_mistake(option, attribute?));
        let format = match &self.members {
            LdapMembers::Names(format) if Pattern::parse(format, "a.example").is_none() => {
                let what = format!("{format:?} needs %u, once");
                Some(Mistake::new("ldap_memberattr_format", what))
            }
            LdapMembers::Names(_) => None,
            LdapMembers::Entries(attribute) => {
                attribute_mistake("ldap_memberattr_format", attribute)
            }
        };
        filters.chain(attributes).chain(format).collect()
    }
}
