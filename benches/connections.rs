//! Thousands of connections at one node, a leader: what an idle one costs, and how fast they are accepted, against a loop
//! that only accepts and registers.
//!
//! Idle are those that shook hands, and those that have sent and received as well.
//!
//! The node, and the loop, are in a process of their own, whose processor time and memory are measured there. This
//! process opens the connections: all that fit a listener's queue at a time, while the other side does nothing, so that
//! only the work of accepting is counted, however slow connecting is.
//!
//! `cargo bench --bench connections` (`-- --connections N`; `-- --test` is a short one). Linux only: it needs that many
//! descriptors in each process (`ulimit -Hn`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(target_os = "linux")]
mod common;

#[cfg(target_os = "linux")]
mod bench {
    use super::common::args::Args;
    use super::common::nodes::{self, Side};
    use super::common::{BODY, heap, median};
    use bytes::{BufMut, Bytes, BytesMut};
    use convoke::net::NetConfig;
    use convoke::proto::MessageLimits;
    use convoke::types::{Capabilities, Identity, Incarnation, Lineage, MemberInfo, Standing, Term};
    use convoke::wire::{Data, FrameReader, Hello, Message, Open, encode_message};
    use mio::{Events, Interest, Poll, Token};
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::time::{ClockId, clock_gettime};
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::time::{Duration, Instant};

    #[global_allocator]
    static ALLOCATOR: heap::Counting = heap::Counting;

    /// So many fit the queue of a listener.
    const QUEUE: usize = 1_000;
    /// So many are sent on each connection.
    const MESSAGES: usize = 100;
    /// What is promised: user memory for an idle connection, and the rate of the raw loop.
    const MOST_BYTES: f64 = 1_000.0;
    const LEAST_RATE: f64 = 0.7;

    /// As many descriptors as this process may have.
    fn raise_limit() -> usize {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        usize::try_from(hard).unwrap_or(usize::MAX)
    }

    fn processor_us() -> u64 {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1_000
    }

    // ---- The process that accepts ----

    /// What accepts.
    trait Host {
        fn addr(&self) -> SocketAddr;
        fn lineage(&self) -> u64;
        fn turn(&mut self);
        fn accepted(&self) -> u64;
        /// Those that said who they are, and were answered.
        fn greeted(&self) -> u64;
        /// The messages that were taken.
        fn taken(&self) -> u64;
    }

    impl Host for Side {
        fn addr(&self) -> SocketAddr {
            self.driver.local_addr()
        }
        fn lineage(&self) -> u64 {
            self.driver.node().lineage().0
        }
        fn turn(&mut self) {
            Self::turn(self, true);
            while self.driver.poll_event().is_some() {}
        }
        fn accepted(&self) -> u64 {
            self.driver.net_stats().accepts
        }
        fn greeted(&self) -> u64 {
            self.driver.node().stats().lanes_opened
        }
        fn taken(&self) -> u64 {
            self.driver.node().stats().messages_in
        }
    }

    /// Accepts and registers; whoever says something is answered as much.
    struct Raw {
        poll: Poll,
        events: Events,
        listener: mio::net::TcpListener,
        streams: Vec<mio::net::TcpStream>,
        buffer: Vec<u8>,
        greeted: u64,
    }

    /// A listener with a queue as long as a node's.
    fn listen() -> mio::net::TcpListener {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        socket.listen(1_024).unwrap();
        mio::net::TcpListener::from_std(socket.into())
    }

    impl Raw {
        fn new() -> Self {
            let poll = Poll::new().unwrap();
            let mut listener = listen();
            poll.registry().register(&mut listener, Token(usize::MAX), Interest::READABLE).unwrap();
            let (events, buffer) = (Events::with_capacity(256), vec![0; 64 << 10]);
            Self { poll, events, listener, streams: Vec::new(), buffer, greeted: 0 }
        }
    }

    impl Host for Raw {
        fn addr(&self) -> SocketAddr {
            self.listener.local_addr().unwrap()
        }
        fn lineage(&self) -> u64 {
            0
        }
        fn turn(&mut self) {
            self.poll.poll(&mut self.events, Some(Duration::from_millis(50))).unwrap();
            for event in &self.events {
                if event.token() == Token(usize::MAX) {
                    while let Ok((mut stream, _)) = self.listener.accept() {
                        let token = Token(self.streams.len());
                        let interest = Interest::READABLE | Interest::WRITABLE;
                        self.poll.registry().register(&mut stream, token, interest).unwrap();
                        self.streams.push(stream);
                    }
                } else if event.is_readable()
                    && let Some(stream) = self.streams.get_mut(event.token().0)
                    && let Ok(n) = stream.read(&mut self.buffer)
                {
                    stream.write_all(&self.buffer[..n]).unwrap();
                    self.greeted += 1;
                }
            }
        }
        fn accepted(&self) -> u64 {
            self.streams.len() as u64
        }
        fn greeted(&self) -> u64 {
            self.greeted
        }
        fn taken(&self) -> u64 {
            0
        }
    }

