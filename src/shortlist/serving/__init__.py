"""The HTTP service over a bundle, and its page; never imports Keras."""

from shortlist.serving.app import create_app
from shortlist.serving.server import serve
from shortlist.serving.settings import Limits, Settings

__all__ = ["Limits", "Settings", "create_app", "serve"]
