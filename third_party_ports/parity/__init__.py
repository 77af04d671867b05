"""What each port must reproduce: one module a fixture format, used by `python -m third_party_ports.verify`."""