    /// Runs until so many more are there; how long the processor took.
    fn run(host: &mut dyn Host, more: u64, count: fn(&dyn Host) -> u64) -> u64 {
        let (before, since, start) = (count(host), processor_us(), Instant::now());
        while count(host) < before + more {
            assert!(start.elapsed() < Duration::from_secs(30), "{} of {more} came", count(host) - before);
            host.turn();
        }
        processor_us() - since
    }

    /// Does what it is told on stdin, and nothing in between.
    pub(super) fn host(kind: &str, limit: &str) {
        raise_limit();
        let mut host: Box<dyn Host> = if kind == "raw" {
            Box::new(Raw::new())
        } else {
            let limit = limit.parse().unwrap();
            // A detection time of 5 s: it doesn't run while connections are made.
            let config = nodes::config("a", Some(1)).detect(25).heartbeat(Duration::from_millis(200));
            // Credit is a promise, and each of them gets some.
            let limits = MessageLimits { windows: 1 << 34, ..MessageLimits::default() };
            let config = config.max_strangers(limit).messages(limits);
            let net = NetConfig::builder().multicast(nodes::group(nodes::port())).max_streams(limit).build().unwrap();
            let mut side = Side::new(config, net);
            side.until("it leads", |driver| driver.node().registration().is_some());
            Box::new(side)
        };
        println!("{} {}", host.addr(), host.lineage());
        for line in std::io::stdin().lock().lines() {
            let line = line.unwrap();
            let (word, n) = line.split_once(' ').unwrap();
            let n = n.parse().unwrap();
            match word {
                "accept" => println!("{}", run(&mut *host, n, |host| host.accepted())),
                "take" => println!("{}", run(&mut *host, n, |host| host.taken())),
                "greet" => println!("{}", run(&mut *host, n, |host| host.greeted())),
                _ => {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(n) {
                        host.turn();
                    }
                    println!("{} {}", heap::used(), heap::resident());
                }
            }
        }
    }

    // ---- The process that connects ----

    struct Far {
        child: Child,
        orders: ChildStdin,
        answers: BufReader<ChildStdout>,
        addr: SocketAddr,
        lineage: u64,
        incarnation: Incarnation,
        conns: Vec<TcpStream>,
    }

