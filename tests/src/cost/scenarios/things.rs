//! What is stored beside messages: contacts and vCards.

use anyhow::{Result, anyhow, ensure};
use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::Stage;
use crate::{
    cost::{login, row::Row},
    faults::client::{self, Client},
};

/// Bytes of a photo.
const PHOTO: usize = 24 << 10;

impl Stage<'_> {
    pub(super) async fn things(&mut self) -> Result<()> {
        let mut alice = login::classic(self.to, "alice").await?;
        self.contacts(&mut alice).await?;
        self.vcards(&mut alice).await?;
        self.leave(alice, "alice").await
    }

    async fn contacts(&mut self, alice: &mut Client) -> Result<()> {
        let mut change = Row::new("roster, a contact changes");
        for number in 0..self.times {
            let item = format!(
                "<iq type='set' id='set'><query xmlns='jabber:iq:roster'>\
                 <item jid='contact1@localhost' name='Renamed {number}'/></query></iq>"
            );
            let asked = done(alice, &item);
            change.measure(self.ledger(), asked).await?;
        }
        self.rows.push(change);
        Ok(())
    }

    async fn vcards(&mut self, alice: &mut Client) -> Result<()> {
        let mut set = Row::new("vCard, set");
        let mut own = Row::new("vCard, get");
        for number in 0..self.times {
            let card = card(number, "");
            set.measure(self.ledger(), done(alice, &card)).await?;
            own.measure(self.ledger(), done(alice, GET)).await?;
        }
        let mut with_photo = Row::new("vCard with a photo, set");
        let mut first_photo = Row::new("vCard with a photo, first get");
        let mut get_photo = Row::new("vCard with a photo, get");
        for number in 0..self.times {
            let card = card(number, &photo()?);
            with_photo
                .measure(self.ledger(), done(alice, &card))
                .await?;
            // The object is new: nobody has put it into the cache yet.
            first_photo.measure(self.ledger(), done(alice, GET)).await?;
            get_photo.measure(self.ledger(), done(alice, GET)).await?;
        }
        self.rows
            .extend([set, own, with_photo, first_photo, get_photo]);
        Ok(())
    }
}

const GET: &str = "<iq type='get' id='get'><vCard xmlns='vcard-temp'/></iq>";

/// An image that does not compress, as images do not.
fn photo() -> Result<String> {
    let mut image = vec![0; PHOTO];
    rand::fill(&mut image).map_err(|_| anyhow!("no random numbers"))?;
    let data = BASE64.encode(image);
    Ok(format!(
        "<PHOTO><TYPE>image/png</TYPE><BINVAL>{data}</BINVAL></PHOTO>"
    ))
}

/// A vCard whose name changes, and with it a word that it is found by.
fn card(number: u64, photo: &str) -> String {
    format!(
        "<iq type='set' id='set'><vCard xmlns='vcard-temp'>\
         <FN>Alice Number{number}</FN><NICKNAME>alice</NICKNAME>{photo}</vCard></iq>"
    )
}

/// Asks, waits until all that follows from it is done, and acknowledges the answer: what is not is kept, within bounds.
async fn done(client: &mut Client, iq: &str) -> Result<()> {
    let answer = client.ask(iq).await?;
    ensure!(client::attr(&answer, "type") == Some("result"), "{answer}");
    Ok(client.acknowledge_all().await?)
}
