//! Whoever comes is served in turn, nothing waits for nobody, and what is over leaves nothing behind.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;

#[test]
fn one_is_at_a_queue_until_it_has_nothing() {
    let mut queue = Queue::default();
    assert_eq!(queue.push(1, 2), Ok(true));
    assert_eq!(queue.push(2, 2), Ok(false));
    assert_eq!(queue.push(3, 2), Err(3));
    assert_eq!((queue.pop(), queue.pop_if(|it| *it == 3)), (Some(1), None));
    assert_eq!(queue.push(4, 2), Ok(false));
    assert_eq!(
        (queue.pop_if(|it| *it == 2), queue.pop()),
        (Some(2), Some(4))
    );
    assert!(!queue.is_idle());
    assert_eq!(queue.pop(), None);
    assert!(queue.is_idle());
    assert_eq!(queue.push(5, 2), Ok(true));
}

#[test]
fn a_queue_is_there_while_somebody_is_at_it() {
    let queues = Queues::<&str, u8>::default();
    let mut ada = queues.push(&"ada", 1, 2).unwrap().unwrap();
    let mut bob = queues.push(&"bob", 7, 2).unwrap().unwrap();
    assert!(queues.push(&"ada", 2, 2).unwrap().is_none());
    assert_eq!(queues.push(&"ada", 3, 2).err(), Some(3));
    assert_eq!(
        (ada.pop(), bob.pop(), ada.pop()),
        (Some(1), Some(7), Some(2))
    );
    assert!(queues.is_busy(&"ada"), "what came last is being done");
    assert!(queues.push(&"ada", 4, 2).unwrap().is_none());
    assert_eq!((ada.pop(), ada.pop()), (Some(4), None));
    assert!(!queues.is_busy(&"ada"));
    let other = queues.push(&"ada", 5, 2).unwrap();
    assert!(other.is_some());
    // Who was at it before has nothing to do with it.
    assert_eq!(ada.pop(), None);
    drop(ada);
    assert!(queues.is_busy(&"ada"));
    drop((other, bob));
    assert_eq!(queues.0.len(), 0);
}

#[test]
fn turns_come_in_order_and_leave_nothing() {
    let turns = Turns::default();
    let mut cx = Context::from_waker(Waker::noop());
    let take = |key| turns.take(key);
    let (mut one, mut other) = (pin!(take("a")), pin!(take("b")));
    let Poll::Ready(first) = one.as_mut().poll(&mut cx) else {
        panic!("it is nobody's")
    };
    assert!(other.as_mut().poll(&mut cx).is_ready(), "another thing");
    {
        let (mut second, mut third) = (pin!(take("a")), Box::pin(take("a")));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(third.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(third.as_mut().poll(&mut cx).is_pending());
        drop(third);
        assert!(second.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(turns.0.len(), 0);
}
