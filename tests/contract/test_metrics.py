"""The metrics that monitoring is made of are those that the server tells."""

from nearedge.delivery.monitoring import catalogue
from serving_image import metrics
from serving_image.grpc import status
from serving_image.telemetry import Telemetry


def test_the_catalogue_is_the_servers() -> None:
    told = [one for one in vars(Telemetry()).values() if isinstance(one, metrics.Metric)]
    assert [(one.name, one.kind, one.labels) for one in told] == [
        (one.name, one.kind, one.labels) for one in catalogue.METRICS
    ]


def test_the_fine_buckets_are_the_servers() -> None:
    assert Telemetry().inference_seconds.bounds == metrics.FINE == catalogue.FINE


def test_the_codes_that_count_against_availability_are_the_servers_faults() -> None:
    assert {status.NAMES[code] for code in status.SERVER_FAULTS} == set(catalogue.OUR_FAULT.split("|")[1:])
