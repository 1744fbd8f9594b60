//! Every order in which the steps of a few requests can follow each other, one after the other.
//!
//! A step ends where a request waits: before each call of a store ([`crate::trouble`]). So what is tried here are all the
//! ways in which the calls of several requests can reach the store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use crate::time::Woken;

/// Something that races.
pub(crate) type Racer<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One way to choose, wherever there is a choice.
#[derive(Default)]
pub(crate) struct Order {
    /// What was chosen, of how many.
    choices: Vec<(usize, usize)>,
    made: usize,
}

/// How a racer fared.
#[derive(Debug)]
pub(crate) struct Raced<T> {
    /// What came out; `None` if it was cut off.
    pub(crate) answer: Option<T>,
    /// Its first step of all.
    pub(crate) began: usize,
    /// Its last step of all.
    pub(crate) ended: usize,
}

/// Plays a scene in every order; says in how many.
pub(crate) fn every_order(mut scene: impl FnMut(&mut Order)) -> usize {
    let mut order = Order::default();
    for count in 1..=ORDERS_MAX {
        order.made = 0;
        scene(&mut order);
        while order.choices.pop_if(|(chosen, of)| *chosen + 1 == *of).is_some() {}
        match order.choices.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return count,
        }
    }
    panic!("more than {ORDERS_MAX} orders");
}

impl Order {
    /// One of so many.
    pub(crate) fn choose(&mut self, of: usize) -> usize {
        if self.made == self.choices.len() {
            self.choices.push((0, of));
        }
        let (chosen, before) = self.choices[self.made];
        assert_eq!(of, before, "the scene is not the same each time");
        self.made += 1;
        chosen
    }

    /// Runs them to their ends, step by step.
    pub(crate) fn race<T, const N: usize>(&mut self, racers: [Racer<'_, T>; N]) -> [Raced<T>; N] {
        let mut lanes = racers.map(|racer| Lane { racer: Some(racer), woken: Woken::new(), raced: None, began: None });
        for step in 0.. {
            let open: Vec<usize> = (0..N).filter(|lane| lanes[*lane].racer.is_some()).collect();
            if open.is_empty() {
                break;
            }
            // Where nothing is left to choose, nothing is asked.
            let chosen = if open.len() == 1 { 0 } else { self.choose(open.len()) };
            lanes[open[chosen]].step(step);
        }
        // Each lane that has no racer any more has a result.
        lanes.map(|lane| lane.raced.unwrap())
    }

    /// Runs it alone, and lets it die before one of its steps, or not at all.
    pub(crate) fn cut<T>(&mut self, racer: Racer<'_, T>) -> Raced<T> {
        let mut lane = Lane { racer: Some(racer), woken: Woken::new(), raced: None, began: None };
        for step in 0.. {
            if lane.racer.is_none() {
                break;
            }
            if self.choose(2) == 1 {
                return Raced { answer: None, began: 0, ended: step };
            }
            lane.step(step);
        }
        lane.raced.unwrap()
    }
}

struct Lane<'a, T> {
    racer: Option<Racer<'a, T>>,
    woken: Arc<Woken>,
    raced: Option<Raced<T>>,
    began: Option<usize>,
}

impl<T> Lane<'_, T> {
    fn step(&mut self, step: usize) {
        let began = *self.began.get_or_insert(step);
        assert!(self.woken.is_set(), "a racer waits for something that is no racer");
        let Some(racer) = &mut self.racer else { return };
        if let Poll::Ready(answer) = self.woken.poll(racer.as_mut()) {
            self.racer = None;
            self.raced = Some(Raced { answer: Some(answer), began, ended: step });
        }
    }
}

/// Whoever needs more asks too much of a test.
const ORDERS_MAX: usize = 100_000;
