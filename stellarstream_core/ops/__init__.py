"""Operations: what keeps a service running, tells how it is, and keeps its logs."""
