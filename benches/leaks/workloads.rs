//! Services with ground truth, simulated in time: what a sampler would see of their goroutines.

use std::f64::consts::{PI, TAU};

pub(crate) const MINUTE: f64 = 60.0;
pub(crate) const HOUR: f64 = 3600.0;
pub(crate) const DAY: f64 = 86_400.0;

/// One look at a service. Times in seconds since 1970.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) t: f64,
    pub(crate) goroutines: u64,
    pub(crate) started: f64,
}

/// When a service begins anew.
#[derive(Clone, Copy)]
enum Restarts {
    Never,
    /// Every so many seconds.
    Every(f64),
    /// At random, with this mean in seconds.
    Random(f64),
    /// When it has more goroutines than this: it ran out of memory.
    Above(f64),
    /// Once, so many seconds after the beginning.
    Once(f64),
}

/// A kind of service.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Seconds after the beginning from which it leaks; none if it does not.
    pub(crate) leaks_from: Option<f64>,
    days: f64,
    /// Seconds between two looks.
    step: f64,
    /// Share of the looks that fail.
    missing: f64,
    restarts: Restarts,
    goroutines: fn(&mut World) -> f64,
}

/// What a workload sees of the world, and remembers.
struct World {
    /// Time of day, in seconds since a midnight.
    t: f64,
    /// Seconds since the record began.
    since: f64,
    /// Seconds since the service started.
    age: f64,
    step: f64,
    rng: Rng,
    leaked: f64,
    /// Seconds that a burst still lasts, or goroutines that wait: each workload's own.
    own: f64,
    noise: f64,
}

impl World {
    /// Goroutines that leaked so far, at this rate from now to the next look.
    fn leak(&mut self, per_second: f64) -> f64 {
        self.leaked += self.rng.poisson(per_second * self.step);
        self.leaked
    }

    /// As many requests in flight, on average.
    fn load(&mut self, mean: f64) -> f64 {
        self.rng.poisson(mean)
    }

    /// Noise around 0 with deviation 1 that wanders within `tau` seconds.
    fn wander(&mut self, tau: f64) -> f64 {
        let keep = (-self.step / tau).exp();
        self.noise = self.noise * keep + (1.0 - keep * keep).sqrt() * self.rng.normal();
        self.noise
    }

    /// Whether something happens now that happens every `mean` seconds.
    fn happens(&mut self, mean: f64) -> bool {
        self.rng.unit() < self.step / mean
    }

    /// Seconds left of a burst that begins every `mean` seconds and lasts `least` to `most`.
    fn burst(&mut self, mean: f64, least: f64, most: f64) -> f64 {
        self.own -= self.step;
        if self.own <= 0.0 && self.happens(mean) {
            self.own = least + (most - least) * self.rng.unit();
        }
        self.own.max(0.0)
    }

    /// From 0 to 1 within a life.
    fn filled(&self, tau: f64) -> f64 {
        1.0 - (-self.age / tau).exp()
    }

    /// From 0 to 1, beginning so many seconds after the record began.
    fn ramp(&self, begins: f64, takes: f64) -> f64 {
        ((self.since - begins) / takes).clamp(0.0, 1.0)
    }

    fn daily(&self) -> f64 {
        (1.0 - (TAU * self.t / DAY).cos()) / 2.0
    }

    fn is_weekend(&self) -> bool {
        (self.t / DAY).rem_euclid(7.0) >= 5.0
    }

    fn weekly(&self) -> f64 {
        if self.is_weekend() { 0.5 } else { 1.0 }
    }

    fn office(&self) -> f64 {
        let hour = (self.t % DAY) / HOUR;
        let rise = 1.0 / (1.0 + (-(hour - 9.0) * 3.0).exp());
        let fall = 1.0 / (1.0 + (-(hour - 18.0) * 2.0).exp());
        (rise - fall).max(0.0) * if self.is_weekend() { 0.15 } else { 1.0 }
    }
}

impl Workload {
    /// Service-months that it runs.
    pub(crate) fn months(&self) -> f64 {
        self.days / 30.0
    }

