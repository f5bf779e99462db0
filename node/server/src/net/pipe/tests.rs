//! A pipe behaves as a socket does: bounded, in order, ended once.

use std::{future::Future as _, pin::pin, sync::OnceLock};

use super::*;
use crate::net::{Read, Transport};

/// The other end, in the same process.
#[derive(Clone, Default)]
struct There(Arc<OnceLock<PipeHandle>>);

impl There {
    fn handle(&self) -> &PipeHandle {
        self.0.get().unwrap()
    }
}

impl Far for There {
    fn data(&self, bytes: Bytes) -> bool {
        self.handle().data(&bytes)
    }

    fn credit(&self, bytes: usize) {
        self.handle().credit(bytes);
    }

    fn notice(&self, notice: Notice) -> bool {
        self.handle().notice(notice)
    }

    fn end(&self, clean: bool) {
        if let Some(handle) = self.0.get() {
            handle.end(clean);
        }
    }
}

/// Both ends.
pub(crate) fn pair() -> [Transport; 2] {
    let (a_to_b, b_to_a) = (There::default(), There::default());
    let (a, handle_of_a) = Pipe::new(a_to_b.clone());
    let (b, handle_of_b) = Pipe::new(b_to_a.clone());
    a_to_b.0.set(handle_of_b).ok().unwrap();
    b_to_a.0.set(handle_of_a).ok().unwrap();
    let address = "127.0.0.1:1".parse().unwrap();
    [a, b].map(|pipe| Transport::piped(pipe, address))
}

async fn read(transport: &mut Transport) -> (Vec<u8>, Read) {
    let mut all = Vec::new();
    transport.readable().await.unwrap();
    let read = transport.try_read(&mut all).unwrap();
    (all, read)
}

#[tokio::test]
async fn what_is_held_back_goes_when_it_is_released() {
    let [mut a, mut b] = pair();
    a.write(b"free ").unwrap();
    a.hold_back();
    a.write(b"one ").unwrap();
    a.write_many(&[b"tw", b"o "]).unwrap();
    assert_eq!((a.pending_bytes(), a.sendable_bytes()), (8, 0));
    assert!(!a.try_flush().unwrap());
    assert_eq!(read(&mut b).await, (b"free ".to_vec(), Read::Data(5)));
    a.release(4);
    assert_eq!((a.pending_bytes(), a.sendable_bytes()), (8, 4));
    assert!(!a.try_flush().unwrap());
    assert_eq!(read(&mut b).await, (b"one ".to_vec(), Read::Data(4)));
    // What comes is held back behind it.
    a.write(b"three").unwrap();
    a.release(4);
    assert!(!a.try_flush().unwrap());
    assert_eq!(read(&mut b).await, (b"two ".to_vec(), Read::Data(4)));
    a.release_all();
    assert!(a.try_flush().unwrap() && !a.is_held_back());
    a.write(b"!").unwrap();
    assert_eq!(read(&mut b).await, (b"three!".to_vec(), Read::Data(6)));
}

#[tokio::test]
async fn who_waits_for_the_end_holds_nothing_back() {
    let [mut a, mut b] = pair();
    a.hold_back();
    a.write(b"last").unwrap();
    a.start_close();
    a.flush().await.unwrap();
    assert_eq!(read(&mut b).await, (b"last".to_vec(), Read::Data(4)));
    assert_eq!(read(&mut b).await.1, Read::Closed { clean: true });
}

#[tokio::test]
async fn what_is_written_is_read_in_order() {
    let [mut a, mut b] = pair();
    a.write_many(&[b"one ", b"two "]).unwrap();
    a.write(b"three").unwrap();
    assert_eq!(
        read(&mut b).await,
        (b"one two three".to_vec(), Read::Data(13))
    );
    b.write(b"back").unwrap();
    assert_eq!(read(&mut a).await.0, b"back");
    assert_eq!(a.try_read(&mut Vec::new()).unwrap(), Read::WouldBlock);
}

#[tokio::test]
async fn no_more_is_under_way_than_the_window() {
    let [mut a, mut b] = pair();
    let sent: Vec<u8> = (0..4 * WINDOW).map(|at| (at % 251) as u8).collect();
    a.write(&sent).unwrap();
    assert_eq!(a.pending_bytes(), sent.len() - WINDOW);
    let mut got = Vec::new();
    while got.len() < sent.len() {
        b.readable().await.unwrap();
        b.try_read(&mut got).unwrap();
        a.try_flush().unwrap();
    }
    assert_eq!(got, sent);
    assert_eq!(a.pending_bytes(), 0);
}

