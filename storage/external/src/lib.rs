//! Systems that fit no shape: LDAP directories and HTTPS services as repositories.
