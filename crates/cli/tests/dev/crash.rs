//! A system that is killed in the middle of its work, again and again: what it acknowledged is there, and what it did not is
//! there wholly or not at all.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::eks::{ASSOCIATIONS, Caller};
use crate::system::{System, folder};

const ROUNDS: usize = 20;
const ACCOUNTS: u64 = 6;

/// The same moments and requests each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A request, and what it is about.
#[derive(Clone, Debug)]
struct Request {
    account: String,
    method: &'static str,
    path: String,
    body: Value,
}

/// What a client knows: associations by service account, as they were acknowledged, and what it has asked for since.
#[derive(Default)]
struct Known {
    associations: BTreeMap<String, Value>,
    under_way: Option<Request>,
    acknowledged: usize,
    /// How many were done without being acknowledged.
    done_unheard: usize,
}

impl Known {
    fn next_request(&self, dice: &mut Dice) -> Request {
        let account = format!("web-{}", dice.below(ACCOUNTS));
        let role = format!("arn:aws:iam::111122223333:role/role-{}", dice.below(1_000));
        let token = format!("token-{}", dice.below(u64::MAX >> 33));
        let Some(association) = self.associations.get(&account) else {
            let body = json!({
                "namespace": "shop", "serviceAccount": account, "roleArn": role, "clientRequestToken": token,
                "tags": { "team": "shop", "filler": "x".repeat(usize::try_from(dice.below(200)).unwrap()) }
            });
            return Request { account, method: "POST", path: ASSOCIATIONS.to_owned(), body };
        };
        let path = format!("{ASSOCIATIONS}/{}", association["associationId"].as_str().unwrap());
        if dice.below(3) == 0 {
            return Request { account, method: "DELETE", path, body: Value::Null };
        }
        let body = json!({ "roleArn": role, "disableSessionTags": true, "policy": "{}", "clientRequestToken": token });
        Request { account, method: "POST", path, body }
    }

    /// Works until it is stopped.
    async fn work(&mut self, system: &System, caller: &Caller, dice: &mut Dice) {
        loop {
            let request = self.next_request(dice);
            self.under_way = Some(request.clone());
            let answer =
                caller.done(system, request.method, &request.path, request.body.clone()).await["association"]
                    .clone();
            self.under_way = None;
            self.acknowledged += 1;
            self.learn(&request, answer);
        }
    }

    fn learn(&mut self, request: &Request, answer: Value) {
        match request.method {
            "DELETE" => self.associations.remove(&request.account),
            _ => self.associations.insert(request.account.clone(), answer),
        };
    }

    /// Compares what is there with what is known; what was under way may have happened, wholly.
    async fn compare(&mut self, system: &System, caller: &Caller) {
        let mut found = all(system, caller).await;
        let Some(request) = self.under_way.take() else {
            assert_eq!(found, self.associations);
            return;
        };
        let (there, before) = (found.remove(&request.account), self.associations.remove(&request.account));
        assert_eq!(found, self.associations, "others than {request:?}");
        if there != before {
            self.done_unheard += 1;
            match &there {
                None => assert_eq!(request.method, "DELETE", "it had {before:?}"),
                Some(there) => is_as_asked(there, &request, before.as_ref()),
            }
        }
        self.associations = found;
        self.associations.extend(there.map(|there| (request.account.clone(), there)));
        // Whoever got no answer asks again, and gets one.
        if !request.body.is_null() {
            let answer = caller.done(system, request.method, &request.path, request.body.clone()).await;
            self.learn(&request, answer["association"].clone());
            assert_eq!(all(system, caller).await, self.associations);
        }
    }
}

/// Every member that was asked for, and every other one as it was.
fn is_as_asked(there: &Value, request: &Request, before: Option<&Value>) {
    let asked = request.body.as_object().expect("a delete leaves nothing");
    for (name, value) in asked.iter().filter(|(name, _)| *name != "clientRequestToken") {
        assert_eq!(&there[name], value, "{name} of {request:?}");
    }
    let kept = ["associationId", "createdAt", "tags"];
    for name in kept.iter().filter(|_| before.is_some()) {
        assert_eq!(there[name], before.unwrap()[name], "{name} of {request:?}");
    }
}

/// All associations, by way of the list, of the id and of the names, which must agree.
async fn all(system: &System, caller: &Caller) -> BTreeMap<String, Value> {
    let list = caller.done(system, "GET", ASSOCIATIONS, Value::Null).await;
    let mut all = BTreeMap::new();
    for summary in list["associations"].as_array().unwrap() {
        let (id, account) =
            (summary["associationId"].as_str().unwrap(), summary["serviceAccount"].as_str().unwrap());
        let by_id = caller.done(system, "GET", &format!("{ASSOCIATIONS}/{id}"), Value::Null).await;
        let names = format!("{ASSOCIATIONS}?namespace=shop&serviceAccount={account}");
        let by_names = caller.done(system, "GET", &names, Value::Null).await;
        assert_eq!(by_names["associations"], json!([summary]));
        all.insert(account.to_owned(), by_id["association"].clone());
    }
    all
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_by_halves() {
    let data = folder();
    let (mut dice, mut known) = (Dice(2_703), Known::default());
    for _ in 0..ROUNDS {
        let system = System::start(data.path(), &[]).await;
        let caller = Caller::of(&system).await;
        known.compare(&system, &caller).await;
        let turns = dice.below(20_000);
        let kill = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            system.signal(Signal::KILL);
        };
        tokio::select! {
            () = known.work(&system, &caller, &mut dice) => unreachable!("it works until it is stopped"),
            () = kill => {}
        }
        system.ended().await;
    }
    let system = System::start(data.path(), &[]).await;
    known.compare(&system, &Caller::of(&system).await).await;
    // Otherwise it was killed before it had done anything.
    assert!(known.acknowledged > ROUNDS, "{}", known.acknowledged);
    println!("{} acknowledged, of {ROUNDS} cut off {} were done", known.acknowledged, known.done_unheard);
}
