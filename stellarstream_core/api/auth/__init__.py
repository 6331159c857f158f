"""Who asks, and whether they may.

Logging in with a Stellar account (``sep10``, ``client_domain``), the sessions that come of it (``tokens``),
API keys (``keys``), what reads them from a request (``authenticator``), and the one place that decides
(``policy``). Nothing here knows the routes; ``errors`` names every refusal.
"""