    impl Far {
        fn start(kind: &str, connections: usize) -> Self {
            let me = std::env::current_exe().unwrap();
            let mut child = Command::new(me)
                .args(["--host", kind, &(connections + 8).to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
            let addr = "127.0.0.1:1".parse().unwrap();
            let mut far =
                Self { child, orders, answers, addr, lineage: 0, incarnation: Incarnation::ZERO, conns: Vec::new() };
            let line = far.answer();
            let (addr, lineage) = line.split_once(' ').unwrap();
            (far.addr, far.lineage) = (addr.parse().unwrap(), lineage.parse().unwrap());
            far
        }

        fn answer(&mut self) -> String {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the other process has ended");
            line.trim_end().into()
        }

        fn ask(&mut self, what: &str) -> String {
            writeln!(self.orders, "{what}").unwrap();
            self.answer()
        }

        /// Heap and resident bytes, after it did for a while what is to be done.
        fn memory(&mut self, ms: u64) -> (f64, f64) {
            let line = self.ask(&format!("memory {ms}"));
            let (used, resident) = line.split_once(' ').unwrap();
            (used.parse().unwrap(), resident.parse().unwrap())
        }

        /// Connects so many; the processor time of accepting one, in microseconds.
        fn connect(&mut self, connections: usize) -> f64 {
            let mut took = 0.0;
            for _ in 0..connections / QUEUE {
                self.conns.extend((0..QUEUE).map(|_| TcpStream::connect(self.addr).unwrap()));
                took += self.ask(&format!("accept {QUEUE}")).parse::<f64>().unwrap();
            }
            took / self.conns.len() as f64
        }

        /// Says on all of them who this is; the processor time of one handshake, in microseconds.
        fn greet(&mut self, reads: bool) -> f64 {
            let (mut took, lineage) = (0.0, self.lineage);
            let mut frames = BytesMut::new();
            for (at, conns) in self.conns.chunks(QUEUE).enumerate() {
                for (n, conn) in (at * QUEUE..).zip(conns) {
                    frames.clear();
                    encode_message(&Message::Hello(hello(n, lineage)), tag(), &mut frames);
                    (&*conn).write_all(&frames).unwrap();
                }
                writeln!(self.orders, "greet {}", conns.len()).unwrap();
                let mut line = String::new();
                self.answers.read_line(&mut line).unwrap();
                took += line.trim_end().parse::<f64>().unwrap();
                for conn in conns.iter().filter(|_| reads) {
                    let (mut reader, mut buffer) = (FrameReader::new(), [0; 1_024]);
                    let n = (&*conn).read(&mut buffer).unwrap();
                    reader.push(&buffer[..n]);
                    let Ok(Some(Message::Hello(hello))) = reader.next(tag()) else { panic!("no handshake") };
                    self.incarnation = hello.info.incarnation;
                }
            }
            took / self.conns.len() as f64
        }

        /// Sends some messages on each connection, as much as a first credit allows, and sees that they are taken.
        fn talk(&mut self) {
            let mut record = BytesMut::new();
            record.put_u32(BODY as u32);
            record.put_bytes(7, BODY);
            let records = Bytes::from(record.repeat(MESSAGES));
            let mut frames = BytesMut::new();
            let open = Open { incarnation: Incarnation(1), to: self.incarnation, base: 1 };
            encode_message(&Message::Open(open), tag(), &mut frames);
            encode_message(&Message::Data(Data { number: 1, offset: 0, records }), tag(), &mut frames);
            for conns in self.conns.chunks(QUEUE) {
                for mut conn in conns {
                    conn.write_all(&frames).unwrap();
                }
                writeln!(self.orders, "take {}", conns.len() * MESSAGES).unwrap();
                self.answers.read_line(&mut String::new()).unwrap();
            }
        }
    }

    impl Drop for Far {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn tag() -> u32 {
        convoke::types::ConventionId::new("bench").unwrap().tag()
    }

    /// What the n-th member says of itself.
    fn hello(n: usize, lineage: u64) -> Hello {
        let info = MemberInfo {
            id: nodes::id(&format!("member-{n}")),
            incarnation: Incarnation(1),
            identity: Identity(n as u64 + 1),
            standing: Standing::Member,
            priority: 0,
            durable: false,
            multicast: true,
            provable: true,
            outbound: false,
            follows: false,
            addrs: vec!["127.0.0.1:9".parse().unwrap()],
            revision: 0,
            capabilities: Capabilities::new(),
        };
        let lineage = Lineage(lineage);
        Hello { convention: "bench".into(), lineage, parents: Vec::new(), term: Term::ZERO, info }
    }

    pub(super) fn run_all(args: &Args) {
        let most = raise_limit().saturating_sub(100);
        let connections = args.value("--connections").unwrap_or(args.pick(QUEUE, 10 * QUEUE)).min(most) / QUEUE * QUEUE;
        let (mut accepting, mut greeting) = (Vec::new(), Vec::new());
        for _ in 0..args.pick(1, 3) {
            let mut raw = Far::start("raw", connections);
            let raw_us = (raw.connect(connections), raw.greet(false));
            drop(raw);
            let mut node = Far::start("node", connections);
            let none = node.memory(500);
            let accept_us = node.connect(connections);
            let silent = node.memory(0);
            let greet_us = node.greet(true);
            let idle = node.memory(500);
            node.talk();
            // What a busy connection needs it gives back after the detection time.
            let rested = node.memory(args.pick(200, 12_000));
            let each = |to: (f64, f64)| ((to.0 - none.0) / connections as f64, (to.1 - none.1) / connections as f64);
            println!(
                "{connections} connections: accepted in {accept_us:.2} us each, raw {:.2}: {:.0} % of the raw rate; \
                 with a handshake {:.2}, raw {:.2}: {:.0} %",
                raw_us.0,
                raw_us.0 / accept_us * 100.0,
                accept_us + greet_us,
                raw_us.0 + raw_us.1,
                (raw_us.0 + raw_us.1) / (accept_us + greet_us) * 100.0,
            );
            for (what, memory) in [("unnamed", silent), ("idle", idle), ("idle after traffic", rested)] {
                let (heap, resident) = each(memory);
                println!("  user memory of one, {what}: {heap:.0} bytes of heap (resident {resident:.0})");
                if heap > MOST_BYTES && !args.is_short() {
                    println!("  MISSED: {heap:.0} of {MOST_BYTES} bytes");
                }
            }
            accepting.push(raw_us.0 / accept_us);
            greeting.push((raw_us.0 + raw_us.1) / (accept_us + greet_us));
        }
        let (rate, whole) = (median(&mut accepting), median(&mut greeting));
        println!("in the median: {:.0} % of the raw rate, {:.0} % with a handshake", rate * 100.0, whole * 100.0);
        if rate < LEAST_RATE && !args.is_short() {
            println!("  MISSED: {LEAST_RATE} of the raw rate");
        }
    }
}

fn main() {
    #[cfg(target_os = "linux")]
    {
        let args = common::args::Args::read();
        match args.after("--host") {
            Some([kind, limit, ..]) => bench::host(kind, limit),
            _ => bench::run_all(&args),
        }
    }
    #[cfg(not(target_os = "linux"))]
    println!("NOT MEASURED: this needs Linux");
}
