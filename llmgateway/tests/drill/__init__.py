"""Long runs and real parts: PostgreSQL as Debian packs it, kills under load. `make drill`."""
