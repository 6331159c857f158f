"""The simulated economy: accounts, tokens, streams and who does what, without a byte of XDR."""
