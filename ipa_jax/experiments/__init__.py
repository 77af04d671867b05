"""Many runs at once: tables, protocols, choices and the demo, with their records and pages."""
