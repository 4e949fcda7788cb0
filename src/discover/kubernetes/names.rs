//! What the names of folders and pods say.

use std::ffi::OsStr;

/// What a name that Kubernetes makes up ends with (apimachinery, pkg/util/rand, alphanums).
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Its length (apiserver, pkg/storage/names/generate.go).
const RANDOM_LENGTH: usize = 5;

/// What the ten digits become in the hash of a ReplicaSet's template (rand.SafeEncodeString).
const HASH: &[u8] = b"456789bcdf";

/// A CronJob's run has its minute in its name, since 1970.
const MINUTE_DIGITS: std::ops::RangeInclusive<usize> = 8..=10;

/// The folder of a pod's logs: `<namespace>_<pod>_<uid>` (pkg/kubelet/kuberuntime/helpers.go,
/// BuildPodLogsDirectory).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodFolder {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
}

impl PodFolder {
    /// None: it is no such folder.
    pub(super) fn of(name: &OsStr) -> Option<Self> {
        let mut parts = name.to_str()?.split('_').map(part);
        let (namespace, pod, uid) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { namespace, pod, uid })
    }
}

/// The name of a container's folder.
pub(super) fn container(name: &OsStr) -> Option<String> {
    part(name.to_str()?)
}

/// Names of Kubernetes are of these characters (RFC 1123): none has a meaning in a path or a pattern.
fn part(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let good = !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_plain);
    good.then(|| text.to_owned())
}

/// The name of what made a pod, as far as the pod's own name tells it: `checkout` of
/// `checkout-7d9f8b6c5d-x2x4z`, `db` of `db-0`.
pub(super) fn workload(pod: &str) -> &str {
    let is_of = |text: &str, set: &[u8]| text.bytes().all(|byte| set.contains(&byte));
    let is_random = |end: &str| end.len() == RANDOM_LENGTH && is_of(end, RANDOM);
    let Some(made) = without_end(pod, is_random) else {
        // Of a StatefulSet.
        return without_end(pod, |end| end.len() <= RANDOM_LENGTH && is_of(end, b"0123456789"))
            .unwrap_or(pod);
    };
    let is_hash = |end: &str| end.len() >= RANDOM_LENGTH && is_of(end, HASH);
    let is_minute = |end: &str| MINUTE_DIGITS.contains(&end.len()) && is_of(end, b"0123456789");
    without_end(made, |end| is_hash(end) || is_minute(end)).unwrap_or(made)
}

fn without_end(name: &str, is_made_up: impl Fn(&str) -> bool) -> Option<&str> {
    let (name, end) = name.rsplit_once('-')?;
    (!name.is_empty() && !end.is_empty() && is_made_up(end)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_called_as_what_made_them() {
        for (pod, expected) in [
            ("checkout-7d9f8b6c5d-x2x4z", "checkout"),
            ("cart-service-54b9c-qwzrt", "cart-service"),
            ("node-agent-x2x4z", "node-agent"),
            ("db-0", "db"),
            ("kafka-broker-12", "kafka-broker"),
            ("report-29384720-bcdfg", "report"),
            ("plain", "plain"),
            ("redis-cache", "redis-cache"),
            ("api-v2", "api-v2"),
            ("-0", "-0"),
            ("a-", "a-"),
        ] {
            assert_eq!(workload(pod), expected, "{pod}");
        }
    }

    #[test]
    fn only_what_the_kubelet_writes_is_a_folder_of_logs() {
        let of = |name: &str| PodFolder::of(OsStr::new(name));
        let uid = "0c6a1a6e-3a0b-4f6e-9a55-0f0f6f1f2f3f";
        let found = of(&format!("shop_checkout.v2-0_{uid}")).unwrap();
        assert_eq!((&*found.namespace, &*found.pod, &*found.uid), ("shop", "checkout.v2-0", uid));
        for bad in ["shop", "a_b", "a_b_c_d", "_b_c", "a__c", "a_b_", "a_.._c", "a_b*_c", "a_b_c/d"]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(container(OsStr::new("app")).as_deref(), Some("app"));
        assert_eq!(container(OsStr::new("..")), None);
    }
}
