"""The HTTP service over a bundle, and its page; never imports Keras."""

from shortlist._extras import needs

with needs("`shortlist.serving`", "serve"):
    from shortlist.serving.app import create_app
    from shortlist.serving.server import check_address, serve
    from shortlist.serving.settings import Limits, ServiceSettings

__all__ = ["Limits", "ServiceSettings", "check_address", "create_app", "serve"]
