//! A record through the detector.

use std::time::Duration;

use godebug_exporter::aggregate::leak::Detector;
use godebug_exporter::model::leak::Params;

use super::workloads::Sample;

/// Seconds after the beginning at which a leak was suspected.
pub(crate) fn alarms(samples: &[Sample]) -> Vec<f64> {
    let mut detector = Detector::new(Params::default());
    let (mut alarms, mut suspected, mut started) = (Vec::new(), false, samples[0].started);
    for sample in samples {
        let at = Duration::from_secs_f64(sample.t);
        if sample.started > started {
            started = sample.started;
            detector.restarted(at);
        }
        detector.observe(at, sample.goroutines);
        let now = detector.verdict().evidence.is_some();
        if now && !suspected {
            alarms.push(sample.t - samples[0].t);
        }
        suspected = now;
    }
    alarms
}
