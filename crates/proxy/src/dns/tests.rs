use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{advance, sleep};

use super::*;

type Script = Arc<Mutex<VecDeque<Result<Found, String>>>>;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn found(last: u8, seconds: u64) -> Result<Found, String> {
    Ok(Found { addresses: vec![ip(last)], lifetime: Duration::from_secs(seconds) })
}

/// A resolver that gives the answers of `script` in turn, each after 100 ms.
fn scripted(answers: impl IntoIterator<Item = Result<Found, String>>) -> (Resolver, Script) {
    let script: Script = Arc::new(Mutex::new(answers.into_iter().collect()));
    let left = Arc::clone(&script);
    let lookup: Lookup = Box::new(move |_| {
        let next = left.lock().unwrap().pop_front().expect("the script covers every look-up");
        Box::pin(async move {
            sleep(Duration::from_millis(100)).await;
            next
        })
    });
    (Resolver::new(lookup, Handle::current()), script)
}

async fn first(resolver: &Resolver, name: &str) -> Result<IpAddr, String> {
    let answer = resolver.resolve(&name.into()).await;
    answer.map(|addresses| addresses[0]).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_its_time_and_then_renewed_in_the_background() {
    let (resolver, script) = scripted([found(1, 30), found(2, 30)]);
    let name: Arc<str> = "db.example".into();
    let (one, two) = tokio::join!(resolver.resolve(&name), resolver.resolve(&name));
    assert_eq!(one, two);
    assert_eq!(script.lock().unwrap().len(), 1, "two that ask together cost one look-up");
    advance(Duration::from_secs(29)).await;
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(1)));
    advance(Duration::from_secs(2)).await;
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(1)), "the old one while looking");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(2)));
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_kept_on_failure() {
    let down = || Err("server failure".to_owned());
    let (resolver, script) = scripted([found(1, 1), down(), down(), found(2, 1)]);
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(1)));
    advance(Duration::from_secs(300)).await;
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(1)), "waited, failed, kept");
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(1)));
    assert_eq!(script.lock().unwrap().len(), 2, "a failure is not asked again at once");
    advance(Duration::from_secs(3)).await;
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(1)));
    advance(Duration::from_secs(3)).await;
    assert_eq!(first(&resolver, "db.example").await, Ok(ip(2)));
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_address_is_an_error() {
    let empty = Ok(Found { addresses: Vec::new(), lifetime: Duration::from_secs(9) });
    let (resolver, _) = scripted([Err("no such name".to_owned()), empty]);
    let refused = first(&resolver, "nobody.example").await.unwrap_err();
    assert_eq!(refused, "nobody.example cannot be resolved: no such name");
    advance(Duration::from_secs(3)).await;
    let refused = first(&resolver, "nobody.example").await.unwrap_err();
    assert_eq!(refused, "nobody.example cannot be resolved: it has no address");
    assert_eq!(first(&resolver, "192.0.2.9").await, Ok(ip(9)), "no look-up at all");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_names_is_bounded() {
    let (resolver, script) = scripted((0..=NAMES).map(|_| found(1, 3600)));
    for index in 0..=NAMES {
        first(&resolver, &format!("{index}.example")).await.unwrap();
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(resolver.len(), NAMES);
    script.lock().unwrap().push_back(found(7, 3600));
    assert_eq!(first(&resolver, "0.example").await, Ok(ip(7)), "the oldest had gone");
}
