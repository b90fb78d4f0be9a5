"""The Kubernetes objects that a release's monitoring consists of."""

import json
from typing import Any

from nearedge.delivery.gitops import manifests
from nearedge.delivery.gitops.manifests import Object
from nearedge.delivery.monitoring import alerts, recording
from nearedge.delivery.monitoring.catalogue import SITE
from nearedge.delivery.monitoring.promise import Promise
from nearedge.release.record import Record

INTERVAL_S = 30
RULES_EVERY_S = 60
SAMPLES = 3000
"""The most samples of one scrape that are taken: about 150 a model version, more with many codes of answers."""
LOCAL = {"openshift.io/prometheus-rule-evaluation-scope": "leaf-prometheus"}
"""OpenShift: the rules are evaluated where the series are, also while the rest of the monitoring is away."""

FOR_GRAFANA = {"grafana_dashboard": "1"}
"""What Grafana's sidecar finds ConfigMaps by."""


def service_monitor(record: Record) -> Object:
    """What Prometheus scrapes. What the target says of namespace, pod, site … yields to what the cluster says."""
    site = {
        "action": "replace",
        "sourceLabels": ["__meta_kubernetes_pod_label_nearedge_dev_site"],
        "targetLabel": SITE,
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": manifests.metadata(record),
        "spec": {
            "selector": {"matchLabels": manifests.selector(record)},
            "sampleLimit": SAMPLES,
            "labelLimit": 40,
            "labelValueLengthLimit": 512,
            "endpoints": [
                {
                    "port": "http",
                    "path": "/metrics",
                    "interval": f"{INTERVAL_S}s",
                    "scrapeTimeout": f"{INTERVAL_S // 3}s",
                    "honorLabels": False,
                    "honorTimestamps": False,
                    "relabelings": [site],
                }
            ],
        },
    }


def groups(promise: Promise) -> list[dict[str, Any]]:
    """The groups of rules, as Prometheus' own rule files have them too."""
    name, every = f"nearedge-{promise.model}", f"{RULES_EVERY_S}s"
    return [
        {"name": f"{name}-recording", "interval": every, "rules": recording.rules(promise)},
        {"name": f"{name}-alerts", "interval": every, "rules": [one.rule() for one in alerts.rules(promise)]},
    ]


def prometheus_rule(record: Record, promise: Promise) -> Object:
    """The release's rules."""
    head = manifests.metadata(record)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {**head, "labels": {**head["labels"], **LOCAL}},
        "spec": {"groups": groups(promise)},
    }


def dashboard_map(record: Record, dashboard: Object) -> Object:
    """The release's Grafana dashboard, found by Grafana's sidecar by its label."""
    name = record.identity.name
    head = {"name": f"{name}-dashboard", "labels": {**manifests.labels(record), **FOR_GRAFANA}}
    text = json.dumps(dashboard, indent=1, sort_keys=True) + "\n"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": {f"nearedge-{name}.json": text}}
