
use convoke::sim::explore::*;
use std::time::*;
fn main() {
    let mut stage = Stage::founded(3, false);
    let n = stage.node(0).unwrap().clone();
    let t = Instant::now();
    for _ in 0..10000 { std::hint::black_box(n.clone()); }
    println!("clone {:?}", t.elapsed() / 10000);
    let t = Instant::now();
    let mut l = 0;
    for _ in 0..1000 { l = std::hint::black_box(format!("{n:?}")).len(); }
    println!("debug {:?} {l}", t.elapsed() / 1000);
    println!("{n:?}");
    stage.crash(0);
    let a: Vec<u32> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    for d in 5..=a[0] {
        let mut b = Budget::default(); b.reorders = 255;
        let t = Instant::now();
        let r = Explorer::new(stage.clone()).budget(b).depth(Depth::Steps(d)).horizon(Duration::from_secs(4)).explore();
        println!("{r} in {:?}", t.elapsed());
    }
    for k in 0..=a[1] {
        let mut b = Budget::default(); b.reorders = 255; b.crashes = 1; b.starts = 2; b.losses = 2; b.lates = 1; b.cuts = 1; b.parts = 2;
        let t = Instant::now();
        let r = Explorer::new(stage.clone()).budget(b).depth(Depth::Deviations(k)).horizon(Duration::from_secs(a[2] as u64)).explore();
        println!("{r} in {:?}", t.elapsed());
    }
}
