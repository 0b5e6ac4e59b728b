//! What `--help` prints.

pub(crate) const GENERAL: &str = "\
convoke: nodes that find each other, agree on a leader, and replace it within milliseconds

  convoke node    one node, in the foreground (convoke node --help)
  convoke demo    the main job in one command, on loopback: discovery, a killed leader, its return
  convoke sim     the deterministic simulator (convoke sim --help)
  convoke bounds  the worst failover time and the traffic of a configuration (convoke bounds --help)
  convoke probe   not yet: what is in reach
  convoke swarm   many members in one process, for load (convoke swarm --help)

  --help, --version
";

pub(crate) const NODE: &str = "\
convoke node: one node, in the foreground

  --convention NAME         required: which convention
  --id ID                   this node's stable name, unique in the convention (the host's name)
  --candidate, --witness    may lead and vote; vote only. Neither: a plain member
  --priority N              place in the line: larger first (0)
  --interface NAME-OR-CIDR  repeatable: a name, a glob, a CIDR (loopback only)
  --multicast ADDR:PORT     the group of all members; the next port is the candidates' (a default in 239/8)
  --no-multicast
  --seed HOST:PORT          repeatable: where to ask as well; names are resolved anew at each try
  --broadcast               seek by limited broadcast as well
  --found HOW               how a convention begins, for candidates: expect=N, list=ID@HOST:PORT,... or alone
  --admin HOST:PORT         where to listen, TCP and UDP (the interface's address, any port)
  --advertise HOST:PORT     what others are told instead
  --outbound-only           others cannot connect to this node (plain members only; name seeds)
  --heartbeat MS            interval (1000)
  --detect N                intervals of silence until a node is taken for gone (3)
  --policy quorum           what a side without a majority does: it waits (quorum); available: it goes on by itself
  --preempt never, MS       whether an earlier candidate takes over after being in sync for MS (never)
  --store DIR               where terms and votes survive a restart (none)
  --repair-store            cut off a last write there that a crash left unfinished
  --give-up MS              no leader within this time from the start: exit 1 (never)
  --capability KEY=VALUE    repeatable
  --subscribe               follow the whole roll as a plain member (candidates do anyway)
  --until-eof               the end of stdin is an order to stop at once (it is none)
  --json                    one JSON object a line on stdout; otherwise readable lines

  SIGTERM, SIGINT: leave in order. Logs go to stderr, CONVOKE_LOG filters them (CONVOKE_LOG=convoke=debug).

Commands, a line each on stdin:
  send ID TEXT              a message to another node: in order, delivered or back
  datagram ID TEXT          the same as one datagram, which may be lost
  broadcast TEXT            a message to all members, this one too: once, in one order
  ask KEY=VALUE TEXT        asks one member that has this capability; it answers with the same text after echo:
  path ID                   the way that messages to ID take: direct, dialled_back, relayed, none
  request TEXT              to whoever leads, which answers with the same text after \"echo:\"
  set KEY=VALUE, unset KEY  change this node's capabilities
  find KEY=VALUE            who can do that; find leader=yes: who leads
  members                   who is on the roll (candidates, and with --subscribe)
  claim NAME, release NAME  names that one member at a time has
  line                      the line of succession
  retire ID                 leader: take a candidate off the line for good, until it is promoted
  priority ID N             leader: its place in the line from now on
  promote [witness], demote make this node a candidate (or a witness), or a plain member
  move [--multicast ADDR:PORT | --no-multicast] [--seed HOST:PORT]...
                            leave, then go over to another convention address; the group stays unless said, the seeds
                            are those named here
  stats                     all counters
  recover ID...             without a leader: go on without these voters, for good; what they alone hold is lost,
                            and should one of them live, there are two conventions
  yield LINEAGE             as leader: this lineage ends, and goes on in that one (see foreign_lineage)
  handover [ID]             as leader: hand over, to ID or to the next that is in sync
  leave                     leave in order; a leader hands over first
  quit                      stop at once, without a word to the others
";

pub(crate) const SWARM: &str = "\
convoke swarm: many real members in one process on one thread, each with its own socket, for load

  --members N               how many (100)
  --subscribers N           how many of them follow the whole roll (0; all with --subscribe)
  --for TIME                leave after that: 60s, 10m (until told to)
  and the options of convoke node that are for plain members; their names are ID-0, ID-1 ...

  Tells each second: who is registered, registrations, datagrams sent, heartbeats heard, the process's share of a
  processor, datagrams dropped. SIGTERM, SIGINT: leave in order. Each member needs six descriptors (ulimit -n).

Commands, a line each on stdin: stats, leave, quit
";

pub(crate) const DEMO: &str = "\
convoke demo: the main job in one command, on loopback, as real processes

  --nodes N    candidates, 3 to 15 (5)
  --members N  plain members, 0 to 50 (3)
  --json       one JSON object a line

Ends by itself in under 30 s. Exit status 0 only if all of it happened.
";

pub(crate) const BOUNDS: &str = "\
convoke bounds: the worst failover time and the traffic of a configuration

  --candidates N    candidates and witnesses (3)
  --members N       plain members besides (0)
  --heartbeat MS    interval (1000)
  --detect N        intervals of silence until a node is taken for gone (3)
  --one-way US      the longest way from one node to another, microseconds (500)
  --late US         the longest that a node's loop is late, microseconds (1000)
  --write US        the longest that a store's write takes, microseconds (0)
  --no-multicast    heartbeats go by unicast to all
";

pub(crate) const SIM: &str = "\
convoke sim: the deterministic simulator

  --seed N          one run, told as a story
  --seeds A..B      a band of seeds, B excluded; stops at the first that fails
  --candidates N    how many candidates (drawn from the seed)
  --members N       how many plain members (drawn from the seed)
  --for TIME        how long faults act, in simulated time: 500ms, 60s, 10m, 1h (drawn from the seed)
  --policy P      quorum (as it is unless said) or available
  --faults LIST     all, none, or some of them, with commas between (all)

Exit status 1 on a violation.
";
