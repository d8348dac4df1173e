//! `lateen capture`: the packet filter's rules that lead a pod's traffic through its proxy.
//!
//! What the rules are is decided in `lateen-capture`; here are the programs that read and write them.

pub(super) mod filter;
mod flags;
pub(super) mod machine;
mod program;
mod routes;
mod validate;

use lateen_capture::model::Rule;
use lateen_capture::settings::{Mode, Outcome, Problems};
use lateen_capture::{Settings, iptables, nftables, rules};

use filter::Filter;
use flags::Flags;

/// The exit code of a check that finds something else than what is wanted: the one of Istio's
/// validation, by which a pod that raced the CNI plugin is known.
const NOT_IN_PLACE: i32 = 126;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The flags are those of istio-iptables, and so are the variables that stand in for them: a flag's name \
in capitals with _ for -, and ISTIO_META_DNS_CAPTURE, INVALID_DROP, ISTIO_DUAL_STACK. The variables \
ISTIO_OUTBOUND_OWNER_GROUPS, ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE and \
ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR have no flag. IPv6 is captured where the machine has no IPv4 \
address, or has both and --dual-stack is given.

Exit code: 0 when all is done or in place; 1 when a program of the packet filter fails; 2 when a \
setting is wrong; 126 when `check` finds something else than what is wanted, or `validate` \
no capture.

Examples:
  lateen capture apply -b '*' -d 15090,15021,15020 -i '*'
  lateen capture check -b '*' -d 15090,15021,15020 -i '*'
  lateen capture print -m TPROXY -b '*' -i '*' --native-nftables")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Put the rules in place, each table at once; where they are already, nothing is touched.
    Apply(Flags),
    /// Say whether the rules are in place, and what is not as wanted.
    Check(Flags),
    /// Say whether a connection is captured, without privileges: run by the proxy's user, before the
    /// proxy.
    Validate(Flags),
    /// Take away all rules that lead to our chains, the chains, and what stands beside them.
    Clean(Flags),
    /// Print what `apply` would run where there is nothing yet.
    Print(Flags),
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    let flags = match &arguments.action {
        Action::Apply(flags)
        | Action::Check(flags)
        | Action::Validate(flags)
        | Action::Clean(flags)
        | Action::Print(flags) => flags,
    };
    let outcome = flags.written()?.read().and_then(|outcome| match arguments.action {
        // What is only printed may be for another machine.
        Action::Print(_) => Ok(outcome),
        _ => Ok(Outcome { settings: machine::numbered(outcome.settings)?, ..outcome }),
    });
    let Outcome { settings, notices } = match outcome {
        Ok(outcome) => outcome,
        Err(Problems(problems)) => {
            for problem in problems {
                eprintln!("lateen: {problem}");
            }
            return Ok(2);
        }
    };
    for notice in notices {
        eprintln!("lateen: note: {notice}");
    }
    let filter = Filter::chosen(flags.native_nftables());
    match arguments.action {
        Action::Print(_) => print(&settings, filter),
        Action::Apply(_) => apply(&settings, filter)?,
        Action::Check(_) => {
            let in_place = is_in_place(&settings, filter)?;
            return Ok(if in_place { 0 } else { NOT_IN_PLACE });
        }
        Action::Validate(_) => {
            let captured = validate::is_captured(&settings)?;
            return Ok(if captured { 0 } else { NOT_IN_PLACE });
        }
        Action::Clean(_) => clean(&settings, filter)?,
    }
    Ok(0)
}

fn print(settings: &Settings, filter: Filter) {
    let rules = rules::rules(settings);
    for entry in lateen_capture::routes::entries(settings) {
        println!("{}", entry.add());
    }
    match filter {
        Filter::Iptables => {
            for line in iptables::transcript(&rules, settings.ipv6) {
                println!("{line}");
            }
        }
        Filter::Nftables => print!("{}", nftables::load(&rules)),
    }
}

/// Puts the rules in place in the network namespace of the calling thread. Routes first: a packet that is
/// marked before there is a way for it would be lost.
pub(super) fn apply(settings: &Settings, filter: Filter) -> anyhow::Result<()> {
    routes::add(settings)?;
    filter.apply(&known(settings), &rules::rules(settings))
}

/// Whether the rules are in place in the network namespace of the calling thread; says what is not.
pub(super) fn is_in_place(settings: &Settings, filter: Filter) -> anyhow::Result<bool> {
    let missing = routes::missing(settings)?;
    for entry in &missing {
        println!("missing: {}", entry.add());
    }
    let in_place = filter.check(&known(settings), &rules::rules(settings))?;
    Ok(in_place && missing.is_empty())
}

fn clean(settings: &Settings, filter: Filter) -> anyhow::Result<()> {
    filter.apply(&known(settings), &[])?;
    routes::remove(settings)
}

/// Rules that are ours wherever they stand: those of both families and modes, whichever are wanted
/// now.
fn known(settings: &Settings) -> Vec<Rule> {
    let modes = [Mode::Redirect, Mode::Tproxy];
    let any = modes.map(|mode| Settings { ipv6: true, mode, ..settings.clone() });
    any.iter().flat_map(rules::rules).collect()
}
