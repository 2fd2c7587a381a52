"""The release of this SDK. A worker reports it, and must not import the whole package for that."""

__version__ = "0.1.0"
