//! A server whose certificate is another one in the middle of a run.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    bench::{bench, text, vmglean},
    contact::with_certificate,
};

/// Hands connections on as they are, to another server from some byte on.
#[derive(Default)]
struct Switch {
    upstream: Mutex<String>,
    /// Where connections go once [`Self::left`] is used up.
    then: Mutex<Option<String>>,
    /// Bytes from the client until then.
    left: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    /// Most bytes that one connection brought since.
    told: AtomicUsize,
}

impl Switch {
    fn start(self: Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let switch = Arc::clone(&self);
                thread::spawn(move || switch.serve(client));
            }
        });
        address
    }

    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let to = self.upstream.lock().unwrap().clone();
        let mut server = TcpStream::connect(to).ok()?;
        self.open.lock().unwrap().extend([client.try_clone().ok()?, server.try_clone().ok()?]);
        let (mut from, mut back) = (server.try_clone().ok()?, client.try_clone().ok()?);
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        let (mut bytes, mut all) = (vec![0; 16 << 10], 0);
        loop {
            let n = client.read(&mut bytes).ok().filter(|n| *n > 0)?;
            server.write_all(&bytes[..n]).ok()?;
            all += n;
            if self.then.lock().unwrap().is_none() {
                self.told.fetch_max(all, Ordering::SeqCst);
                continue;
            }
            let left = self.left.load(Ordering::SeqCst).saturating_sub(n);
            self.left.store(left, Ordering::SeqCst);
            if left == 0 {
                *self.upstream.lock().unwrap() = self.then.lock().unwrap().take()?;
                self.told.store(0, Ordering::SeqCst);
                for stream in self.open.lock().unwrap().drain(..) {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
    }
}

#[test]
fn a_certificate_that_changes_in_the_middle_of_a_run_ends_it_and_the_right_one_ends_it_well() {
    for route in ["register", "import"] {
        let mut bench = bench(&["-esx"]);
        if route == "import" {
            bench.stream("web", 1 << 20);
        } else {
            bench.flat("web", 1 << 20);
        }
        let (first, thumbprint) = with_certificate(&bench.path("first"), "127.0.0.1:0");
        let (second, other) = with_certificate(&bench.path("second"), "127.0.0.1:0");
        let switch = Arc::new(Switch::default());
        *switch.upstream.lock().unwrap() = first.address().to_owned();
        let address = Arc::clone(&switch).start();
        let planned = vmglean()
            .args(["redeploy", "plan"])
            .arg(bench.path("src"))
            .args(["--server", &format!("https://{address}"), "--thumbprint", &thumbprint, "-o"])
            .arg(bench.path("plan.toml"))
            .output()
            .unwrap();
        assert_eq!(planned.status.code(), Some(0), "{}", text(&planned));
        // The simulator registers nothing without further files.
        bench.edit(|plan| plan.replace("route = \"register\"", "route = \"create\""));
        switch.left.store(600 << 10, Ordering::SeqCst);
        *switch.then.lock().unwrap() = Some(second.address().to_owned());
        let stopped = bench.apply(&[]);
        assert_ne!(stopped.status.code(), Some(0), "{route}: {}", text(&stopped));
        assert!(switch.then.lock().unwrap().is_none(), "{route}: the switch came too late");
        let said = text(&stopped);
        assert!(said.contains(&other) && said.contains(&thumbprint), "{route}: {said}");
        // No more than a greeting was sent to the stranger: no password, no cookie, no byte.
        let told = switch.told.load(Ordering::SeqCst);
        assert!((1..4096).contains(&told), "{route}: {told} bytes");
        *switch.upstream.lock().unwrap() = first.address().to_owned();
        let again = bench.apply(&[]);
        assert_eq!(again.status.code(), Some(0), "{route}: {}", text(&again));
        bench.trusting(first, &thumbprint);
        assert_eq!(bench.count("web"), 1, "{route}");
    }
}
