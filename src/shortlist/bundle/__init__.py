"""The saved artefact of a model, ready to serve; needs ONNX Runtime and the engine, not Keras."""

from shortlist._extras import needs

with needs("`shortlist.bundle`", "bundle"):
    from shortlist.bundle.bundle import Bundle
    from shortlist.bundle.candidate import CandidateTower
    from shortlist.bundle.items import Items
    from shortlist.bundle.manifest import BundleError, Manifest, read_manifest, verify
    from shortlist.bundle.tower import QueryTower, UnknownUserError

__all__ = [
    "Bundle",
    "BundleError",
    "CandidateTower",
    "Items",
    "Manifest",
    "QueryTower",
    "UnknownUserError",
    "read_manifest",
    "verify",
]
