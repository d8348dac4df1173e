//! What stands beside the packet filter, by `ip`.

use lateen_capture::Settings;
use lateen_capture::routes::{Command, Entry, entries};
use lateen_capture::settings::{InboundPorts, Mode};

use super::program;

/// Adds what is not there yet, and says so.
pub(super) fn add(settings: &Settings) -> anyhow::Result<()> {
    for entry in missing(settings)? {
        run(&entry.add())?;
    }
    Ok(())
}

/// What is not there.
pub(super) fn missing(settings: &Settings) -> anyhow::Result<Vec<Entry>> {
    let mut missing = Vec::new();
    for entry in entries(settings) {
        if !is_there(entry)? {
            missing.push(entry);
        }
    }
    Ok(missing)
}

/// Takes away whatever these settings could have added in any mode.
pub(super) fn remove(settings: &Settings) -> anyhow::Result<()> {
    let all = Settings {
        ipv6: true,
        mode: Mode::Tproxy,
        inbound_ports: InboundPorts::All { except: Vec::new() },
        ..settings.clone()
    };
    // Rules lead to the routes: they go first.
    for entry in entries(&all).into_iter().rev() {
        // Without `ip`, or without IPv6, nothing of the kind can have been added.
        if is_there(entry).unwrap_or(false) {
            run(&entry.remove())?;
        }
    }
    Ok(())
}

fn is_there(entry: Entry) -> anyhow::Result<bool> {
    Ok(entry.is_in(&ip(&entry.show())?))
}

fn run(command: &Command) -> anyhow::Result<()> {
    println!("{command}");
    ip(command).map(drop)
}

fn ip(command: &Command) -> anyhow::Result<String> {
    let arguments: Vec<&str> = command.0.iter().map(String::as_str).collect();
    program::run("ip", &arguments, "")
}
