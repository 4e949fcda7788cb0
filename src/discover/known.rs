//! Who was found, and who is not found any more but may come back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tracing::info;

use crate::config::Service;

/// The services of one discovery.
#[derive(Debug)]
pub(super) struct Known {
    grace: Duration,
    present: Vec<Service>,
    /// And when each ends.
    vanished: Vec<(Service, Instant)>,
}

impl Known {
    /// Those of before: found again soon, or gone.
    pub(super) fn of(before: Vec<Service>, grace: Duration, now: Instant) -> Self {
        let vanished = before.into_iter().map(|service| (service, now + grace)).collect();
        Self { grace, present: Vec::new(), vanished }
    }

    /// These were found now.
    pub(super) fn update(&mut self, services: Vec<Service>, now: Instant) {
        let names: HashSet<_> = services.iter().map(|service| service.identity.key()).collect();
        let is_found = |service: &Service| names.contains(service.identity.key());
        self.expire(now);
        self.vanished.retain(|(service, _)| !is_found(service));
        for service in std::mem::take(&mut self.present) {
            if is_found(&service) || self.grace.is_zero() {
                continue;
            }
            let grace = self.grace;
            info!(service = %service.identity.key(), ?grace, "service not found any more, its series stay for the grace");
            self.vanished.push((service, now + grace));
        }
        self.present = services;
    }

    /// Whether any is gone for good.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.vanished.len();
        self.vanished.retain(|(_, end)| *end > now);
        self.vanished.len() < before
    }

    pub(super) fn all(&self) -> Vec<Service> {
        let vanished = self.vanished.iter().map(|(service, _)| service);
        self.present.iter().chain(vanished).cloned().collect()
    }

    pub(super) fn vanished(&self) -> usize {
        self.vanished.len()
    }

    /// When the next one is gone.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.vanished.iter().map(|(_, end)| *end).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn services(names: &[&str]) -> Vec<Service> {
        let one = |name: &&str| format!("{{name: {name}, expvar: {{url: 'http://h'}}}}");
        let list: Vec<_> = names.iter().map(one).collect();
        let text = format!("services: [{}]", list.join(","));
        if names.is_empty() { Vec::new() } else { file::read(&text).unwrap().services }
    }

    fn names(known: &Known) -> Vec<String> {
        known.all().iter().map(|service| service.identity.key().to_string()).collect()
    }

    #[test]
    fn who_vanishes_stays_for_the_grace_and_may_come_back() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut known = Known::of(services(&["old"]), Duration::from_secs(10), at(0));
        known.update(services(&["a", "b"]), at(0));
        assert_eq!(
            (names(&known), known.vanished()),
            (vec!["a".into(), "b".into(), "old".into()], 1)
        );
        known.update(services(&["a"]), at(5));
        assert_eq!(known.next_end(), Some(at(10)));
        known.update(services(&["a"]), at(10));
        assert_eq!(names(&known), ["a", "b"]);
        // Back before its end: it is as if it had never been away.
        known.update(services(&["b", "a"]), at(14));
        assert_eq!((names(&known), known.vanished()), (vec!["b".into(), "a".into()], 0));
        known.update(services(&["a"]), at(20));
        assert!(!known.expire(at(29)));
        assert_eq!(names(&known), ["a", "b"]);
        assert!(known.expire(at(30)));
        assert_eq!(names(&known), ["a"]);
    }

    #[test]
    fn without_grace_they_go_at_once() {
        let now = Instant::now();
        let mut known = Known::of(Vec::new(), Duration::ZERO, now);
        known.update(services(&["a"]), now);
        known.update(services(&[]), now);
        assert_eq!(names(&known), Vec::<String>::new());
    }
}
