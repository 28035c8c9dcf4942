//! Registered servers and their connections, as clients see them.

mod common;

use common::*;
use nyario_core::conn::Kind;
use nyario_core::net;
use nyario_core::runtime::Start;
use nyario_core::sys::Fd;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

scenarios!(on_loop: a_lazy_server_answers, an_eager_server_answers, an_eager_server_speaks_first,
    an_idle_connection_has_no_fiber, an_idle_connection_that_leaves_is_closed, a_lone_farewell_starts_nothing, bytes_before_a_farewell_are_served,
    a_peer_that_is_done_writing_is_answered, a_server_that_is_done_writing_still_reads,
    megabytes_reach_a_slow_reader, single_bytes_both_ways, a_big_message_in_tiny_reads,
    five_hundred_connections_at_once, connections_come_and_go, servers_keep_their_handlers_apart, what_is_no_server_is_refused);

fn serve(looped: Looped, start: Start, handler: impl Fn(Fd) + 'static) -> String {
    let (fd, address) = listen();
    looped.register(fd, start, handler).unwrap();
    address
}

fn exchange(client: &mut TcpStream, message: &[u8]) {
    // Whoever writes more than the buffers hold has to be reading meanwhile.
    let mut writer = client.try_clone().unwrap();
    let mut answer = vec![0; message.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(message).unwrap());
        client.read_exact(&mut answer).unwrap();
    });
    assert!(answer == message, "{} bytes come back as they went", message.len());
}

fn answers(looped: Looped, start: Start) {
    let address = serve(looped, start, move |fd| echo(looped, fd));
    run_beside(looped, move || {
        let mut client = TcpStream::connect(address).unwrap();
        for len in (1..100).chain([4095, 4096, 4097, 100_000, 1]) {
            exchange(&mut client, &pattern(len));
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "the handler's end is the connection's");
    });
}

fn a_lazy_server_answers(looped: Looped) {
    answers(looped, Start::Lazy);
}

fn an_eager_server_answers(looped: Looped) {
    answers(looped, Start::Eager);
}

fn an_eager_server_speaks_first(looped: Looped) {
    let address = serve(looped, Start::Eager, move |fd| say(looped, fd, b"hello"));
    run_beside(looped, move || {
        let mut greeting = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "hello");
    });
}

fn an_idle_connection_has_no_fiber(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| echo(looped, fd));
    go(looped, move || {
        let mut clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
        until(looped, || looped.connections(Kind::Accepted) == 20);
        assert_eq!(looped.fibers(), 1, "only this one");
        for client in &mut clients[..3] {
            client.write_all(b"x").unwrap();
        }
        until(looped, || looped.fibers() == 4);
        drop(clients);
        until(looped, || looped.connections(Kind::Accepted) == 0);
        looped.stop();
        0
    });
    looped.run().unwrap();
}

fn an_idle_connection_that_leaves_is_closed(looped: Looped) {
    let address = serve(looped, Start::Lazy, |_| panic!("nobody said anything"));
    go(looped, move || {
        let quiet = TcpStream::connect(&address).unwrap();
        let abrupt = TcpStream::connect(&address).unwrap();
        until(looped, || looped.connections(Kind::Accepted) == 2);
        reset(&abrupt);
        drop((quiet, abrupt));
        until(looped, || looped.connections(Kind::Accepted) == 0);
        looped.stop();
        0
    });
    looped.run().unwrap();
}

fn a_lone_farewell_starts_nothing(looped: Looped) {
    let address = serve(looped, Start::Lazy, |_| panic!("nobody said anything"));
    run_beside(looped, move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    });
}

/// Bytes and farewell have come before the loop looks for the first time.
fn bytes_before_a_farewell_are_served(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| {
        assert_eq!(read_exactly(looped, fd, 4), b"last");
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0));
        say(looped, fd, b"words");
        looped.stop();
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"last").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // Nothing else would end it.
    looped.run().unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "words");
}

fn a_peer_that_is_done_writing_is_answered(looped: Looped) {
    const LEN: usize = 300_000;
    let address = serve(looped, Start::Lazy, move |fd| {
        let request = read_exactly(looped, fd, LEN);
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0));
        assert_eq!(net::read(looped, fd, &mut [0; 8]), Ok(0), "an end stays an end");
        net::write(looped, fd, &request).unwrap();
    });
    run_beside(looped, move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&pattern(LEN)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer == pattern(LEN));
    });
}

