"""What every source needs that reads from HTTP endpoints.

An address of which no secret is ever shown (``address``), one request with one answer or one named
failure (``http``, ``failures``), pauses (``timing``), and several endpoints as one (``pool``).
"""