#[tokio::test]
async fn the_writer_wakes_when_there_is_room() {
    let [mut a, mut b] = pair();
    a.write(&vec![7; 2 * WINDOW]).unwrap();
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        while got.len() < 2 * WINDOW {
            b.readable().await.unwrap();
            b.try_read(&mut got).unwrap();
        }
    });
    a.flush().await.unwrap();
    reader.await.unwrap();
}

#[tokio::test]
async fn an_end_comes_behind_what_was_sent() {
    let [mut a, mut b] = pair();
    a.write(b"last").unwrap();
    a.start_close();
    assert!(a.try_flush().unwrap());
    assert_eq!(read(&mut b).await.0, b"last");
    assert_eq!(read(&mut b).await.1, Read::Closed { clean: true });
    assert!(b.write(b"too late").is_err());
}

#[tokio::test]
async fn an_end_that_is_dropped_is_broken() {
    let [a, mut b] = pair();
    drop(a);
    b.readable().await.unwrap();
    assert!(b.try_read(&mut Vec::new()).is_err());
}

#[tokio::test]
async fn a_notice_is_seen_behind_what_was_sent_before_it() {
    let [mut a, mut b] = pair();
    a.write(b"before").unwrap();
    assert!(a.notify(Notice::Hold));
    b.readable().await.unwrap();
    assert_eq!(b.take_notice(), None);
    assert_eq!(read(&mut b).await.0, b"before");
    b.readable().await.unwrap();
    assert_eq!(b.take_notice(), Some(Notice::Hold));
    assert_eq!(b.take_notice(), None);
    // And before the end.
    assert!(b.notify(Notice::Held));
    drop(b);
    a.readable().await.unwrap();
    assert_eq!(a.try_read(&mut Vec::new()).unwrap(), Read::WouldBlock);
    assert_eq!(a.take_notice(), Some(Notice::Held));
    assert!(a.try_read(&mut Vec::new()).is_err());
    assert!(!a.notify(Notice::Hold));
}

#[tokio::test]
async fn who_has_said_its_last_waits_for_the_end_and_for_no_notice() {
    let (a, there) = Pipe::new(There::default());
    let mut a = Transport::piped(a, "127.0.0.1:1".parse().unwrap());
    assert!(there.notice(Notice::Held));
    a.start_close();
    a.flush().await.unwrap();
    assert!(there.notice(Notice::Close(None)));
    let is_readable = |a: &Transport| {
        let readable = pin!(a.readable());
        readable
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    };
    assert!(!is_readable(&a));
    there.end(true);
    assert!(is_readable(&a));
    assert_eq!(read(&mut a).await.1, Read::Closed { clean: true });
}

#[tokio::test]
async fn what_a_pipe_has_not_taken_is_taken_out() {
    let [mut a, mut b] = pair();
    let sent: Vec<u8> = (0..2 * WINDOW).map(|at| (at % 251) as u8).collect();
    a.write(&sent).unwrap();
    let rest = a.take_pending();
    assert_eq!(a.pending_bytes(), 0);
    let mut got = Vec::new();
    while got.len() < WINDOW {
        b.readable().await.unwrap();
        b.try_read(&mut got).unwrap();
    }
    assert_eq!(b.try_read(&mut got).unwrap(), Read::WouldBlock);
    assert!(a.try_flush().unwrap());
    assert_eq!([got, rest].concat(), sent);
}

#[test]
fn who_says_too_much_is_refused() {
    let (_pipe, handle) = Pipe::new(There::default());
    let taken = (0..100).take_while(|_| handle.notice(Notice::Held)).count();
    assert_eq!(taken, MAX_NOTICES);
}

#[test]
fn who_sends_beyond_the_window_is_refused() {
    let (_pipe, handle) = Pipe::new(There::default());
    let kilo = Bytes::from(vec![0; 1024]);
    let taken = (0..1000).take_while(|_| handle.data(&kilo)).count();
    assert_eq!(taken * 1024, WINDOW);
}
