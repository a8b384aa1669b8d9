"""The report, and the measurements of critics, judges and data that it shows."""
