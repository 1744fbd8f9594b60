//! The bus of one process: a bounded queue a listener. Where one is full, its oldest event is dropped: at most once.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use transtalk_core::limits;
use transtalk_core::ports::{Bus, BusError, Event, Events};

use super::lock;

/// Nodes of one process share it. When it is dropped, its listeners hear what they have not heard yet, and then the end.
#[derive(Default)]
pub struct MemoryBus {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// In the order in which they began, so that they are also woken in it.
    queues: BTreeMap<u64, Queue>,
    begun: u64,
    is_closed: bool,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl MemoryBus {
    /// A bus without listeners.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, event: Event) -> Result<(), BusError> {
        let mut wakers = Vec::new();
        for queue in lock(&self.shared).queues.values_mut() {
            if queue.events.len() >= limits::BUS_QUEUE_MAX {
                queue.events.pop_front();
            }
            queue.events.push_back(event.clone());
            wakers.extend(queue.waker.take());
        }
        // Without the lock: who is woken may listen at once.
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn listen(&self) -> Box<dyn Events> {
        let mut shared = lock(&self.shared);
        shared.begun += 1;
        let number = shared.begun;
        shared.queues.insert(number, Queue::default());
        Box::new(Listener { shared: Arc::clone(&self.shared), number })
    }
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        let wakers: Vec<Waker> = {
            let mut shared = lock(&self.shared);
            shared.is_closed = true;
            shared.queues.values_mut().filter_map(|queue| queue.waker.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

struct Listener {
    shared: Arc<Mutex<Shared>>,
    number: u64,
}

#[async_trait]
impl Events for Listener {
    async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| {
            let mut shared = lock(&self.shared);
            let is_closed = shared.is_closed;
            let Some(queue) = shared.queues.get_mut(&self.number) else { return Poll::Ready(None) };
            match queue.events.pop_front() {
                Some(event) => Poll::Ready(Some(event)),
                None if is_closed => Poll::Ready(None),
                None => {
                    queue.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        lock(&self.shared).queues.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use transtalk_core::SessionId;
    use transtalk_core::contract::run;

    use super::*;

    fn event(number: usize) -> Event {
        let id: SessionId = format!("{number:032x}").parse().unwrap();
        Event::SessionEnded(id)
    }

    #[test]
    fn a_full_queue_drops_its_oldest_event() {
        run(async {
            let bus = MemoryBus::new();
            let mut listener = bus.listen();
            for number in 0..limits::BUS_QUEUE_MAX + 2 {
                bus.publish(event(number)).await.unwrap();
            }
            assert_eq!(listener.next().await, Some(event(2)));
            assert_eq!(listener.next().await, Some(event(3)));
        });
    }

    #[test]
    fn listeners_hear_the_end_after_what_was_published() {
        run(async {
            let bus = MemoryBus::new();
            let mut listener = bus.listen();
            bus.publish(event(1)).await.unwrap();
            drop(bus);
            assert_eq!(listener.next().await, Some(event(1)));
            assert_eq!(listener.next().await, None);
            assert_eq!(listener.next().await, None);
        });
    }

    #[test]
    fn a_listener_that_has_gone_takes_no_room() {
        let bus = MemoryBus::new();
        drop(bus.listen());
        assert!(lock(&bus.shared).queues.is_empty());
    }
}
