"""A release as KServe runs it: InferenceService and ServingRuntime, in the mode without Knative (RawDeployment).

That mode is what OpenShift AI offers for single models and the only one that MicroShift's AI model serving has. Two
kinds of image are served:

- *serving*: our image holds model and server. A ServingRuntime of the release has it as its container, the
  InferenceService names that runtime and no storage, so nothing is downloaded.
- *modelcar*: the image holds the model alone. The InferenceService points at it by `oci://` (`oci+native://` where
  it has no base, hence no shell), and a ServingRuntime that the platform brings (OpenVINO Model Server) and that was
  copied into the namespace serves it. What it takes was not measured, so it gets the profile's share for one model.

Fields: https://kserve.github.io/website/docs/reference/crd-api ; ports and arguments of the platform's runtime are
those of kserve-ovms in openshift/microshift, assets/optional/ai-model-serving/runtimes/ovms-kserve.yaml.
"""

from nearedge.delivery.gitops import manifests
from nearedge.delivery.gitops.manifests import Object
from nearedge.delivery.gitops.surroundings import Pods
from nearedge.errors import InputError
from nearedge.release.profile import Profile
from nearedge.release.record import Record

CONTAINER = "kserve-container"
"""The name by which KServe knows the container that serves."""
FORMAT = {"name": "openvino_ir", "version": "opset13"}
LONGEST_NAME = 53
"""KServe adds `-predictor`, and a Service's name may have 63 letters."""
OVMS_HTTP, OVMS_GRPC = 8888, 8001
SHOWN = {"opendatahub.io/dashboard": "true"}
"""What OpenShift AI's dashboard looks for; it wants InferenceService and ServingRuntime of one name."""


def name_of(record: Record) -> str:
    """The InferenceService's name, from which KServe makes names of Services. Raises InputError for one too long."""
    name = manifests.service_name(record)
    if len(name) > LONGEST_NAME:
        raise InputError(f"flavour=kserve: the name {name} is longer than {LONGEST_NAME} letters; KServe adds to it")
    return name


def labels(record: Record) -> dict[str, str]:
    """The labels of both objects. KServe hands them on to its own Service, which must not be taken for ours."""
    return {**manifests.labels(record), "app.kubernetes.io/component": "inference-service", **SHOWN}


def pods(record: Record, *, modelcar: bool) -> Pods:
    """The pods that KServe makes of the InferenceService."""
    selector = {"serving.kserve.io/inferenceservice": name_of(record)}
    return Pods(selector, OVMS_HTTP, OVMS_GRPC) if modelcar else Pods(selector)


def serving_runtime(record: Record, profile: Profile, image: str) -> Object:
    """A runtime whose container is our image. It is chosen by name only, never for a model that is not in it."""
    share = manifests.resources(record, profile)
    strategy, _ = manifests.rollout(share, profile)
    server = manifests.container(share, image, manifests.drain_s(strategy))
    spec = {
        "multiModel": False,
        "protocolVersions": ["v2", "grpc-v2"],
        "supportedModelFormats": [{**FORMAT, "autoSelect": False}],
        "containers": [{**server, "name": CONTAINER}],
        "volumes": manifests.volumes(),
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": name_of(record), "labels": labels(record)},
        "spec": spec,
    }


def inference_service(record: Record, profile: Profile, model: Object) -> Object:
    """The model as KServe's controller is told of it: one pod, restricted, without a token, rolled out as ours is."""
    share = manifests.resources(record, profile)
    strategy, note = manifests.rollout(share, profile)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name_of(record),
            "labels": labels(record),
            "annotations": {
                "serving.kserve.io/deploymentMode": "RawDeployment",
                "serving.kserve.io/autoscalerClass": "external",
                manifests.STRATEGY_NOTE: note,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "maxReplicas": 1,
                "deploymentStrategy": strategy,
                **manifests.pod(record),
                "model": {
                    "modelFormat": dict(FORMAT),
                    "protocolVersion": "v2",
                    **model,
                    "resources": manifests.limits(share),
                },
            }
        },
    }


def served_by_us(record: Record) -> Object:
    """The part of `model` for an image that serves itself: no storage, so KServe fetches nothing."""
    return {"runtime": name_of(record)}


def served_by_platform(runtime: str, image: str, *, native: bool = False) -> Object:
    """The part of `model` for a modelcar: its image by digest, and probes that the platform's runtime lacks.

    `native`: the image has no shell, which KServe's sidecar needs, and is mounted as an image volume (KServe 0.20,
    https://github.com/kserve/kserve/pull/5558).
    """
    return {
        "runtime": runtime,
        "storageUri": f"{'oci+native' if native else 'oci'}://{image}",
        "startupProbe": probe("ready", manifests.START_EVERY_S, manifests.STARTS),
        "readinessProbe": probe("ready", 5, 2),
        "livenessProbe": probe("live", 10, 3),
    }


def probe(what: str, period_s: int, failures: int) -> Object:
    """A probe of OpenVINO Model Server, whose ports have no names."""
    made = manifests.probe(what, period_s, failures)
    return {**made, "httpGet": {**made["httpGet"], "port": OVMS_HTTP}}
