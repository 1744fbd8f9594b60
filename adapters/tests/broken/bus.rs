//! Broken buses.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use async_trait::async_trait;
use transtalk_adapters::memory::MemoryBus;
use transtalk_core::contract::{bus::LAWS, run};
use transtalk_core::ports::{Bus, BusError, Event, Events};

use crate::{bugs, check};

bugs! { LosesEmptyEvents, ServesOneListener, SaysItTwice, SwapsPairs, RepeatsThePast, LosesEveryThird, EndsWithAListener, NeverWakes }

#[derive(Default)]
struct Broken {
    bus: MemoryBus,
    /// Where nobody publishes.
    silence: MemoryBus,
    bug: Option<Bug>,
    published: AtomicUsize,
    listeners: AtomicUsize,
    held: Mutex<Option<Event>>,
    past: Mutex<Option<Event>>,
    somebody_left: Arc<AtomicBool>,
}

#[async_trait]
impl Bus for Broken {
    async fn publish(&self, event: Event) -> Result<(), BusError> {
        let number = self.published.fetch_add(1, Ordering::Relaxed);
        *self.past.lock().unwrap() = Some(event.clone());
        match self.bug {
            Some(Bug::LosesEmptyEvents) if event == Event::Published(vec![]) => Ok(()),
            Some(Bug::LosesEveryThird) if number.is_multiple_of(3) => Ok(()),
            Some(Bug::EndsWithAListener) if self.somebody_left.load(Ordering::Relaxed) => Ok(()),
            Some(Bug::SaysItTwice) => {
                self.bus.publish(event.clone()).await?;
                self.bus.publish(event).await
            }
            Some(Bug::SwapsPairs) => {
                let Some(held) = self.held.lock().unwrap().take() else {
                    *self.held.lock().unwrap() = Some(event);
                    return Ok(());
                };
                self.bus.publish(event).await?;
                self.bus.publish(held).await
            }
            _ => self.bus.publish(event).await,
        }
    }

    fn listen(&self) -> Box<dyn Events> {
        let is_first = self.listeners.fetch_add(1, Ordering::Relaxed) == 0;
        let is_silent = self.bug == Some(Bug::ServesOneListener) && !is_first;
        let past = self.past.lock().unwrap().clone().filter(|_| self.bug == Some(Bug::RepeatsThePast));
        Box::new(Listener {
            events: if is_silent { self.silence.listen() } else { self.bus.listen() },
            past,
            is_never_woken: self.bug == Some(Bug::NeverWakes),
            somebody_left: Arc::clone(&self.somebody_left),
        })
    }
}

struct Listener {
    events: Box<dyn Events>,
    past: Option<Event>,
    is_never_woken: bool,
    somebody_left: Arc<AtomicBool>,
}

#[async_trait]
impl Events for Listener {
    async fn next(&mut self) -> Option<Event> {
        if let Some(past) = self.past.take() {
            return Some(past);
        }
        let mut next = pin!(self.events.next());
        if self.is_never_woken {
            return poll_fn(|_| next.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await;
        }
        next.await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.somebody_left.store(true, Ordering::Relaxed);
    }
}

#[test]
fn every_law_of_the_bus_catches_a_broken_variant() {
    check("bus", LAWS, BUGS, |law, bug| run(law(&Broken { bug, ..Broken::default() })));
}