    /// What is seen of it, by a look in so many times the usual. The same seed always gives the
    /// same.
    pub(crate) fn run(&self, seed: u64, slower: f64) -> Vec<Sample> {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
        let began = 1_760_000_000.0;
        let phase = rng.unit() * 7.0 * DAY;
        let step = self.step * slower;
        let mut world =
            World { t: phase, since: 0.0, age: 0.0, step, rng, leaked: 0.0, own: 0.0, noise: 0.0 };
        let (mut started, mut last, mut samples) = (0.0, 0.0, Vec::new());
        while world.since < self.days * DAY {
            if self.restarts_now(&mut world, last) {
                started = world.since;
                (world.age, world.leaked) = (0.0, 0.0);
            }
            last = (self.goroutines)(&mut world).max(4.0);
            if world.rng.unit() >= self.missing {
                let goroutines = whole(last);
                samples.push(Sample {
                    t: began + world.since,
                    goroutines,
                    started: began + started,
                });
            }
            world.t += step;
            world.since += step;
            world.age += step;
        }
        samples
    }

    fn restarts_now(&self, world: &mut World, goroutines: f64) -> bool {
        match self.restarts {
            Restarts::Never => false,
            Restarts::Every(period) => world.age >= period,
            Restarts::Random(mean) => world.since > 0.0 && world.happens(mean),
            Restarts::Above(most) => goroutines > most,
            Restarts::Once(at) => world.since >= at && world.age >= at,
        }
    }
}

const fn service(name: &'static str, days: f64, goroutines: fn(&mut World) -> f64) -> Workload {
    let (step, missing, restarts) = (MINUTE, 0.0, Restarts::Never);
    Workload { name, leaks_from: None, days, step, missing, restarts, goroutines }
}

const fn leaking(name: &'static str, days: f64, goroutines: fn(&mut World) -> f64) -> Workload {
    Workload { leaks_from: Some(0.0), ..service(name, days, goroutines) }
}

const fn with(restarts: Restarts, workload: Workload) -> Workload {
    Workload { restarts, ..workload }
}

const fn from_day(day: f64, workload: Workload) -> Workload {
    Workload { leaks_from: Some(day * DAY), ..workload }
}

const fn seen(step: f64, missing: f64, workload: Workload) -> Workload {
    Workload { step, missing, ..workload }
}

