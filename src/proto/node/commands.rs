//! What an embedder asks for: each command goes to the machine that it concerns.

use super::Node;
use crate::proto::border::{Command, CommandError};
use crate::types::{MAX_ADDRS, Time};

impl Node {
    /// Carries out a command.
    ///
    /// # Errors
    /// [`CommandError`] where it can't be; nothing has changed then.
    pub fn handle_command(&mut self, now: Time, command: Command) -> Result<(), CommandError> {
        if !self.begin(now) {
            return Err(CommandError::Stopped);
        }
        match command {
            Command::Leave => {
                self.moving = None;
                self.leave(now);
            }
            Command::Handover(to) => self.hand_over(now, to)?,
            Command::Move { multicast, seeds } => self.begin_move(now, multicast, seeds)?,
            Command::SetCapabilities(capabilities) => {
                self.me.capabilities = capabilities;
                self.me.revision = self.me.revision.saturating_add(1);
                self.introduce();
                self.register_itself(now);
            }
            Command::Recover { without } => {
                self.check_recovery(&without)?;
                self.order_recovery(now, without);
            }
            Command::Yield(into) => self.order_yield(now, into)?,
            Command::Claim(name) => self.wish(name, false)?,
            Command::Release(name) => self.wish(name, true)?,
            Command::Find { number, key, value } => self.find_for(number, &key, &value)?,
            Command::Ask { number, key, value, body } => self.ask_by_capability(now, number, (&key, &value), body)?,
            Command::Reply { to, incarnation, number, body } => {
                self.reply_to(now, &to, (incarnation, number), body)?;
            }
            Command::Retire(id) => self.retire(now, id)?,
            Command::SetPriority { id, priority } => self.set_priority(now, id, priority)?,
            Command::SetStanding(standing) => self.set_standing(now, standing)?,
            Command::Addresses(addrs) if addrs.is_empty() || addrs.len() > MAX_ADDRS => {
                return Err(CommandError::BadAddresses);
            }
            Command::Addresses(addrs) => {
                if addrs != self.me.addrs {
                    // A leader resigns before it loses a listener that it proclaimed: refusal has to mean death.
                    self.resign(now, true);
                    self.me.addrs = addrs;
                    self.renew_incarnation(now, self.me.incarnation);
                }
            }
        }
        self.settle(now);
        Ok(())
    }
}
