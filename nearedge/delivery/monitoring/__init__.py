"""Monitoring of a release: what is scraped, the rules that follow from its record, and its dashboard."""

from nearedge.delivery.gitops.manifests import Object
from nearedge.delivery.monitoring import dashboard, objects, promise
from nearedge.release.profile import Profile
from nearedge.release.record import Record


def component(record: Record, profile: Profile) -> dict[str, Object]:
    """The objects of `components/monitoring`, by file name; the same for the same record and profile."""
    promised = promise.of(record, profile)
    return {
        "dashboard.yaml": objects.dashboard_map(record, dashboard.of(record.identity.name)),
        "prometheus-rule.yaml": objects.prometheus_rule(record, promised),
        "service-monitor.yaml": objects.service_monitor(record),
    }
