"""One ASGI app: Prometheus API, Alertmanager API, health, live push, the page."""
