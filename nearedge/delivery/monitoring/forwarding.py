"""What sites send to the core: which series, by what, and how much of it is kept while the core is away.

Both the platform's own Prometheus on OpenShift and a Prometheus agent on MicroShift forward what the rules read, and
the core evaluates the rules for all sites: an agent has none, and recorded series of a site beside the same of the core
would count twice. hack/forwarding.py writes the configurations of manifests/edge from here.
"""

import re
from collections.abc import Iterable
from typing import Any

from nearedge.delivery.monitoring import alerts, catalogue, panels, recording
from nearedge.delivery.monitoring.objects import SAMPLES
from nearedge.delivery.monitoring.promise import Promise

Config = dict[str, Any]

EVERY_S = 60
"""Of the agent: half as often as a Prometheus at the site, since each sample crosses the link."""
NAMESPACE = "nearedge-models"
JOB = "nearedge"
KEPT_HOURS = 24
"""An agent keeps what it could not send so long; older samples are lost, newer ones are not."""
LATE_HOURS = KEPT_HOURS + 6
"""So late the core still takes samples. Prometheus refuses what is over an hour behind its newest by default, which
a site that was cut off for a night is."""

RETENTION = "31d"
"""What the platform's Prometheus keeps of the site's rules, for the availability of 30 days."""

ANY = Promise(
    model="m", version="1", digest="sha256:0", p99_s=0.01, slow_s=0.02, memory_limit_bytes=1, cpu_limit_cores=1.0,
    pull_bytes=1,
    watched=True,
)  # fmt: skip
"""A promise that has all figures, so that its rules read all that any release's rules read."""


def read_by_rules() -> list[str]:
    """Names of the server's series that rules and dashboards read, sorted."""
    texts = [str(one["expr"]) for one in recording.rules(ANY)] + [one.expression for one in alerts.rules(ANY)]
    texts += [query.expression for panel in panels.PANELS for query in panel.queries]
    words = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", " ".join(texts)))
    ours = {metric.name for metric in catalogue.METRICS}
    return sorted(word for word in words if re.sub(r"_(bucket|count|sum)$", "", word) in ours or word in ours)


def only(names: Iterable[str]) -> Config:
    """The relabelling that lets through these series."""
    return {"source_labels": ["__name__"], "regex": "|".join(sorted(names)), "action": "keep"}


def remote_write(url: str, names: Iterable[str], secrets: str = "") -> Config:
    """One target to write to; `secrets` is a folder with token and ca.crt, empty for neither.

    The queue is for one small model server: it holds a few thousand samples in memory and sends on one connection.
    What is not taken stays in the write-ahead log and is tried again at most a minute later.
    """
    found: Config = {
        "url": url,
        "remote_timeout": "30s",
        "write_relabel_configs": [only(names)],
        "queue_config": {
            "capacity": 2500,
            "max_samples_per_send": 1000,
            "max_shards": 2,
            "batch_send_deadline": "1m",
            "min_backoff": "1s",
            "max_backoff": "1m",
        },
    }
    if secrets:
        found["authorization"] = {"credentials_file": f"{secrets}/token"}
        found["tls_config"] = {"ca_file": f"{secrets}/ca.crt"}
    return found


def pods() -> Config:
    """How the model servers of a site are found and labelled, as the ServiceMonitor of a release has it."""
    meta = "__meta_kubernetes_"
    return {
        "job_name": JOB,
        "sample_limit": SAMPLES,
        "label_limit": 40,
        "label_value_length_limit": 512,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [NAMESPACE]}}],
        "relabel_configs": [
            {
                "source_labels": [f"{meta}pod_label_app_kubernetes_io_component", f"{meta}pod_container_port_name"],
                "regex": "model-server;http",
                "action": "keep",
            },
            {"source_labels": [f"{meta}namespace"], "target_label": "namespace"},
            {"source_labels": [f"{meta}pod_name"], "target_label": "pod"},
        ],
    }


def agent(site: str, url: str, scrape: Config, secrets: str = "", interval_s: int = EVERY_S) -> Config:
    """The configuration of a Prometheus agent at a site."""
    return {
        "global": {
            "scrape_interval": f"{interval_s}s",
            "scrape_timeout": f"{max(1, interval_s // 3)}s",
            "external_labels": {catalogue.SITE: site},
        },
        "scrape_configs": [scrape],
        "remote_write": [remote_write(url, read_by_rules(), secrets)],
    }


def agent_arguments() -> list[str]:
    """What bounds the agent's write-ahead log."""
    return [f"--storage.agent.retention.max-time={KEPT_HOURS}h", "--storage.agent.wal-truncate-frequency=30m"]


def user_workload(site: str, url: str) -> Config:
    """`config.yaml` of OpenShift's user-workload-monitoring-config; camel case is the operator's."""
    target = {
        "url": url,
        "remoteTimeout": "30s",
        "writeRelabelConfigs": [
            {"sourceLabels": ["__name__"], "regex": "|".join(read_by_rules()), "action": "keep"},
            {"targetLabel": catalogue.SITE, "replacement": site},
        ],
        "queueConfig": {"capacity": 2500, "maxSamplesPerSend": 1000, "maxShards": 2, "batchSendDeadline": "30s"},
        "authorization": {"type": "Bearer", "credentials": {"name": "nearedge-metrics", "key": "token"}},
        "tlsConfig": {"ca": {"secret": {"name": "nearedge-metrics", "key": "ca.crt"}}},
    }
    return {"prometheus": {"retention": RETENTION, "retentionSize": "4GB", "remoteWrite": [target]}}
