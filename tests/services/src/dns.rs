//! A DNS server: answers over UDP from a table that tests change while it runs.
//!
//! Source: RFC 1035, RFC 2782. It knows what is in its table and no other name (NXDOMAIN). Answers that are too long for
//! UDP are not cut: tables are small.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SRV},
};
use parking_lot::Mutex;
use tokio::{net::UdpSocket, sync::watch};

/// The running server; it ends with the runtime that it was started on.
#[derive(Clone)]
pub struct Dns {
    address: SocketAddr,
    table: Arc<Mutex<Table>>,
    asked: watch::Receiver<u64>,
}

#[derive(Default)]
struct Table {
    records: BTreeMap<Name, Vec<Record>>,
    /// What names under these are answered with instead: `None` is no answer at all.
    outages: Vec<(Name, Option<ResponseCode>)>,
}

fn name(text: &str) -> Name {
    let mut name = Name::from_str(text).expect("tests write names");
    name.set_fqdn(true);
    name
}

impl Dns {
    /// Starts a server with an empty table.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (count, asked) = watch::channel(0);
        let (address, table) = (socket.local_addr()?, Arc::<Mutex<Table>>::default());
        let dns = Self {
            address,
            table: table.clone(),
            asked,
        };
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                count.send_modify(|count| *count += 1);
                if let Some(answer) = table.lock().answer(&buffer[..length]) {
                    // It may have gone away.
                    let _ = socket.try_send_to(&answer, from);
                }
            }
        });
        Ok(dns)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions came.
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.asked.clone()
    }

    /// The service of this name is these: priority, weight, port, target.
    pub fn set_services(&self, service: &str, ttl: u32, services: &[(u16, u16, u16, &str)]) {
        let srv = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(*priority, *weight, *port, name(target)))
        };
        self.set(service, RecordType::SRV, ttl, services.iter().map(srv));
    }

    /// The addresses of this name are these; none: the name exists, without addresses.
    pub fn set_addresses(&self, host: &str, ttl: u32, addresses: &[IpAddr]) {
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().partition(|ip| ip.is_ipv4());
        let data = |ips: Vec<IpAddr>| ips.into_iter().map(RData::from);
        self.set(host, RecordType::A, ttl, data(v4));
        self.set(host, RecordType::AAAA, ttl, data(v6));
    }

    fn set(&self, at: &str, kind: RecordType, ttl: u32, data: impl Iterator<Item = RData>) {
        let at = name(at);
        let records = data.map(|data| Record::from_rdata(at.clone(), ttl, data));
        let mut table = self.table.lock();
        let all = table.records.entry(at.clone()).or_default();
        all.retain(|record| record.record_type() != kind);
        all.extend(records);
    }

    /// The name does not exist any more.
    pub fn remove(&self, at: &str) {
        self.table.lock().records.remove(&name(at));
    }

    /// The names under this one are answered with a failure of the server (SERVFAIL).
    pub fn fail(&self, zone: &str) {
        let outage = (name(zone), Some(ResponseCode::ServFail));
        self.table.lock().outages.push(outage);
    }

    /// The names under this one are not answered.
    pub fn silence(&self, zone: &str) {
        self.table.lock().outages.push((name(zone), None));
    }

    /// No outages any more.
    pub fn mend(&self) {
        self.table.lock().outages.clear();
    }
}

impl Table {
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.authoritative = true;
        answer.metadata.recursion_available = true;
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        let asked = query.name().to_lowercase();
        let outage = self.outages.iter().find(|(zone, _)| zone.zone_of(&asked));
        let records = self.records.get(&asked);
        answer.metadata.response_code = match (outage, records) {
            (Some((_, outage)), _) => (*outage)?,
            (None, Some(_)) => ResponseCode::NoError,
            (None, None) => ResponseCode::NXDomain,
        };
        if outage.is_none() {
            let is_wanted = |record: &&Record| record.record_type() == query.query_type();
            answer.add_answers(records.into_iter().flatten().filter(is_wanted).cloned());
        }
        answer.add_query(query);
        answer.to_vec().ok()
    }
}
