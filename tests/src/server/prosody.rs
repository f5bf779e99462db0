//! Starts Prosody privately.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use anyhow::Result;

use super::{Certificate, DOMAIN, Product, Target, accepts, free_port, spawn, wait_until};

/// `mod_sasl2` of Debian 12 calls a method that this Prosody's connections do not have yet.
const SSL_INFO: &str = r#"module:hook("stream-features", function (event)
    event.stream = event.stream or {};
    local conn = event.origin.conn;
    local methods = conn and getmetatable(conn).__index;
    if methods and not methods.ssl_info then
        function methods:ssl_info()
            local socket = self:socket();
            return socket and socket.info and socket:info();
        end
    end
end, 1000);
"#;

pub(super) fn start(directory: &Path, certificate: &Certificate) -> Result<(Child, Target)> {
    let (c2s, c2s_tls) = (free_port()?, free_port()?);
    let data = directory.join("data");
    fs::create_dir(&data)?;
    let plugins = directory.join("plugins");
    fs::create_dir(&plugins)?;
    fs::write(plugins.join("mod_ssl_info.lua"), SSL_INFO)?;
    let config = directory.join("prosody.cfg.lua");
    let text = format!(
        r#"run_as_root = true
data_path = "{data}"
plugin_paths = {{ "{directory}/plugins" }}
pidfile = "{data}/prosody.pid"
log = {{ info = "{directory}/server.log" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
c2s_direct_tls_ports = {{ {c2s_tls} }}
http_ports = {{ }}
https_ports = {{ }}
modules_disabled = {{ "s2s" }}
modules_enabled = {{
    "roster"; "saslauth"; "tls"; "disco"; "private"; "pep"; "vcard_legacy"; "blocklist"; "version"; "uptime"; "time";
    "ping"; "register_ibr"; "user_account_management"; "admin_adhoc"; "adhoc"; "mam"; "carbons"; "smacks"; "csi"; "csi_simple";
    "offline"; "lastactivity"; "sasl2"; "sasl2_bind2"; "announce"; "ssl_info";
}}
allow_registration = true
c2s_require_encryption = true
authentication = "internal_hashed"
ssl = {{ certificate = "{chain}"; key = "{key}" }}
admins = {{ "admin@{DOMAIN}" }}
VirtualHost "{DOMAIN}"
Component "search.{DOMAIN}" "vjud"
"#,
        data = data.display(),
        directory = directory.display(),
        chain = certificate.chain.display(),
        key = certificate.key.display(),
        c2s = c2s.port(),
        c2s_tls = c2s_tls.port(),
    );
    fs::write(&config, text)?;
    let mut child = spawn(
        Command::new("prosody")
            .arg("--config")
            .arg(&config)
            .arg("-F"),
        directory,
    )?;
    wait_until(&mut child, directory, || accepts(c2s))?;
    let target = Target {
        product: Product::Prosody,
        c2s,
        c2s_tls: Some(c2s_tls),
        http: None,
        domain: DOMAIN.to_owned(),
        authority: certificate.authority.clone(),
    };
    Ok((child, target))
}
