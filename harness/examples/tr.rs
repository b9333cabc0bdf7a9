fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut s = daemonspec::subject::Subject::new(args.iter().skip(1).cloned());
    if args[0] != "-" { s.pidfile = Some(args[0].clone().into()); }
    let t = std::time::Instant::now();
    let r = daemonspec::run::trace(&s, &daemonspec::run::Options::default(), &|_| {});
    eprintln!("{:?}", t.elapsed());
    match r { Err(e) => println!("{e}"), Ok(t) => {
        for e in &t.trace.events { 
            use daemonspec::observation::What::*;
            let w = match &e.what { Call(c) => format!("{}{}({}) = {:?} #{} {}", if c.loader {"L "} else {""}, c.name, c.arguments, c.result, c.nth, if c.times>1 {format!("x{}",c.times)} else {String::new()}), o => format!("{o:?}") };
            println!("{:6} {} {}", e.at, t.trace.processes[e.process].pid, w); }
        println!("main {:?} ready {:?} rest {:?} left out {} ended {:?}", t.trace.main, t.trace.ready, t.trace.rest, t.trace.left_out, t.launch.ended);
    }}
}