fn a_server_that_is_done_writing_still_reads(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| {
        read_exactly(looped, fd, 1);
        // SAFETY: a call without memory.
        assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_WR) }, 0);
        assert_eq!(net::write(looped, fd, b"late").unwrap_err().0, libc::EPIPE);
        assert!(read_exactly(looped, fd, 70_000) == pattern(70_000));
        looped.stop();
    });
    let client = std::thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"?").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        client.write_all(&pattern(70_000)).unwrap();
    });
    looped.run().unwrap();
    client.join().unwrap();
}

fn megabytes_reach_a_slow_reader(looped: Looped) {
    const LEN: usize = 6 << 20;
    let address = serve(looped, Start::Eager, move |fd| {
        assert_eq!(net::write(looped, fd, &pattern(LEN)), Ok(LEN), "a write is whole");
    });
    run_beside(looped, move || {
        let mut client = TcpStream::connect(address).unwrap();
        let mut answer = Vec::new();
        let mut chunk = vec![0; 100_000];
        loop {
            match client.read(&mut chunk).unwrap() {
                0 => break,
                count => answer.extend_from_slice(&chunk[..count]),
            }
            if answer.len() < LEN / 2 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        assert!(answer == pattern(LEN));
    });
}

fn single_bytes_both_ways(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| {
        let mut byte = [0];
        while net::read(looped, fd, &mut byte) == Ok(1) {
            net::write(looped, fd, &byte).unwrap();
        }
    });
    run_beside(looped, move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_nodelay(true).unwrap();
        for byte in pattern(500) {
            client.write_all(&[byte]).unwrap();
        }
        let mut answer = [0; 500];
        client.read_exact(&mut answer).unwrap();
        assert!(answer[..] == pattern(500));
        exchange(&mut client, &pattern(50_000));
    });
}

fn a_big_message_in_tiny_reads(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| {
        let mut message = Vec::new();
        let mut buf = [0; 7];
        while message.len() < 60_000 {
            let count = net::read(looped, fd, &mut buf).unwrap();
            message.extend_from_slice(&buf[..count]);
        }
        net::write(looped, fd, &message).unwrap();
    });
    run_beside(looped, move || exchange(&mut TcpStream::connect(address).unwrap(), &pattern(60_000)));
}

fn five_hundred_connections_at_once(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| echo(looped, fd));
    run_beside(looped, move || {
        let mut clients: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for round in 0..4usize {
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(&pattern(number + round + 1)).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let mut answer = vec![0; number + round + 1];
                client.read_exact(&mut answer).unwrap();
                assert!(answer == pattern(answer.len()), "connection {number}, round {round}");
            }
        }
    });
}

fn connections_come_and_go(looped: Looped) {
    let address = serve(looped, Start::Lazy, move |fd| echo(looped, fd));
    run_beside(looped, move || {
        for _ in 0..5 {
            let clients: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
            for mut client in clients {
                exchange(&mut client, b"still there?");
            }
        }
    });
}

fn servers_keep_their_handlers_apart(looped: Looped) {
    let addresses: Vec<String> =
        (0..3).map(|server: u8| serve(looped, Start::Eager, move |fd| say(looped, fd, &[server]))).collect();
    run_beside(looped, move || {
        for _ in 0..10 {
            for (server, address) in addresses.iter().enumerate() {
                let mut name = Vec::new();
                TcpStream::connect(address).unwrap().read_to_end(&mut name).unwrap();
                assert_eq!(name, [server as u8]);
            }
        }
    });
}

fn what_is_no_server_is_refused(looped: Looped) {
    let (listener, _) = listen();
    let (stream, _theirs) = pair();
    let (read, write) = pipe();
    let refused = |fd| looped.register(fd, Start::Lazy, |_| ()).unwrap_err().0;
    assert_eq!(refused(stream), libc::EINVAL);
    assert_eq!(refused(read), libc::ENOTSOCK);
    assert_eq!(refused(-1), libc::EBADF);
    // SAFETY: the address outlives the calls; it is just a family, and the kernel picks a name.
    let messages = unsafe {
        let messages = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0);
        let family = libc::AF_UNIX as libc::sa_family_t;
        assert_eq!(libc::bind(messages, (&raw const family).cast(), size_of_val(&family) as u32), 0);
        assert_eq!(libc::listen(messages, 1), 0);
        messages
    };
    assert_eq!(refused(messages), libc::EPROTOTYPE);
    looped.register(listener, Start::Lazy, |_| ()).unwrap();
    assert_eq!(refused(listener), libc::EINVAL, "once is enough");
    close(looped, &[stream, read, write, messages]);
}
