//! Golden vectors, computed from the published algorithm with Python's `hashlib`, apart from this code.

use super::*;

const EQUAL: [(&str, u32); 3] = [
    ("10.0.1.1:11211", 1),
    ("10.0.1.2:11211", 1),
    ("10.0.1.3:11211", 1),
];
/// The servers of libketama's own example file, with its memory as weight.
const WEIGHTED: [(&str, u32); 8] = [
    ("10.0.1.1:11211", 600),
    ("10.0.1.2:11211", 300),
    ("10.0.1.3:11211", 200),
    ("10.0.1.4:11211", 350),
    ("10.0.1.5:11211", 1000),
    ("10.0.1.6:11211", 800),
    ("10.0.1.7:11211", 950),
    ("10.0.1.8:11211", 100),
];

fn servers_of(ring: &Ketama, keys: usize) -> Vec<usize> {
    let server = |n| ring.server_of(format!("key{n}").as_bytes()).expect("some");
    (0..keys).map(server).collect()
}

fn counts(ring: &Ketama, servers: usize) -> Vec<usize> {
    let of = |index| ring.points.iter().filter(|(_, at)| *at == index).count();
    (0..servers).map(of).collect()
}

#[test]
fn points_and_servers_are_those_of_libketama() {
    let ring = Ketama::new(&EQUAL);
    assert_eq!(
        ring.points[..3],
        [(0x0049_a61e, 1), (0x009b_3612, 0), (0x0177_a2dc, 2)]
    );
    assert_eq!(ring.points.last().expect("some").0, 0xff5c_3847);
    assert_eq!(counts(&ring, 3), [160, 160, 160]);
    let own = [0x90ed_8713, 0xf5ce_3b03, 0x0603_86a6, 0xa22b_367d];
    assert!(own.iter().all(|point| ring.points.contains(&(*point, 0))));
    let expected = [
        0, 1, 0, 0, 1, 2, 0, 2, 1, 2, 0, 1, 0, 1, 1, 2, 0, 1, 1, 2, 1, 2, 2, 0, 1, 0, 2, 1, 2, 2,
        2, 1,
    ];
    assert_eq!(servers_of(&ring, 32), expected);
    assert_eq!(ring.server_of(b"wrap418"), Some(1), "beyond the last point");
}

#[test]
fn weights_are_shares_of_the_points() {
    let ring = Ketama::new(&WEIGHTED);
    assert_eq!(counts(&ring, 8), [176, 88, 56, 104, 296, 236, 280, 28]);
    assert_eq!(
        ring.points[..3],
        [(0x000b_a101, 4), (0x0023_707b, 4), (0x003c_8918, 5)]
    );
    let expected = [
        3, 6, 4, 0, 1, 5, 0, 4, 4, 4, 6, 1, 4, 4, 4, 1, 4, 1, 1, 2, 6, 4, 6, 4, 5, 3, 6, 6, 2, 2,
        6, 1,
    ];
    assert_eq!(servers_of(&ring, 32), expected);
}

#[test]
fn a_server_more_takes_keys_and_moves_no_other() {
    let (three, two) = (Ketama::new(&EQUAL), Ketama::new(&EQUAL[..2]));
    let pairs = servers_of(&three, 3000)
        .into_iter()
        .zip(servers_of(&two, 3000));
    let moved = pairs.filter(|(three, two)| three != two);
    let moved: Vec<usize> = moved.map(|(three, _)| three).collect();
    assert!(moved.iter().all(|three| *three == 2));
    assert!((700..1300).contains(&moved.len()), "{}", moved.len());
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    let names = |servers: &[(&'static str, u32)]| {
        let ring = Ketama::new(servers);
        let of = servers_of(&ring, 200);
        of.into_iter()
            .map(|index| servers[index].0)
            .collect::<Vec<_>>()
    };
    let mut reversed = WEIGHTED;
    reversed.reverse();
    assert_eq!(names(&WEIGHTED), names(&reversed));
}

#[test]
fn no_servers_have_no_keys() {
    assert_eq!(Ketama::new(&[]).server_of(b"key"), None);
    assert_eq!(Ketama::new(&[("a:1", 0)]).server_of(b"key"), None);
}