/// Services that leak.
pub(crate) const LEAKING: &[Workload] = &[
    leaking("steady, 1 a second", 2.0, |w| 50.0 + w.load(20.0) + w.leak(1.0)),
    leaking("steady, 10 a second on 3,000", 2.0, |w| 3000.0 + w.load(500.0) + w.leak(10.0)),
    leaking("steady, 10 a minute", 7.0, |w| 200.0 + w.load(50.0) + w.leak(10.0 / MINUTE)),
    leaking("slow, 1 a minute", 14.0, |w| 100.0 + w.load(20.0) + w.leak(1.0 / MINUTE)),
    leaking("slow, 1 a minute on noisy 2,000", 21.0, |w| {
        2000.0 * (1.0 + 0.1 * w.wander(HOUR)) + w.leak(1.0 / MINUTE)
    }),
    leaking("slower, 1 in 10 minutes", 21.0, |w| 50.0 + w.load(10.0) + w.leak(0.1 / MINUTE)),
    leaking("slowest, 3 an hour", 30.0, |w| 30.0 + w.load(3.0) + w.leak(3.0 / HOUR)),
    leaking("accelerating", 14.0, |w| {
        100.0 + w.load(20.0) + w.leak(0.2 / MINUTE * (1.0 + w.age / DAY))
    }),
    from_day(
        3.0,
        service("1 a minute from day 3 on", 14.0, |w| {
            100.0 + w.load(30.0) + w.leak(if w.since > 3.0 * DAY { 1.0 / MINUTE } else { 0.0 })
        }),
    ),
    from_day(
        9.0,
        service("10 a minute from day 9 on", 14.0, |w| {
            300.0 + w.load(80.0) + w.leak(if w.since > 9.0 * DAY { 10.0 / MINUTE } else { 0.0 })
        }),
    ),
    from_day(
        9.0,
        service("1 a second from day 9 on, in a wave", 14.0, |w| {
            let leak = if w.since > 9.0 * DAY { 1.0 } else { 0.0 };
            100.0 + w.load(600.0 * w.daily()) + w.leak(leak)
        }),
    ),
    with(
        Restarts::Once(4.0 * DAY),
        from_day(
            4.0,
            service("a deploy on day 4 brings it", 14.0, |w| {
                150.0 + w.load(50.0) + w.leak(if w.since > 4.0 * DAY { 4.0 / MINUTE } else { 0.0 })
            }),
        ),
    ),
    leaking("bursty, 50 every 2 h", 14.0, |w| {
        w.leaked += if w.happens(2.0 * HOUR) { 50.0 } else { 0.0 };
        80.0 + w.load(30.0) + w.leaked
    }),
    leaking("bursty, 300 every 6 h", 21.0, |w| {
        w.leaked += if w.happens(6.0 * HOUR) { 150.0 + 300.0 * w.rng.unit() } else { 0.0 };
        150.0 + w.load(60.0) + w.leaked
    }),
    leaking("bursty, 500 once a day", 30.0, |w| {
        w.leaked += if w.t % DAY < w.step { 500.0 } else { 0.0 };
        300.0 + w.load(100.0) + w.leaked
    }),
    leaking("each hourly batch leaves 10", 14.0, |w| {
        w.leaked += if w.t % HOUR < w.step { 10.0 } else { 0.0 };
        let batch = if w.t % HOUR < 20.0 * MINUTE { 400.0 } else { 0.0 };
        100.0 + batch + w.load(20.0) + w.leaked
    }),
    leaking("behind bursts", 21.0, |w| {
        let burst = if w.burst(3.0 * HOUR, 600.0, 2400.0) > 0.0 { 3000.0 } else { 0.0 };
        100.0 + burst + w.load(30.0) + w.leak(1.0 / MINUTE)
    }),
    leaking("4 of 5 come back", 14.0, |w| {
        w.own = (w.own + w.rng.poisson(8.0 / MINUTE * w.step)) * (1.0 - w.step / HOUR);
        80.0 + w.own + w.load(20.0) + w.leak(2.0 / MINUTE)
    }),
    leaking("after a pool's warm-up", 14.0, |w| {
        100.0 + 500.0 * w.filled(3.0 * HOUR) + w.load(30.0) + w.leak(2.0 / MINUTE)
    }),
    leaking("only under load, daily", 14.0, |w| {
        let load = w.daily();
        60.0 + w.load(200.0 * load) + w.leak(2.0 / MINUTE * load)
    }),
    leaking("only under load, office hours", 21.0, |w| {
        let load = w.office();
        60.0 + w.load(300.0 * load) + w.leak(3.0 / MINUTE * load)
    }),
    leaking("only under load, at random", 21.0, |w| {
        let load = w.wander(3.0 * HOUR).max(0.0);
        100.0 + w.load(50.0 * load) + w.leak(3.0 / MINUTE * load)
    }),
    with(
        Restarts::Every(6.0 * HOUR),
        leaking("restarts every 6 h", 14.0, |w| 60.0 + w.load(20.0) + w.leak(5.0 / MINUTE)),
    ),
    with(
        Restarts::Every(6.0 * HOUR),
        leaking("restarts every 6 h, warm-up", 14.0, |w| {
            60.0 + 100.0 * w.filled(600.0) + w.load(20.0) + w.leak(2.0 / MINUTE)
        }),
    ),
    with(
        Restarts::Every(DAY),
        leaking("daily deploys", 21.0, |w| 100.0 + w.load(30.0) + w.leak(2.0 / MINUTE)),
    ),
    with(
        Restarts::Every(DAY),
        leaking("daily deploys, in a wave", 28.0, |w| {
            100.0 + w.load(300.0 * w.daily()) + w.leak(2.0 / MINUTE)
        }),
    ),
    with(
        Restarts::Above(5000.0),
        leaking("killed at 5,000", 14.0, |w| 100.0 + w.load(30.0) + w.leak(0.2)),
    ),
    with(
        Restarts::Above(1000.0),
        leaking("killed at 1,000, slow", 21.0, |w| 100.0 + w.load(30.0) + w.leak(1.0 / MINUTE)),
    ),
    with(
        Restarts::Random(12.0 * HOUR),
        leaking("restarts at random, mean 12 h", 21.0, |w| {
            150.0 + w.load(50.0) + w.leak(3.0 / MINUTE)
        }),
    ),
    leaking("in a daily wave, 100 a day", 30.0, |w| {
        100.0 + w.load(500.0 * w.daily()) + w.leak(100.0 / DAY)
    }),
    leaking("in a daily wave, 1 a minute", 21.0, |w| {
        200.0 + w.load(2000.0 * w.daily()) + w.leak(1.0 / MINUTE)
    }),
    leaking("in a noisy daily wave, 1 a minute", 30.0, |w| {
        let noise = 1.0 + 0.25 * w.wander(2.0 * HOUR);
        200.0 + (800.0 * w.daily() * noise).max(0.0) + w.leak(1.0 / MINUTE)
    }),
    leaking("in a weekly wave, 500 a day", 30.0, |w| {
        150.0 + w.load(1000.0 * w.daily() * w.weekly()) + w.leak(500.0 / DAY)
    }),
    seen(
        MINUTE,
        0.5,
        leaking("1 a minute, half of the looks fail", 14.0, |w| {
            100.0 + w.load(20.0) + w.leak(1.0 / MINUTE)
        }),
    ),
    seen(
        5.0 * MINUTE,
        0.0,
        leaking("1 a minute, a look in 5 minutes", 14.0, |w| {
            100.0 + w.load(20.0) + w.leak(1.0 / MINUTE)
        }),
    ),
];

