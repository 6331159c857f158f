"""The sandbox's ledgers as Horizon serves them: root, ledgers and transactions, in pages or as a stream."""
