//! What the processes' events have told so far.

use serde_json::Value;

/// One process, as its events show it.
#[derive(Debug, Clone, Default)]
pub(super) struct Player {
    pub(super) name: String,
    pub(super) candidate: bool,
    /// False once it was killed or told to leave.
    pub(super) on_stage: bool,
    pub(super) incarnation: u64,
    pub(super) leader: Option<String>,
    pub(super) term: u64,
    /// When it learned of this leader, microseconds since 1970.
    pub(super) leader_at_us: u64,
    pub(super) registered_at_us: Option<u64>,
    pub(super) line: Vec<Place>,
    pub(super) line_at_us: u64,
    pub(super) stopped: bool,
    pub(super) stats: Option<Value>,
}

/// A place in the line of succession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: String,
    pub(super) incarnation: u64,
    pub(super) active: bool,
}

/// All of them, by the number that [`super::cast::Cast`] gave.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) players: Vec<Player>,
}

impl Scene {
    pub(super) fn enter(&mut self, name: &str, candidate: bool) {
        self.players.push(Player { name: name.into(), candidate, on_stage: true, ..Player::default() });
    }

    /// Takes in an event.
    pub(super) fn note(&mut self, serial: usize, event: &Value) {
        let Some(player) = self.players.get_mut(serial) else { return };
        let at_us = event["unix_us"].as_u64().unwrap_or(0);
        match event["event"].as_str().unwrap_or("") {
            "started" => player.incarnation = event["incarnation"].as_u64().unwrap_or(0),
            "leader" => {
                player.leader = event["leader"].as_str().map(Into::into);
                player.term = event["term"].as_u64().unwrap_or(0);
                player.leader_at_us = at_us;
            }
            "registered" => player.registered_at_us = Some(at_us),
            "line" => {
                player.line = event["line"].as_array().map(|l| l.iter().map(place).collect()).unwrap_or_default();
                player.line_at_us = at_us;
            }
            "stats" => player.stats = Some(event.clone()),
            "stopped" => player.stopped = true,
            _ => {}
        }
    }

    pub(super) fn on_stage(&self) -> impl Iterator<Item = (usize, &Player)> {
        self.players.iter().enumerate().filter(|(_, p)| p.on_stage)
    }

    /// Leader and term that all on stage agree on, where the leader is among them.
    pub(super) fn agreed(&self) -> Option<(usize, u64)> {
        let (_, first) = self.on_stage().next()?;
        let leader = first.leader.clone()?;
        let same = self.on_stage().all(|(_, p)| p.term == first.term && p.leader.as_ref() == Some(&leader));
        let serial = self.on_stage().find(|(_, p)| p.name == leader)?.0;
        same.then_some((serial, first.term))
    }

    /// True where this incarnation counts as a voter in the line that every candidate on stage has.
    pub(super) fn is_in_line(&self, serial: usize) -> bool {
        let who = &self.players[serial];
        let has = |p: &Player| p.line.iter().any(|l| l.active && l.id == who.name && l.incarnation == who.incarnation);
        who.incarnation != 0 && self.on_stage().filter(|(_, p)| p.candidate).all(|(_, p)| has(p))
    }
}

fn place(value: &Value) -> Place {
    Place {
        id: value["id"].as_str().unwrap_or("?").into(),
        incarnation: value["incarnation"].as_u64().unwrap_or(0),
        active: value["active"].as_bool().unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn agreement_is_of_all_on_stage() {
        let mut scene = Scene::default();
        scene.enter("a", true);
        scene.enter("b", true);
        assert_eq!(scene.agreed(), None);
        scene.note(0, &json!({"event": "leader", "leader": "b", "term": 3, "unix_us": 1}));
        assert_eq!(scene.agreed(), None);
        scene.note(1, &json!({"event": "leader", "leader": "b", "term": 3, "unix_us": 2}));
        assert_eq!(scene.agreed(), Some((1, 3)));
        scene.players[1].on_stage = false;
        assert_eq!(scene.agreed(), None, "the leader has gone");
        scene.note(0, &json!({"event": "started", "incarnation": 9}));
        assert!(!scene.is_in_line(0));
        scene.note(0, &json!({"event": "line", "line": [{"id": "a", "incarnation": 9, "active": true}]}));
        assert!(scene.is_in_line(0));
    }
}
