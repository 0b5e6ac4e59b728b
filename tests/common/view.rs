//! What a process has told so far, and what must hold of it.

use serde_json::Value;
use std::collections::BTreeMap;

/// What one node believed of its leader, from a time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belief {
    pub leader: Option<String>,
    pub term: u64,
    pub unix_us: u64,
}

/// One process, as its events show it.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub id: String,
    pub events: Vec<Value>,
    pub role: String,
    pub beliefs: Vec<Belief>,
    pub incarnation: u64,
    /// How often it was registered.
    pub registered: usize,
    /// The newest line: id, incarnation, active.
    pub line: Vec<(String, u64, bool)>,
    pub stopped: bool,
    /// When it was killed or frozen from outside: from then on it couldn't tell what became of it.
    pub silenced_us: Vec<u64>,
    last_term: u64,
    /// The members that it knows to have left, by incarnation.
    gone: BTreeMap<String, u64>,
    /// It went over to another lineage, and tells who left with the one before.
    crossing: bool,
}

impl View {
    pub fn new(id: &str) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Takes in an event, and holds it against what must always hold.
    pub fn note(&mut self, event: Value) {
        let text = |key: &str| event[key].as_str().map(String::from);
        let number = |key: &str| event[key].as_u64().unwrap_or(0);
        assert!(!self.stopped, "{}: `stopped` is the last event, then came {event}", self.id);
        assert_eq!(text("id").as_deref(), Some(&*self.id), "{event}");
        let kind = text("event").unwrap_or_default();
        assert_eq!(
            self.events.is_empty(),
            kind == "started",
            "{}: `started` is the first event, once: {event}",
            self.id
        );
        if let Some(term) = event.get("term").and_then(Value::as_u64) {
            assert!(term >= self.last_term, "{}: the term goes back from {} in {event}", self.id, self.last_term);
            self.last_term = term;
        }
        // Who left counts within a lineage.
        let crosses = kind == "parted" || kind == "merged" && !event["absorbed"].is_null();
        if crosses {
            self.gone.clear();
        }
        let still = self.crossing && (kind == "left" || kind == "name" && event["owner"].is_null());
        self.crossing = crosses || still;
        match kind.as_str() {
            "started" => self.incarnation = number("incarnation"),
            "role" => self.role = text("role").unwrap_or_default(),
            "leader" => {
                let belief = Belief { leader: text("leader"), term: number("term"), unix_us: number("unix_us") };
                let same = self.beliefs.last().is_some_and(|b| (&b.leader, b.term) == (&belief.leader, belief.term));
                assert!(!same, "{}: `leader` twice for one change: {event}", self.id);
                self.beliefs.push(belief);
            }
            "registered" => {
                self.registered += 1;
                self.incarnation = event.get("incarnation").and_then(Value::as_u64).unwrap_or(self.incarnation);
            }
            "line" => {
                let place = |p: &Value| {
                    let id = p["id"].as_str().unwrap_or("?").to_owned();
                    (id, p["incarnation"].as_u64().unwrap_or(0), p["active"].as_bool().unwrap_or(false))
                };
                self.line = event["line"].as_array().map(|l| l.iter().map(place).collect()).unwrap_or_default();
            }
            "joined" | "updated" | "left" => self.note_member(&kind, &event),
            "stopped" => self.stopped = true,
            _ => {}
        }
        self.events.push(event);
    }

    /// No event about a member follows its `left`, other than a `joined` with a larger incarnation.
    fn note_member(&mut self, kind: &str, event: &Value) {
        let member = event["member"].as_str().unwrap_or("?").to_owned();
        let incarnation = event["incarnation"].as_u64().unwrap_or(0);
        if let Some(last) = self.gone.get(&member) {
            assert!(
                kind == "joined" && incarnation > *last,
                "{}: {member} left in incarnation {last}, then {event}",
                self.id
            );
        }
        if kind == "left" && self.crossing {
            // In the lineage that it was in.
        } else if kind == "left" {
            self.gone.insert(member, incarnation);
        } else {
            self.gone.remove(&member);
        }
    }

    pub fn belief(&self) -> Option<&Belief> {
        self.beliefs.last()
    }

    /// The newest `left` of this member.
    pub fn left_reason(&self, member: &str) -> Option<&str> {
        let left = self.events.iter().rev().find(|e| e["event"] == "left" && e["member"] == member)?;
        left["reason"].as_str()
    }

    pub fn has_notice(&self, kind: &str) -> bool {
        self.events.iter().any(|e| e["event"] == "network" && e["kind"] == kind)
    }

    pub fn last(&self, event: &str) -> Option<&Value> {
        self.events.iter().rev().find(|e| e["event"] == event)
    }
}

impl View {
    /// From when to when it led, by its own word; until `MAX` where it still does.
    pub fn leaderships(&self) -> Vec<(u64, u64)> {
        let roles: Vec<(u64, bool)> = (self.events.iter())
            .filter(|e| e["event"] == "role" || e["event"] == "stopped")
            .map(|e| (e["unix_us"].as_u64().unwrap_or(0), e["role"] == "leader"))
            .collect();
        let until = |from: u64, next: Option<&(u64, bool)>| {
            let silenced = self.silenced_us.iter().copied().filter(|at| *at >= from).min().unwrap_or(u64::MAX);
            next.map_or(u64::MAX, |n| n.0).min(silenced)
        };
        (0..roles.len()).filter(|i| roles[*i].1).map(|i| (roles[i].0, until(roles[i].0, roles.get(i + 1)))).collect()
    }
}

/// No two lead at one time, in one lineage. `grace_us`: so much later than it steps down a busy process may say so.
pub fn check_leaderships<'a>(views: impl Iterator<Item = &'a View>, grace_us: u64) {
    let mut all: Vec<(u64, u64, &str)> =
        views.flat_map(|v| v.leaderships().into_iter().map(|(from, to)| (from, to, v.id.as_str()))).collect();
    all.sort_unstable();
    for pair in all.windows(2) {
        let [(_, to, first), (from, _, second)] = pair else { continue };
        assert!(
            to.saturating_sub(grace_us) <= *from,
            "{second} leads from {from} on, and {first} led until {to}: {} us too long",
            to.saturating_sub(*from)
        );
    }
}

/// One leader in a lineage and term, in the eyes of all.
pub fn check_terms<'a>(views: impl Iterator<Item = &'a View>) {
    let mut led: BTreeMap<(String, u64), String> = BTreeMap::new();
    for view in views {
        for event in view.events.iter().filter(|e| e["event"] == "leader") {
            let Some(leader) = event["leader"].as_str() else { continue };
            let lineage = event["lineage"].as_str().unwrap_or("").to_owned();
            let term = event["term"].as_u64().unwrap_or(0);
            let known = led.entry((lineage, term)).or_insert_with(|| leader.into());
            assert_eq!(known, leader, "two leaders in term {term}, {} says", view.id);
        }
    }
}
