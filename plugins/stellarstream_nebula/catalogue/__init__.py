"""What the StellarStream contracts publish, and have published: one module a contract, one entry an event.

The entries read like the table of ``docs/reference/stream-events.md``, which is written from them. Names of fields
are the contracts' own where they have any (struct keys), and say what the value is where they have none.
"""

from __future__ import annotations

from stellarstream_nebula.catalogue.splitter import SPLITTER, SPLITTER_FACTORY
from stellarstream_nebula.catalogue.v1 import STREAMS_V1
from stellarstream_nebula.catalogue.v2 import STREAMS_V2

FAMILIES = (STREAMS_V1, STREAMS_V2, SPLITTER, SPLITTER_FACTORY)
"""Every family there is a decoder for."""
