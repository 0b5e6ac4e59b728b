//! convoke: the transport and membership layer for actor runtimes.
//!
//! A group of nodes, a *convention*, finds itself by multicast (or seeds, or broadcast), agrees on a line of succession
//! among its leader candidates, follows one leader, and replaces it: within milliseconds where it crashed, after the
//! detection time where it fell silent. Every member stays registered across it. No async runtime: a core without I/O, and
//! thin shells around it on [mio](https://docs.rs/mio), UDP and TCP.
//!
//! ```text
//!             ┌────────────────────────── Node: decides, and does no I/O ─────────────────────────┐
//!  datagram ──┤►  wire: bytes → checked view → meaning                                            │
//!  stream   ──┤►  peers (connections of candidates)    follower (seek, register, beat)            ├──► datagrams
//!  deadline ──┤►  voter (promises)   campaign (canvass, bid, fetch)   founding                    ├──► stream orders
//!  command  ──┤►  leadership (lease, replication)   detector   registrar   succession   names     ├──► records to store
//!  stored   ──┤►  recovery  log over roll (who is here)  subscriber  outbox (what waits for disk) ├──► events
//!  message  ──┤►  lanes (messages between any two nodes: order, acknowledgement, credit)          ├──► messages
//!  broadcast──┤►  broadcasts (by the roll's log to all: one order, repair, duplicates)              │
//!  request  ──┤►  requests (asker, desk of the leader, bearer of what is to be answered)           ├──► answers
//!             └───────────────────────────────────────────────────────────────────────────────────┘
//!                       ▲ time and seed are arguments; the next deadline comes out
//! ```
//!
//! # Three ways to embed
//!
//! | way | type | example |
//! | --- | --- | --- |
//! | in your own `mio::Poll`, one token | [`driver::Driver`] | `examples/own_poll.rs` |
//! | on a thread of its own, with a descriptor to wait on | [`driver::Handle`] | `examples/thread.rs` |
//! | the core alone, under your own I/O | [`proto::Node`] | `examples/core_alone.rs` |
//!
//! # The run loop of the core
//!
//! 1. Wait for bytes, or until [`proto::Node::poll_timeout`].
//! 2. Give everything that has come in to [`proto::Node::handle_datagram`] and [`proto::Node::handle_stream`], *then* call
//!    [`proto::Node::handle_timeout`] if its time has come: a node that was late judges nobody before it has read.
//! 3. Take the records of [`proto::Node::poll_store`], make them durable in order, call [`proto::Node::handle_stored`]. What
//!    rests on them is withheld until then.
//! 4. Take datagrams ([`proto::Node::poll_transmit`]), stream orders ([`proto::Node::poll_stream`]) and events
//!    ([`proto::Node::poll_event`]) until there are none. Handing in more before draining is fine; polls only take out.
//! 5. Go on with step 1.
//!
//! # What time means
//!
//! [`types::Time`] is microseconds on a clock that never goes back and that counts suspension (`CLOCK_BOOTTIME` on Linux).
//! The core reads no clock: one `now` is good for a whole batch of inputs. Leases hold as long as two clocks drift apart by
//! less than the bound ρ on each ([`proto::ConfigBuilder::drift_ppm`]). A hypervisor that stops all clocks of a guest is
//! outside of that bound: fence what a leader does by its term.
//!
//! # The line while it runs
//!
//! A leader takes a candidate off the line for good ([`proto::Command::Retire`]), or gives it another place
//! ([`proto::Command::SetPriority`]); a node makes itself a candidate, a witness or a plain member
//! ([`proto::Command::SetStanding`]). The decision is one entry of the roll, and the change of the line that follows from it
//! another one: each is committed before the next begins, and where the leader dies in between its successor carries on
//! from what is committed. A living voter is taken off only once the others have a majority that is in sync. Retired is
//! retired, for later leaders and across restarts, until the node itself asks to be promoted.
//!
//! A side without a majority says so ([`proto::Event::Isolated`]), tells of nobody that it left, and tells what changed
//! meanwhile once it is back ([`proto::Event::Merged`]). The other side tells of those that it declared gone, and of
//! their return, as of all others: [`proto::Event::Left`], then [`proto::Event::Joined`] with a larger incarnation.
//!
//! # Two sides, and one again
//!
//! Under [`proto::Policy::Available`] a side without a majority goes on by itself: once it has had no leader for
//! [`proto::Config::parting`], those voters that reach each other, and nobody who follows a leader, promise never again to
//! act in their lineage, and found a child of it ([`proto::Event::Parted`]). Members follow by what they hear.
//!
//! Lineages that meet become one. Each leader says how many candidates vote in its own; the one with fewer (of equals the
//! one with the larger number) decides nothing more, and hands over its roll. The other one leads on in a term above both,
//! commits the members of the first with new slots and the next incarnation, and their names where nobody has them, and
//! says so; only then the first lineage ends, and its leader tells all in a few datagrams. Without that word it goes on as
//! before: nothing that is lost in between leaves anybody without a lineage that may act. [`proto::Event::Merged`] tells it on
//! both sides, with the names that both had ([`proto::Conflict`]). Under [`proto::Policy::Quorum`] the same happens to
//! two foundings only by [`proto::Command::Yield`].
//!
//! # The roll for everyone
//!
//! Candidates and witnesses hold the whole roll, and any member may ([`proto::ConfigBuilder::subscribe`]): it is told the
//! same events, in the same order, committed entries only. The roll itself it gets over a connection to a supporter,
//! which is closed once it is level. After that changes come by multicast from the leader, many in one datagram, as long as
//! anybody subscribes; to those who are deaf to it by unicast, up to 256 of them. What is lost shows by the commit index in
//! the leader's heartbeat, and is asked for at a supporter, with jitter.
//!
//! A member claims a name ([`proto::Command::Claim`]): one member of the convention has it, until it gives it up or is off
//! the roll. A claim is confirmed once it is committed, refused with the owner's id, and asked until it is answered,
//! whoever leads meanwhile. 64 names a member, 65,536 together.
//!
//! Who can do what: [`proto::Node::find`] where the roll is held, [`proto::Command::Find`] everywhere. The leader has
//! `leader=yes`, whoever that is.
//!
//! # Handing over
//!
//! [`proto::Command::Handover`] gives the leadership to a candidate, or to the first of the line, that is in sync. The
//! successor is asked whether it is there; then the leader decides nothing more until the successor's roll equals its own,
//! ends its leadership, and *blesses* the successor, in the eyes of all voters at once: each grants the next term unasked,
//! so that a message's time and the answer to the first proclamation are all that lies between two leaders. No detection
//! time, no entry lost, nothing decided twice. What comes in meanwhile is refused as busy, and comes again to the next
//! leader. Whom it can't be given to is said with the reason ([`proto::CommandError`]); should the successor be lost in
//! the midst of it, the old leader bids for a higher term, and says so ([`proto::HandoverStep::Aborted`]). A leader that
//! leaves in order hands over first. [`proto::ConfigBuilder::preempt`] lets earlier candidates take over by themselves,
//! once they have been in sync for a while; they never do unless told.
//!
//! # Messages
//!
//! [`proto::Node::send`] (`Driver::send`, `Handle::send`) gives a message to any node of the convention by its name. For
//! each pair of a sender's and a receiver's incarnation messages are delivered in the order in which they were accepted,
//! each at most once, over any number of connections. What was accepted is delivered ([`proto::Event::Message`]) or comes
//! back ([`proto::Event::Undeliverable`], with the reason), as long as the sender's process lives. Delivered means: taken
//! by `poll_event` (with a `Handle`: by its thread, whose queue loses no message); that is what is acknowledged, some
//! milliseconds later. What was sent and not acknowledged when its way ended may have been delivered and come back as well:
//! the event says so (`uncertain`); what comes back without that was not delivered and never will be. Nothing is delivered
//! of an incarnation that was told to have left.
//!
//! Two nodes that talk have one connection, whichever made it: that between candidates, which stands anyway, or one that is
//! made on demand, with the address that the roll has (who holds no roll asks a candidate), and closed when nobody uses it.
//! Frames of control go before messages, which are cut into pieces of 32 KiB: at most 128 KiB of messages lie in the
//! driver, and as much unsent in the kernel. A receiver that takes nothing uses up the credit of its senders, each by
//! itself: then `send` says [`proto::SendError::Full`], and [`proto::Event::Writable`] when there is room again. How much
//! memory all of it may take at both ends is configured ([`proto::MessageLimits`]).
//! [`proto::Node::send_datagram`] sends one datagram instead: unordered, and acknowledged by nobody.
//!
//! # Broadcasts
//!
//! [`proto::Node::broadcast`] (`Driver::broadcast`, `Handle::broadcast`) tells all members something, the sender too: up to
//! 60 KiB ([`wire::MAX_BROADCAST`]), delivered as [`proto::Event::Message`] with the lane `Broadcast`. A broadcast is an entry
//! of the roll: the sender hands it to whoever leads until it is committed ([`proto::Event::BroadcastCommitted`]), so a
//! majority of the voters has it before it goes out, and it costs one round to the supporters, many in one batch. Each member
//! that is on the roll when it is committed, and stays on it, is given it once, in the order of the roll, which is the same
//! for all senders and all members of a lineage, across failovers and handovers. What isn't committed comes back
//! ([`proto::Event::BroadcastFailed`]) where this node had to come back as another incarnation, or stops; what a leader may
//! have had by then is `uncertain`. Who comes later is given nothing of what was said before.
//!
//! It goes out once, by multicast, small ones together, large ones in pieces of 1,000 bytes; by unicast to those who are deaf
//! to it, up to 256 of them. The leader's heartbeats say how far they went out; who lacks something asks a supporter for it,
//! with jitter, a datagram at a time, and takes more only as its embedder takes: 256 KiB wait for it at most, and other
//! events behind them. Candidates, witnesses and subscribers have them from the roll that they hold, in one order with what
//! else they are told of it, so nothing of a member follows its `Left`. The newest 8,192 are kept, of at most 4 MiB: who
//! was out of reach for longer, or took none, is told how many it missed ([`proto::Event::BroadcastsMissed`]). A sender's queue
//! takes 1 MiB, then `Full` and [`proto::Event::BroadcastWritable`]; a leader takes no more than 256 KiB until that went out,
//! at most 32 datagrams a millisecond, and no more than 2,048 and 1 MiB in each heartbeat interval, a quarter of what is
//! kept: what one lost can be asked for in time.
//!
//! # Members that can't be connected to
//!
//! A plain member behind a firewall or the like says so ([`proto::ConfigBuilder::outbound_only`]) and is a member like all
//! others: it registers, beats, follows, sends and is sent to. It keeps one connection, to its *keeper*: the voter that
//! follows from both names, and not the leader, unless that votes alone, so that such connections spread over the
//! supporters. Over it the member is told who leads, is vouched for where the leader hears nothing of it, and is called.
//!
//! Whoever has something to say to it calls it through the keeper, and it connects to the caller: the messages then go
//! directly. Two of them, or where that connection doesn't come about, talk by a circuit: the keeper passes on the bytes of
//! a connection of theirs unread. Order, acknowledgement, credit and what comes back are those of any pair, end to end; a
//! keeper that dies is a connection that ended. A circuit holds 64 KiB for either side at the keeper, which gives credit
//! for what it could pass on only: a receiver that takes nothing stops its sender, and nobody else
//! ([`proto::MessageLimits::relay`]). Datagrams to such a member go over the connection. Which way a pair takes is told by
//! [`proto::Node::path`]. A voter has to be connected to by all others, so candidates can't be of this kind.
//!
//! It needs a seed: an answer to multicast doesn't get through most firewalls. What a translation of addresses changes on
//! the way isn't known to the leader: heartbeats go to the address that the member told.
//!
//! # Asking by capability
//!
//! [`proto::Command::Ask`] gives a question to *one* member that has a capability (`source-authority=yes`): to the one in the lowest
//! slot, so that all who ask choose the same, and to that one as long as it has it. It is told as [`proto::Event::Asked`] and
//! answered by [`proto::Command::Reply`]; the asker is told once what came of it ([`proto::Event::Reply`]). A question that
//! certainly was given to nobody goes on to another member that has the capability, and comes back where there is none; one
//! that may have been given to an embedder is given to no other: without an answer its outcome is *unknown*. Nothing of it
//! is in the roll.
//!
//! # Thousands of nodes
//!
//! What a node's process needs of its system then (descriptors, the neighbour table) stands in [`driver`]; what bounds the
//! connections that others make, in [`proto::ConfigBuilder::max_strangers`] and [`net::NetConfigBuilder::max_streams`]. Who
//! claims more than a frame may have, says nothing, sends frames of control without end or takes nothing is cut off, and
//! counted by the reason: [`proto::Stats`] (`streams_cut_*`) and [`net::NetStats`] (`accepts_refused`, `streams_overflowed`).
//!
//! # Requests to whoever leads
//!
//! [`proto::Node::request`] (`Driver::request`, `Handle::request`) asks whoever leads, and returns a number. The leader's
//! embedder is given it ([`proto::Event::Request`]) and answers when it likes ([`proto::Node::answer`]); the sender is told
//! what came of it ([`proto::Event::Answer`]): the answer, or that nobody knows. That is the creation of an actor while the
//! leader changes: it waits while nobody leads, and is offered to each leader that comes, as the same one.
//!
//! *Begun* is committed before the embedder gets it, *answered* before the answer goes out, in batches: what comes while one
//! is under way costs one round to the supporters together. So a request is given to one embedder at most, once, in a lineage
//! and in all that are founded out of it, whatever fails, as long as its sender's process lives; an answered one was given
//! exactly once. What was begun by a node that is off the roll without having answered is unknown, and not given again: it may
//! have been carried out. A node that led and lives may still answer, after a handover above all, which so costs no request
//! its answer. With stores or without, that is the same: what is committed is lost only with the lineage, and in its child
//! what was offered before and isn't kept is unknown, not begun anew. A sender that dies takes its requests along, those that
//! were given too: as another incarnation it starts with number 1.
//!
//! An embedder that lets a request lie should say so ([`proto::Node::forget`]); its sender may have patience for so long only
//! ([`proto::ConfigBuilder::request_patience`]). Of one sender 256 are under way at a time and 1,024 wait; an answer has at most
//! 16 KiB, and of all senders together so many are open at a time as [`proto::MessageLimits::requests`] says: others begin
//! later. So a request whose answer waits for that of another one should be let run twice, or that number be large. What may
//! run twice can say so (`again`): it costs the supporters nothing, and is given to each next leader until one has answered.
//!
//! # Another convention address
//!
//! A node is pointed at another multicast group or other seeds while it runs (`Driver::move_to`, in the core
//! [`proto::Command::Move`]). It leaves where it is in order and in a bounded time: a leader resigns, a voter is taken off
//! the line, the member leaves the roll; only then are the sockets swapped, and it begins anew as after a restart with an
//! empty store: a larger incarnation, another voter, nothing of the old lineage in memory or store but the highest term.
//! [`proto::Event::Moved`] says from when on what was told before counts no more. A candidate founds at the new address
//! only where it would at a start. The lineage that it left is ignored from then on, wherever its frames come from, until
//! it is found at the new address: by a heartbeat on the floor, or by an answer to a question asked after the move.
//!
//! # What is guaranteed
//!
//! 1. At most one leader per (lineage, term), and at no instant two unexpired leases of one lineage, given ρ, and given
//!    that a refused connection means a dead process where that evidence is on
//!    ([`proto::ConfigBuilder::death_evidence`]).
//! 2. The terms that a node reports within a lineage and its children never go back; across restarts too where it has a
//!    store. The term is the fencing token. Under [`proto::Policy::Available`] they don't go back wherever it goes.
//! 3. A committed entry of the roll is in the roll of every later leader of the lineage, in the same order. A recovery
//!    ([`proto::Event::Recovered`]) may lose entries of which nobody that is left has any.
//! 4. A member is on the roll once; a name has one owner, and what claimers are told can be put in one order; an old
//!    heartbeat is never taken for that of a slot's new owner.
//! 5. No event about a member follows its `Left`, other than a `Joined` with a larger incarnation; no message from it
//!    either. (After a `Moved` who is there is told anew. A `Left` counts within its lineage: who was told to have left on a
//!    side that went on by itself may be there after a [`proto::Event::Merged`].)
//! 6. An accepted message is delivered at most once and in order, or comes back, whatever fails in between. A request to
//!    whoever leads is given to an embedder at most once per lineage and its children, and one that was answered exactly once;
//!    its sender is told one outcome. A broadcast is committed before anybody is given it; each is given it once and in one
//!    order, or is told how many it missed.
//! 7. Once the network is whole, and a majority of the voters of the last line run of which one may lead, or all that are
//!    left of it where the others restarted without a store, all nodes agree on leader, term and line within a bound
//!    ([`proto::Config::agreement`]).
//! 8. No bytes from the network panic a node, make it allocate without bound, or make it send more than it received to an
//!    unverified source.
//! 9. The core gives the same outputs for the same inputs, times and seed.
//!
//! The numbers are those of the protocol's description. The simulator checks 1 to 7 and 9 after every input of every node,
//! and a panic is a bug.
//!
//! # What is not
//!
//! - Under [`proto::Policy::Quorum`] a convention whose voters are away in such numbers that no majority is there waits, and names for whom
//!   ([`proto::Notice::WaitingFor`]). Where they restarted without stores those that are left recover as soon as that is
//!   proven, by a child of the lineage; where only witnesses are left they wait. An operator may give voters up
//!   ([`proto::Command::Recover`]).
//! - Whoever knows of a lineage founds no other. A candidate that was taken off the line remembers it in its store, and
//!   waits for that convention ([`proto::Notice::WaitingForConvention`]). One that accepted the founding of a part of a
//!   list is bound to it until its proposer says otherwise, or has lost its store and nobody else has anything of it;
//!   where that can't be shown it waits, and names for whom. The same command frees both.
//! - Frames are closed by a checksum, not yet by a key: whoever can send to the group can disturb it.
//! - While anybody subscribes, all members receive the datagrams that tell of changes: joins and leaves of the whole site,
//!   about a dozen in each. Who doesn't subscribe drops them unread.
//! - All members receive the datagrams of all broadcasts; while anybody subscribes each goes over the network twice, as news
//!   of the roll as well, and one that doesn't fit a datagram is fetched by each subscriber over a connection.
//! - A recovery may lose a broadcast that was committed, as any entry of the roll: some may have been given it. What is missed
//!   across one is counted at least, not exactly.
//! - A request is not taken back where its sender dies, and nobody learns by whom it was carried out, only whether.
//! - Under [`proto::Policy::Available`] what two sides decide while they are apart is decided apart; what was decided of the
//!   line on the side that is taken in (retirements, priorities) is not carried over. All nodes have to have one policy.
//!
//! # Features
//!
//! | feature | what |
//! | --- | --- |
//! | none | everything an embedder needs |
//! | `sim` | the deterministic simulator, for testing your own reaction to failovers |
//! | `cli` | the command `convoke` |
//! | `planted-bugs` | rules of the protocol broken on purpose, for the tests of the simulator's checkers; never release with it |
//!
//! # The modules
//!
//! Imports point downwards only; `tests/tidy` holds it.
//!
//! | module | what | imports |
//! | --- | --- | --- |
//! | [`types`] | the vocabulary | nothing |
//! | [`wire`] | bytes to frames and back; the layout as a table | `types` |
//! | [`proto`] | the core | `wire`, `types` |
//! | [`net`] | sockets and interfaces, no protocol | `types` |
//! | [`driver`] | the shells: own loop, own thread; the store in files | all above |
//! | `sim` | the simulator | `proto`, `wire`, `types` |

pub mod driver;
pub mod net;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod proto;
#[cfg(feature = "sim")]
#[deny(clippy::disallowed_types)]
pub mod sim;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod types;
#[deny(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod wire;
