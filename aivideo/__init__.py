"""The project: settings, URLs, health checks and the admin."""

# The one place that names the version; a release changes it together with CHANGELOG.md.
__version__ = "0.9.0"
