//! What is understood.

use super::*;

#[test]
fn the_commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn completions_know_every_command() {
    for shell in [
        clap_complete::Shell::Bash,
        clap_complete::Shell::Zsh,
        clap_complete::Shell::Fish,
    ] {
        let mut out = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "starling", &mut out);
        let text = String::from_utf8(out).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(text.contains(name), "{shell} {name}");
        }
    }
}

#[test]
fn arguments_are_understood() {
    let check = |line: &str, good: bool| {
        let parsed = Cli::try_parse_from(std::iter::once("starling").chain(line.split(' ')));
        assert_eq!(parsed.is_ok(), good, "{line}");
    };
    check("serve", true);
    check(
        "serve --domain a.example --domain b.example --listen :0 --listen direct::0 --http off --memory",
        true,
    );
    check("user add alice@a.example --password-stdin --data d", true);
    check(
        "user --data d --serves a.example add alice@a.example secret",
        true,
    );
    check("user add alice@a.example secret --password-stdin", false);
    check("user list", true);
    check("user list a.example --data d", true);
    check("user", false);
    check("export --domain a --user b@a", false);
    check("import -", true);
    check("completions tcsh", false);
    check("config --data d", true);
    check("archive verify", false);
    check("archive verify all --data d", true);
    check("archive verify a@b", true);
    check("archive verify --domain b", true);
    check("archive verify a@b --domain b", false);
    check("archive compact all", true);
    check("archive compact", false);
    check("archive status", false);
    check("archive status a@b --config c", true);
    check("group list", true);
    check(
        "group create a --name A --members everyone --shown-to b,c --includes d",
        true,
    );
    check("group create a --members some", false);
    check("group add a", false);
    check("group --domain d.example add a b@c d@e --called Bob", true);
    check("group remove a b@c --data d --serves e", true);
    check("certificate", false);
    check("certificate put a --chain c", false);
    check("certificate put a --chain c --key k --config f", true);
    check("certificate list", true);
    check("certificate remove a", true);
    check("cluster", false);
    check("cluster status --json --data d", true);
    check("cluster drain", false);
    check("cluster drain a --no-wait", true);
    check("cluster drain --self --timeout 10", true);
    check("cluster drain a --self", false);
    check("cluster fence", false);
    check("cluster fence 0123 --yes", true);
    check("cluster secret-rotate", true);
    check("token create", false);
    check(
        "token create --scope read,rooms --scope audit --expires 90d",
        true,
    );
    check("token create --scope read --expires soon", false);
    check("token revoke", false);
    check("token list --data d", true);
    check("audit -n 5 --json", true);
}