/// Services that do not leak.
pub(crate) const HEALTHY: &[Workload] = &[
    service("idle", 30.0, |w| 30.0 + w.load(1.0)),
    service("noisy idling", 30.0, |w| 60.0 * (1.0 + 0.3 * w.wander(10.0 * MINUTE)) + w.load(10.0)),
    service("noise of 3 h", 30.0, |w| 400.0 * (0.4 * w.wander(3.0 * HOUR)).exp() + w.load(30.0)),
    service("noise of 12 h", 30.0, |w| 400.0 * (0.4 * w.wander(12.0 * HOUR)).exp() + w.load(30.0)),
    service("short bursts x10", 30.0, |w| {
        let burst = if w.burst(2.0 * HOUR, 300.0, 1800.0) > 0.0 { 1000.0 } else { 0.0 };
        100.0 + burst + w.load(30.0)
    }),
    service("bursts that rise for an hour, x50", 30.0, |w| {
        let left = w.burst(8.0 * HOUR, HOUR, HOUR);
        100.0 + if left > 0.0 { 5000.0 * (1.0 - left / HOUR) } else { 0.0 } + w.load(30.0)
    }),
    service("bursts of 4 h", 30.0, |w| {
        let burst = if w.burst(12.0 * HOUR, 4.0 * HOUR, 4.0 * HOUR) > 0.0 { 800.0 } else { 0.0 };
        100.0 + burst + w.load(30.0)
    }),
    service("nightly batch that rises for 2 h", 30.0, |w| {
        let hour = w.t % DAY / HOUR;
        80.0 + if hour < 2.0 { 1000.0 * hour } else { 0.0 } + w.load(20.0)
    }),
    service("hourly batch", 30.0, |w| {
        80.0 + if w.t % HOUR < 15.0 * MINUTE { 500.0 } else { 0.0 } + w.load(20.0)
    }),
    service("batch that rises for 6 h, twice a week", 30.0, |w| {
        let hour = w.t % (3.5 * DAY) / HOUR;
        80.0 + if hour < 6.0 { 150.0 * hour } else { 0.0 } + w.load(20.0)
    }),
    service("work queue that fills and drains", 30.0, |w| {
        let arrived = if w.happens(2000.0 * MINUTE) { 900.0 } else { 0.0 };
        w.own = (w.own + 3.0 * w.rng.normal() + arrived) * (1.0 - w.step / (5.0 * HOUR));
        100.0 + w.own.max(0.0) + w.load(20.0)
    }),
    service("pool warms up in 2 h", 30.0, |w| 60.0 + 500.0 * w.filled(2.0 * HOUR) + w.load(30.0)),
    service("pool warms up in 8 h", 30.0, |w| 60.0 + 500.0 * w.filled(8.0 * HOUR) + w.load(30.0)),
    with(
        Restarts::Random(10.0 * DAY),
        service("connections come back in a day", 30.0, |w| {
            60.0 + 2000.0 * w.filled(20.0 * HOUR) + w.load(30.0)
        }),
    ),
    service("daily wave x3", 30.0, |w| 200.0 + w.load(400.0 * w.daily())),
    service("daily wave x20", 30.0, |w| 50.0 + w.load(1000.0 * w.daily())),
    service("noisy daily wave", 30.0, |w| {
        let noise = 1.0 + 0.25 * w.wander(2.0 * HOUR);
        150.0 + (800.0 * w.daily() * noise).max(0.0)
    }),
    service("daily wave, no day like the other", 30.0, |w| {
        let day = w.wander(2.0 * DAY);
        150.0 + 800.0 * w.daily() * (0.4 * day).exp() + 40.0 * (0.3 * day).exp()
    }),
    service("office hours", 30.0, |w| 40.0 + w.load(900.0 * w.office())),
    service("weekly wave", 30.0, |w| 100.0 + w.load((1500.0 * w.daily() + 150.0) * w.weekly())),
    service("day of extraordinary traffic", 30.0, |w| {
        let day = w.ramp(8.0 * DAY, DAY);
        100.0 + w.load(200.0 * w.daily() * (1.0 + 6.0 * (PI * day).sin()))
    }),
    service("websockets, closed each night", 30.0, |w| {
        let arrived = w.rng.poisson(0.02 * w.daily() * w.step);
        w.own = if w.t % DAY < w.step { 0.0 } else { w.own + arrived };
        80.0 + w.own
    }),
    service("ramp of 1 h, x4", 30.0, |w| 200.0 + 600.0 * w.ramp(6.0 * DAY, HOUR) + w.load(60.0)),
    service("ramp of 3 h, x5", 30.0, |w| {
        100.0 + 400.0 * w.ramp(9.0 * DAY, 3.0 * HOUR) + w.load(30.0)
    }),
    service("ramp of 6 h, x3", 30.0, |w| {
        200.0 + 400.0 * w.ramp(10.0 * DAY, 6.0 * HOUR) + w.load(60.0)
    }),
    service("ramp of 2 h at the start, x20", 30.0, |w| {
        100.0 + 2000.0 * w.ramp(0.0, 2.0 * HOUR) + w.load(30.0)
    }),
    service("rollout in 4 daily steps", 30.0, |w| {
        200.0 + 200.0 * (w.since / DAY - 5.0).floor().clamp(0.0, 4.0) + w.load(60.0)
    }),
    service("organic growth, 0.5 % a day", 30.0, |w| {
        (300.0 + w.load(400.0 * w.daily())) * (1.0 + 0.005 * w.since / DAY)
    }),
    with(
        Restarts::Every(DAY),
        service("daily restarts, warm-up", 30.0, |w| 60.0 + 400.0 * w.filled(HOUR) + w.load(30.0)),
    ),
    with(
        Restarts::Every(3.0 * HOUR),
        service("restarts every 3 h, warm-up of 1 h", 30.0, |w| {
            60.0 + 400.0 * w.filled(HOUR) + w.load(30.0)
        }),
    ),
    with(
        Restarts::Random(10.0 * HOUR),
        service("restarts at random, in a wave", 30.0, |w| 100.0 + w.load(600.0 * w.daily())),
    ),
    service("sawtooth of 6 h", 30.0, |w| {
        100.0 + 100.0 * (w.t % (6.0 * HOUR)) / HOUR + w.load(20.0)
    }),
    service("sawtooth of 12 h", 30.0, |w| {
        100.0 + 60.0 * (w.t % (12.0 * HOUR)) / HOUR + w.load(20.0)
    }),
    service("sawtooth of a day", 30.0, |w| 100.0 + 15.0 * (w.t % DAY) / HOUR + w.load(20.0)),
    seen(
        MINUTE,
        0.5,
        service("daily wave, half of the looks fail", 30.0, |w| 100.0 + w.load(500.0 * w.daily())),
    ),
    seen(
        5.0 * MINUTE,
        0.0,
        service("daily wave, a look in 5 minutes", 30.0, |w| 100.0 + w.load(500.0 * w.daily())),
    ),
];

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at least 4, and small"
)]
fn whole(goroutines: f64) -> u64 {
    goroutines.round() as u64
}

/// splitmix64: the same everywhere, for ever.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (a, b) = (self.unit().max(f64::MIN_POSITIVE), self.unit());
        (-2.0 * a.ln()).sqrt() * (TAU * b).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut n) = ((-mean.max(0.0)).exp(), self.unit(), 0.0);
        while product > limit {
            product *= self.unit();
            n += 1.0;
        }
        n
    }
}
